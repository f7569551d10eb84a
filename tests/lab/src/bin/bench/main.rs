//! `make bench`: compares runvf with runc, crun, `ip` and the bare kernel on an emulated SR-IOV
//! host, in one run.
//!
//! The CPU is emulated, so only ratios of times are meaningful. `docs/performance.md` describes the
//! method.

mod cases;
mod crowd;
mod report;
mod statistics;
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use lab::bench_protocol::{Group, Turns};
use lab::{Error, HostKind, Lab, Nic, Result};

use crate::report::Report;
use crate::statistics::Statistics;
use crate::targets::{Sizes, targets};

const GROUP_TIMEOUT: Duration = Duration::from_secs(1800);

/// Compare runvf with runc, crun, `ip` and the bare kernel
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    kind: HostKind,
    /// Multiply the number of turns; the default takes about ten minutes
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Run only the groups with this text in their name
    #[arg(long)]
    only: Option<String>,
    /// Write the results as JSON to this file [default: bench-NIC.json in cargo's target folder]
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
    step("restoring the emulated SR-IOV host (its first build takes some minutes)");
    let nic = arguments.kind.nic;
    let lab = Lab::restore_with(arguments.kind)?;
    lab.install_runvf(nic)?;
    prepare(&lab, nic)?;
    let machine = machine(&lab)?;
    let mut turns = Turns::new();
    for (name, group) in cases::groups(nic, arguments.times) {
        if arguments.only.as_deref().is_none_or(|only| name.contains(only)) {
            step(name);
            turns.extend(run_group(&lab, &group)?);
        }
    }
    step("tracing concurrent attaches");
    // The measurements are reported also if the trace was too long for the kernel's buffer.
    let contention = contention(&lab).unwrap_or_else(|error| format!("not traced: {error}"));
    step("done");
    let cases: BTreeMap<String, Statistics> = turns
        .into_iter()
        .filter_map(|(name, turns)| Some((name, Statistics::of(&turns)?)))
        .collect();
    let targets = targets(nic, &cases, &sizes()?);
    let report = Report { machine, cases, targets, contention };
    println!("\n{}", report.text());
    let path = arguments.json.clone().unwrap_or_else(|| lab::target_dir().join(file_name(nic)));
    fs::write(&path, format!("{:#}\n", report.json()))
        .map_err(|source| Error::File { path: path.clone(), source })?;
    eprintln!("results as JSON: {}", path.display());
    Ok(())
}

/// The NIC's name in `functions.sh`.
fn nic_name(nic: Nic) -> &'static str {
    match nic {
        Nic::Intel82576 => "82576",
        Nic::IntelX710 => "x710",
    }
}

fn file_name(nic: Nic) -> String {
    format!("bench-{}.json", nic_name(nic))
}

/// Copies the programs and scripts of the benchmark into the guest, and sets it up.
fn prepare(lab: &Lab, nic: Nic) -> Result<()> {
    lab.push(lab::target_dir().join("dist/bench-guest"), "/usr/local/bin/bench-guest")?;
    lab.write("/tmp/bench.nic", nic_name(nic))?;
    lab.write("/tmp/bench.sh", include_str!("functions.sh"))?;
    lab.write("/tmp/by-hand.sh", include_str!("by-hand.sh"))?;
    lab.ok(include_str!("setup.sh")).map(drop)
}

fn run_group(lab: &Lab, group: &Group) -> Result<Turns> {
    lab.write("/tmp/group.json", serde_json::json!(group).to_string())?;
    let output = lab.ok_within(GROUP_TIMEOUT, "env -u GOGC bench-guest < /tmp/group.json")?;
    serde_json::from_str(&output.stdout).map_err(|source| Error::Json {
        command: "bench-guest".into(),
        output,
        source,
    })
}

/// Traces the lock waits of concurrent attaches.
fn contention(lab: &Lab) -> Result<String> {
    lab.write("/tmp/contention.sh", include_str!("contention.sh"))?;
    Ok(lab.ok_within(GROUP_TIMEOUT, "env -u GOGC bash /tmp/contention.sh")?.stdout)
}

/// Describes the host and the guest in two lines.
fn machine(lab: &Lab) -> Result<String> {
    let guest = lab.ok(include_str!("versions.sh"))?;
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|source| Error::File { path: path.into(), source })
    };
    let cpuinfo = read("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let cpu = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("?");
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let loadavg = read("/proc/loadavg")?;
    let load = loadavg.split(' ').take(3).collect::<Vec<_>>().join(" ");
    Ok(format!(
        "host: {cpus} × {cpu}, load before {load}; emulation by QEMU's TCG\n{}",
        guest.text()
    ))
}

fn sizes() -> Result<Sizes> {
    let size = |name: &str| {
        let path = lab::target_dir().join("dist").join(name);
        fs::metadata(&path).map(|found| found.len()).map_err(|source| Error::File { path, source })
    };
    Ok(Sizes { runvf: size("runvf")?, hook: size("runvf-hook")? })
}
