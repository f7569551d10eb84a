//! Child processes: the scripts around the timed work, and timed commands.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use lab::bench_protocol::Turn;
use nix::libc;

use crate::error::Result;

/// The output of the last child process. It is a file, because a background process of a script
/// would keep a pipe open.
const OUTPUT: &str = "/tmp/bench.output";

/// Runs a script in bash with `set -e`. An empty script is skipped.
pub(crate) fn run_script(script: &str) -> Result<()> {
    if script.is_empty() {
        return Ok(());
    }
    let output = File::create(OUTPUT)?;
    let mut bash = Command::new("bash");
    bash.args(["-ec", script]).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    if bash.status()?.success() {
        return Ok(());
    }
    Err(format!("{script}: {}", fs::read_to_string(OUTPUT)?).into())
}

/// Runs a command, and measures its time and its peak memory.
pub(crate) fn time_command(argv: &[String], stdin: Option<&str>) -> Result<Turn> {
    let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
    let stdin = stdin.map(File::open).transpose()?.map_or_else(Stdio::null, Stdio::from);
    let output = File::create(OUTPUT)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(stdin).stdout(output.try_clone()?).stderr(output);
    let began = Instant::now();
    let pid = command.spawn()?.id();
    let (status, peak) = wait(pid.try_into()?)?;
    let nanoseconds = nanoseconds_since(began);
    if !status.success() {
        let output = fs::read_to_string(OUTPUT).unwrap_or_default();
        return Err(format!("{argv:?}: {status}: {output}").into());
    }
    Ok(Turn { nanoseconds, peak })
}

pub(crate) fn nanoseconds_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Waits for a child. Returns its exit status, and its peak memory in KiB, which the standard
/// library does not report.
fn wait(pid: libc::pid_t) -> Result<(ExitStatus, u64)> {
    let mut status = 0;
    // SAFETY: all zeros is a valid rusage, which consists of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid during the call. `pid` is a child of this process, and no
    // other code waits for it.
    match unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } {
        ended if ended == pid => {
            Ok((ExitStatus::from_raw(status), usage.ru_maxrss.try_into().unwrap_or_default()))
        }
        _ => Err(io::Error::last_os_error().into()),
    }
}
