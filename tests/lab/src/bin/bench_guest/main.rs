//! The half of `make bench` that runs in the guest: a group of cases on stdin, how each turn went on stdout.

mod fake_host;
mod kernel_floor;
mod netlink;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use lab::bench_protocol::{Case, Group, Timed, Turn, Turns};
use nix::libc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Result<()> {
    let group: Group = serde_json::from_reader(io::stdin().lock())?;
    let mut trees = fake_host::Trees::default();
    let mut turns = Turns::from_iter(group.cases.iter().map(|case| (case.name.clone(), vec![])));
    for round in 0..group.warm_up + group.turns {
        for case in &group.cases {
            let turn = turn(case, &mut trees).map_err(|error| format!("{}: {error}", case.name))?;
            if round >= group.warm_up {
                turns.entry(case.name.clone()).or_default().push(turn);
            }
        }
    }
    Ok(serde_json::to_writer(io::stdout().lock(), &BTreeMap::from_iter(turns))?)
}

fn turn(case: &Case, trees: &mut fake_host::Trees) -> Result<Turn> {
    script(&case.before)?;
    let turn = match &case.timed {
        Timed::Command { argv, stdin } => command(argv, stdin.as_deref())?,
        Timed::Floor(floor) => {
            let floor = kernel_floor::Ready::new(floor)?;
            timed(|| floor.perform())?
        }
        Timed::Floors { floors, at_once } => {
            let floors: Vec<_> =
                floors.iter().map(kernel_floor::Ready::new).collect::<Result<_>>()?;
            timed(|| match at_once {
                true => kernel_floor::all_at_once(&floors),
                false => floors.iter().try_for_each(kernel_floor::Ready::perform),
            })?
        }
        Timed::Claim { vfs, claimed } => {
            let tree = trees.get(*vfs, *claimed)?;
            timed(|| tree.claim())?
        }
    };
    script(&case.after)?;
    Ok(turn)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Turn> {
    let began = Instant::now();
    work()?;
    Ok(Turn { nanoseconds: nanoseconds(began), peak: 0 })
}

fn nanoseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn script(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    // Files, since who runs on in the background would keep a pipe open.
    let said = File::create("/tmp/bench.said")?;
    let mut bash = Command::new("bash");
    bash.args(["-ec", text]).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    if bash.status()?.success() {
        return Ok(());
    }
    Err(format!("{text}: {}", std::fs::read_to_string("/tmp/bench.said")?).into())
}

fn command(argv: &[String], stdin: Option<&str>) -> Result<Turn> {
    let (program, arguments) = argv.split_first().ok_or("no command")?;
    let stdin = stdin.map(File::open).transpose()?.map_or_else(Stdio::null, Stdio::from);
    let said = File::create("/tmp/bench.said")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(stdin).stdout(said.try_clone()?).stderr(said);
    let began = Instant::now();
    let pid = command.spawn()?.id();
    let (status, peak) = wait(pid.try_into()?)?;
    let nanoseconds = nanoseconds(began);
    if !status.success() {
        let said = std::fs::read_to_string("/tmp/bench.said").unwrap_or_default();
        return Err(format!("{argv:?}: {status}: {said}").into());
    }
    Ok(Turn { nanoseconds, peak })
}

/// Waits for a child; how it ended, and its peak memory in KiB, which the standard library does not tell.
fn wait(pid: libc::pid_t) -> Result<(ExitStatus, u64)> {
    let mut status = 0;
    // SAFETY: all zeros is a valid rusage, which is numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both outlive the call; the child is ours, and nobody else waits for it.
    match unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } {
        ended if ended == pid => {
            Ok((ExitStatus::from_raw(status), usage.ru_maxrss.try_into().unwrap_or_default()))
        }
        _ => Err(io::Error::last_os_error().into()),
    }
}
