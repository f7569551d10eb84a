//! `make bench`: what runvf costs beside what it is measured by, on an emulated SR-IOV host, all in one run.
//!
//! Times of an emulated CPU say nothing by themselves; their ratios are what is told. docs/performance.md has the method.

mod cases;

mod report;
mod statistics;
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use lab::bench_protocol::{Group, Turns};
use lab::{Error, Lab, Result};

use crate::report::Report;
use crate::statistics::Figures;
use crate::targets::{Sizes, targets};

const GROUP: Duration = Duration::from_secs(1800);

/// Measures runvf beside runc, crun, `ip` and the bare kernel
#[derive(Parser)]
struct Arguments {
    /// Take so many times the usual turns, which last some ten minutes
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Only the groups whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Where the figures go as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match bench(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let step = |what: &str| eprintln!("[{:>4} s] {what}", began.elapsed().as_secs());
    step("the emulated SR-IOV host (built when it is not there yet: some minutes)");
    let lab = Lab::restore()?;
    lab.install_runvf()?;
    prepare(&lab)?;
    let machine = machine(&lab)?;
    let mut turns = Turns::new();
    for (name, group) in cases::groups(arguments.times) {
        if arguments.only.as_deref().is_none_or(|only| name.contains(only)) {
            step(name);
            turns.extend(take(&lab, &group)?);
        }
    }
    step("what 21 attaches wait for");
    let contention = contention(&lab)?;
    step("done");
    let cases: BTreeMap<String, Figures> =
        turns.into_iter().filter_map(|(name, turns)| Some((name, Figures::of(&turns)?))).collect();
    let targets = targets(&cases, &sizes()?).unwrap_or_default();
    let report = Report { machine, cases, targets, contention };
    println!("\n{}", report.text());
    let path = arguments.json.clone().unwrap_or_else(|| lab::built().join("bench.json"));
    fs::write(&path, format!("{:#}\n", report.json()))
        .map_err(|source| Error::File { path: path.clone(), source })?;
    eprintln!("the same as JSON: {}", path.display());
    Ok(())
}

fn prepare(lab: &Lab) -> Result<()> {
    lab.push(lab::built().join("dist/bench-guest"), "/usr/local/bin/bench-guest")?;
    lab.write("/tmp/bench.sh", include_str!("functions.sh"))?;
    lab.write("/tmp/by-hand.sh", include_str!("by-hand.sh"))?;
    lab.ok(include_str!("setup.sh")).map(drop)
}

fn take(lab: &Lab, group: &Group) -> Result<Turns> {
    lab.write("/tmp/group.json", serde_json::json!(group).to_string())?;
    let output = lab.ok_within(GROUP, "env -u GOGC bench-guest < /tmp/group.json")?;
    serde_json::from_str(&output.stdout).map_err(|source| Error::Json {
        command: "bench-guest".into(),
        output,
        source,
    })
}

fn contention(lab: &Lab) -> Result<String> {
    lab.write("/tmp/contention.sh", include_str!("contention.sh"))?;
    Ok(lab.ok_within(GROUP, "env -u GOGC bash /tmp/contention.sh")?.stdout)
}

fn machine(lab: &Lab) -> Result<String> {
    let guest = lab.ok(
        "echo \"guest: Linux $(uname -r), $(nproc) CPUs, $(runc --version | head -1), $(crun --version | head -1), \
         $(docker --version), $(podman --version)\"",
    )?;
    let said = Command::new("sh")
        .args(["-c", "grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2; nproc; cut -d' ' -f1-3 /proc/loadavg"])
        .output()
        .map_err(|source| Error::Spawn { program: "sh".into(), source })?;
    let said = String::from_utf8_lossy(&said.stdout);
    let mut lines = said.lines().map(str::trim);
    let mut next = || lines.next().unwrap_or("?").to_owned();
    let (cpu, cpus, load) = (next(), next(), next());
    Ok(format!(
        "host: {cpus} × {cpu}, load before {load}; emulation by QEMU's TCG\n{}",
        guest.text()
    ))
}

fn sizes() -> Result<Sizes> {
    let of = |name: &str| {
        let path = lab::built().join("dist").join(name);
        fs::metadata(&path).map(|found| found.len()).map_err(|source| Error::File { path, source })
    };
    Ok(Sizes { runvf: of("runvf")?, hook: of("runvf-hook")? })
}
