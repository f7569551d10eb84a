//! Fault points: places where a test can kill the process or make the next step fail.
//!
//! A step is an action that the kernel or another process can see: a netlink request, a write to
//! sysfs or procfs, an ioctl, a lock, a change to a claim. Each step has a fault point right before
//! it, so "killed after this step" is "killed at the next point". The feature `fault-points`
//! compiles the points in; installed programs have none.
//!
//! - `RUNVF_FAULT=NAME:N:kill`: SIGKILL when the point NAME is reached for the N-th time, counted
//!   from 1. With N = 0: every time. The same holds for the other actions.
//! - `RUNVF_FAULT=NAME:N:error`: the step is skipped and fails with EIO.
//! - `RUNVF_FAULT=NAME:N:busy`: the step is skipped and fails with EBUSY.
//! - `RUNVF_FAULT=NAME:N:lie`: the step is skipped, but reported as successful. Only for steps of
//!   the kernel, see [`lie`]; at the other points the step fails with EIO.
//! - `RUNVF_FAULT_LOG=FILE`: appends the name of each point that is reached as a line to FILE.

#[cfg(not(feature = "fault-points"))]
use nix::errno::Errno;

/// A fault point before a step.
///
/// # Errors
/// The errno that the step must return.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(crate) const fn point(_name: &'static str) -> Result<(), Errno> {
    Ok(())
}

/// A fault point before a step that the kernel does. `true`: the caller must skip the step and
/// report success, as a kernel or driver would that does not do what it reports. So tests can check
/// that runvf reads back a VF's VLAN and trust, and that a driver is unbound.
///
/// # Errors
/// As [`point`].
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(crate) const fn lie(_name: &'static str) -> Result<bool, Errno> {
    Ok(false)
}

#[cfg(feature = "fault-points")]
pub(crate) use armed::{lie, point};

#[cfg(feature = "fault-points")]
mod armed {
    use std::env;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, raise};

    /// How often the point in `RUNVF_FAULT` was reached.
    static REACHED: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn point(name: &'static str) -> Result<(), Errno> {
        match lie(name) {
            // This step cannot be reported as successful, so it fails.
            Ok(true) => Err(Errno::EIO),
            result => result.map(drop),
        }
    }

    pub(crate) fn lie(name: &'static str) -> Result<bool, Errno> {
        if let Some(log) = env::var_os("RUNVF_FAULT_LOG")
            && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(log)
        {
            let _ = writeln!(file, "{name}");
        }
        let Ok(fault) = env::var("RUNVF_FAULT") else { return Ok(false) };
        let parts: Vec<&str> = fault.split(':').collect();
        let [point, nth, action] = parts[..] else { return Ok(false) };
        if point != name {
            return Ok(false);
        }
        let reached = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
        if ![Ok(reached), Ok(0)].contains(&nth.parse()) {
            return Ok(false);
        }
        match action {
            "kill" => raise(Signal::SIGKILL).map(|()| false),
            "busy" => Err(Errno::EBUSY),
            "lie" => Ok(true),
            _ => Err(Errno::EIO),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Calls that change something which another process can see, or wait for another process. The
    /// test searches the source text for them, so that a new step without a fault point is found.
    const STEPS: [&str; 23] = [
        "fs::write(",
        "fs::rename(",
        "fs::remove_file(",
        "fs::remove_dir",
        "fs::create_dir",
        "fs::set_permissions(",
        "File::create(",
        "symlink(",
        ".set_len(",
        "renameat2(",
        "libc::ioctl(",
        "setns(",
        "unshare(",
        "libc::send(",
        "sendto(",
        "fork()",
        "Command::new(",
        ".try_lock()",
        "kernel.send(",
        "write_bounded(",
        ".write_all(",
        ".write(",
        "pidfd_send_signal(",
    ];
    const POINTS: [&str; 2] = ["fault::point(", "fault::lie("];

    /// Steps without a fault point in the same function: file and function, their number, and the
    /// reason.
    const WITHOUT: [(&str, usize, &str); 6] = [
        ("claims.rs remove_path", 2, "its callers have the fault point"),
        ("devlink.rs query", 1, "its caller has the fault point"),
        ("netns.rs enter", 1, "moves a thread of `status`, which changes nothing"),
        ("socket.rs send", 1, "its callers have the fault point, or only list sockets"),
        ("lock.rs lock", 2, "writes the holder's name into the lock file, for error messages only"),
        ("claims.rs create", 1, "removes its own temporary file that was not used"),
    ];

    fn list_sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => list_sources(&path, found),
                path => found.push(path),
            }
        }
    }

    /// The name and the text of each function, without the tests of the file.
    fn functions(text: &str) -> Vec<(String, String)> {
        let lines: Vec<&str> = text.lines().collect();
        let tests = lines.windows(2).position(|two| {
            two[0] == "#[cfg(test)]" && two[1].contains("mod ") && two[1].ends_with('{')
        });
        let code = lines[..tests.unwrap_or(lines.len())].iter();
        let mut functions: Vec<(String, String)> = Vec::new();
        for line in code.filter(|line| !line.trim_start().starts_with("//")) {
            let head = line.trim_start();
            if let Some((before, name)) = head.split_once("fn ")
                && (before.is_empty() || before.starts_with("pub") || before.starts_with("const"))
            {
                let name = name.split(['(', '<']).next().unwrap_or_default();
                functions.push((name.to_owned(), String::new()));
            }
            if let Some((_, last)) = functions.last_mut() {
                last.push_str(line);
                last.push('\n');
            }
        }
        functions
    }

    fn count(text: &str, patterns: &[&str]) -> usize {
        patterns.iter().map(|pattern| text.matches(pattern).count()).sum()
    }

    #[test]
    fn every_step_has_a_fault_point() {
        let mut files = Vec::new();
        list_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut total = 0;
        for file in files {
            let name = file.to_string_lossy();
            if ["fault.rs", "in_a_netns.rs", "model", "tests.rs", "hostile.rs"]
                .iter()
                .any(|test_file| name.contains(test_file))
            {
                continue;
            }
            for (name, text) in functions(&fs::read_to_string(&file).unwrap()) {
                // The signature of a function is not a call of it.
                let body = text.split_once('{').map_or("", |(_, body)| body);
                // `.write(true)` of `OpenOptions` is not a step.
                let steps = count(body, &STEPS) - count(body, &[".write(true)"]);
                let place = format!("{} {name}", file.file_name().unwrap().to_string_lossy());
                let without =
                    WITHOUT.iter().find(|entry| entry.0 == place).map_or(0, |entry| entry.1);
                total += steps;
                assert!(
                    steps <= count(body, &POINTS) + without,
                    "{}: a step without a fault point in\n{text}",
                    file.display()
                );
            }
        }
        assert_eq!(total, 33, "the search misses steps, or a step was added or removed");
    }
}
