//! `runvfctl setup`: prints the steps for each PF that were done, or that a dry run would do.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use vf::{Host, PfSetup, Step};

use crate::error::Error;
use crate::install::command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Show the steps without doing them
    #[arg(long)]
    dry_run: bool,
    /// Give parked VFs their driver back, and let the kernel bind drivers to new VFs again. All
    /// other steps of the setup stay
    #[arg(long, conflicts_with_all = ["dry_run", "wait", "monitor"])]
    undo: bool,
    /// Also enable and start runvf-monitor.service, which reacts to events within a second
    #[arg(long)]
    monitor: bool,
    /// Wait this long for PFs that do not exist yet, as at boot
    #[arg(long, value_name = "SECONDS", default_value_t = 0, conflicts_with = "dry_run")]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Whether the PFs are set up, and not only shown or reset.
    pub(crate) fn is_setup(&self) -> bool {
        !self.dry_run && !self.undo
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }
}

/// Exits with 3 if a PF is not ready. 1 means that setup could not run at all.
pub(crate) fn run(host: &Host, options: &Options) -> Result<(String, ExitCode), Error> {
    let all = match options {
        Options { dry_run: true, .. } => vf::plan_setup(host)?,
        Options { undo: true, .. } => vf::undo_setup(host)?,
        Options { wait, .. } => vf::setup(host, Duration::from_secs(*wait))?,
    };
    let code = if all.iter().all(|pf| pf.result.is_ok()) { 0 } else { 3 };
    let mut shown = show(&all, options.json);
    if options.monitor {
        let line = enable_monitor(options.dry_run)?;
        // The JSON has the PFs only; an error says that the monitor does not run.
        shown.extend((!options.json).then_some(line));
    }
    Ok((shown, ExitCode::from(code)))
}

/// The start of the monitor ends when it has read all claims.
const MONITOR_TIMEOUT: Duration = Duration::from_secs(60);

fn enable_monitor(dry_run: bool) -> Result<String, Error> {
    const UNIT: &str = "runvf-monitor.service";
    if !dry_run {
        command::stdout(&["systemctl", "enable", "--now", UNIT], MONITOR_TIMEOUT)?;
    }
    Ok(format!("monitor: {UNIT} enabled and started\n"))
}

fn show(all: &[PfSetup], json: bool) -> String {
    if json {
        let all: Vec<_> = all.iter().map(as_json).collect();
        return format!("{:#}\n", json!(all));
    }
    all.iter().map(|pf| line(pf) + "\n").collect()
}

/// The line of one PF.
pub(crate) fn line(pf: &PfSetup) -> String {
    let state = match &pf.result {
        Err(error) => format!("not ready: {}", error.line()),
        Ok(steps) if steps.is_empty() => "ready: nothing to do".to_owned(),
        Ok(steps) => steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{}: {state}", pf.pf)
}

fn as_json(pf: &PfSetup) -> serde_json::Value {
    let (steps, error) = match &pf.result {
        Ok(steps) => (json!(steps), None),
        Err(error) => (json!([]), Some(error.line())),
    };
    json!({ "pf": pf.pf, "pool": pf.pool, "steps": steps, "error": error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<PfSetup> {
        let one = |pf: &str, result| PfSetup { pf: pf.into(), pool: "sensors".into(), result };
        vec![
            one("pf0", Ok(vec![Step::Up, Step::Vfs { count: 7 }])),
            one("pf1", Ok(vec![])),
            one("pf9", Err(vf::NicError::NoSriov { pf: "pf9".into() }.into())),
        ]
    }

    #[test]
    fn each_pf_has_one_line() {
        let text = show(&all(), false);
        assert!(
            text.starts_with(
                "pf0: up, 7 VFs\npf1: ready: nothing to do\npf9: not ready: PF pf9 does not support SR-IOV; "
            ),
            "{text}"
        );
    }

    #[test]
    fn json_has_the_steps_and_the_error() {
        let value: serde_json::Value = serde_json::from_str(&show(&all(), true)).unwrap();
        assert_eq!(value[0]["steps"], json!(["up", { "vfs": { "count": 7 } }]));
        assert_eq!(value[0]["error"], json!(null));
        assert!(value[2]["error"].as_str().unwrap().starts_with("PF pf9 does not support SR-IOV"));
    }
}
