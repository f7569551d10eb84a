//! `runvfctl probe`: tests on the hardware which frames the VFs of a PF receive.
//!
//! Exits with 0 if every property is proven, with 2 if one is refuted, and with 3 if one could not
//! be tested or a VF could not be released clean. 1 means that the probe could not run at all.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;
use vf::{Host, Outcome, Probe, ProbeOptions, Verdict, Watch};

use crate::error::Error;
use crate::released;
use crate::table::aligned;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A configured PF
    pf: String,
    /// The VLAN to test; an unused one by default
    #[arg(long, value_name = "VLAN", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
    /// A second VLAN, whose frames must not arrive; an unused one by default
    #[arg(long, value_name = "VLAN", value_parser = clap::value_parser!(u16).range(1..=4094))]
    other: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(host: &Host, options: &Options) -> Result<(String, ExitCode), Error> {
    let Options { pf, vlan, other, json } = options;
    let probe_options = ProbeOptions { pf: pf.clone(), vlan: *vlan, other: *other };
    let stop = stop_on_signals()?;
    let is_terminal = stderr().is_terminal();
    let warn = |message: &str| {
        let _ = writeln!(stderr(), "runvfctl: {message}");
    };
    let progress = |message: &str| {
        if is_terminal {
            warn(message)
        }
    };
    let probe =
        vf::probe(host, &probe_options, Watch { stop: &stop, progress: &progress, warn: &warn })?;
    let text = if *json { as_json(&probe) } else { table(&probe) };
    Ok((text, ExitCode::from(exit_code(&probe))))
}

/// Returns a flag that the first SIGINT or SIGTERM sets. The probe then stops and releases its VFs;
/// otherwise the next attach would have to release them. The second signal ends the process.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Threads inherit the blocked signals, so that only the thread below receives them.
    signals.thread_block().map_err(|source| Error::Signals { source })?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    thread::spawn(move || {
        if signals.wait().is_ok() {
            flag.store(true, Ordering::Relaxed);
            let _ = writeln!(stderr(), "runvfctl: stopping; releasing the VFs");
            let _ = signals.thread_unblock();
        }
        // The second signal needs a thread that does not block it.
        loop {
            thread::park();
        }
    });
    Ok(stop)
}

fn exit_code(probe: &Probe) -> u8 {
    let any = |verdict| probe.findings.iter().any(|one| one.verdict == verdict);
    if any(Verdict::Refuted) {
        2
    } else if any(Verdict::NotTestable) || not_released(probe).next().is_some() {
        3
    } else {
        0
    }
}

/// The VFs that were not released clean.
fn not_released(probe: &Probe) -> impl Iterator<Item = &vf::Released> {
    let free = |outcome: &Outcome| {
        matches!(outcome, Outcome::Clean | Outcome::Spooled(_) | Outcome::Unrecorded(_))
    };
    probe.released.iter().filter(move |one| !free(&one.outcome))
}

fn table(probe: &Probe) -> String {
    let Probe { pf, driver, vlan, other, frames, vfs, .. } = probe;
    let mut text = format!(
        "{pf} ({driver}), {} VFs, VLANs {vlan} and {other}, {frames} frames of each kind\n\n",
        vfs.len()
    );
    let mut rows = vec![["PROPERTY", "VERDICT", "EVIDENCE"].map(str::to_owned)];
    for finding in &probe.findings {
        let note = finding.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let evidence = format!("{}{note}", finding.evidence);
        rows.push([finding.property.to_owned(), word(finding.verdict).to_owned(), evidence]);
    }
    text.push_str(&aligned(&rows));
    let count = |verdict| probe.findings.iter().filter(|one| one.verdict == verdict).count();
    let (proven, refuted) = (count(Verdict::Proven), count(Verdict::Refuted));
    let not_testable = count(Verdict::NotTestable);
    let _ = writeln!(text, "\n{proven} proven, {refuted} refuted, {not_testable} not testable");
    match not_released(probe).count() {
        0 => text.push_str("all VFs are clean and free\n"),
        _ => text.push_str(&released::show(&probe.released, false)),
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::Refuted => "REFUTED",
        Verdict::NotTestable => "not testable",
    }
}

fn as_json(probe: &Probe) -> String {
    let mut value = json!(probe);
    value["released"] = probe.released.iter().map(released::as_json).collect();
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use vf::{ProbeFinding, ProbeVf, Released};

    use super::*;

    fn probe(verdicts: &[Verdict], outcome: Outcome) -> Probe {
        let finding = |verdict: &Verdict| ProbeFinding {
            property: "broadcast",
            verdict: *verdict,
            evidence: "10 of 10 arrived".to_owned(),
            note: (*verdict == Verdict::Refuted).then(|| "a note".to_owned()),
        };
        let vf = || "0000:01:10.0".to_owned();
        Probe {
            pf: "pf0".to_owned(),
            pool: "sensors".to_owned(),
            driver: "igb".to_owned(),
            vlan: 4094,
            other: 4093,
            frames: 10,
            vfs: vec![ProbeVf { vf: vf(), role: "sensor", vlan: 4094, trusted: true }],
            findings: verdicts.iter().map(finding).collect(),
            released: vec![Released {
                vf: vf(),
                interface: "probe0".to_owned(),
                container: "(probe)".to_owned(),
                outcome,
            }],
        }
    }

    #[test]
    fn exit_code_is_that_of_the_worst_verdict() {
        use Verdict::{NotTestable, Proven, Refuted};
        for (verdicts, expected) in [
            (&[Proven][..], 0),
            (&[Proven, NotTestable][..], 3),
            (&[NotTestable, Refuted, Proven][..], 2),
        ] {
            assert_eq!(exit_code(&probe(verdicts, Outcome::Clean)), expected, "{verdicts:?}");
        }
        assert_eq!(exit_code(&probe(&[Proven], Outcome::Unrecorded("full".into()))), 0);
        assert_eq!(exit_code(&probe(&[Proven], Outcome::Quarantined("dirty".into()))), 3);
    }

    #[test]
    fn table_has_a_row_for_each_property_and_the_state_of_the_vfs() {
        let text = table(&probe(&[Verdict::Proven, Verdict::Refuted], Outcome::Clean));
        assert_eq!(
            text,
            "pf0 (igb), 1 VFs, VLANs 4094 and 4093, 10 frames of each kind\n\n\
             PROPERTY   VERDICT  EVIDENCE\n\
             broadcast  proven   10 of 10 arrived\n\
             broadcast  REFUTED  10 of 10 arrived: a note\n\
             \n1 proven, 1 refuted, 0 not testable\n\
             all VFs are clean and free\n"
        );
        let text = table(&probe(&[], Outcome::Quarantined("dirty".into())));
        assert!(text.ends_with("0000:01:10.0 quarantined (probe0 of (probe)): dirty\n"), "{text}");
    }

    #[test]
    fn json_has_verdicts_and_vfs() {
        let text = as_json(&probe(&[Verdict::NotTestable], Outcome::Clean));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["findings"][0]["verdict"], "not-testable");
        assert_eq!(value["vfs"][0]["role"], "sensor");
        assert_eq!(value["released"][0]["outcome"], "clean");
    }
}
