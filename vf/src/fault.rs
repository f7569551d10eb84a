//! Points between the steps at which a test may have the process killed, or the next step fail.
//!
//! Every step that the kernel or another process can see (a netlink request, a write to sysfs or procfs, an ioctl, a lock, a
//! change to a claim) has one right before it, so "killed after this step" is "killed at the next point". The feature
//! `fault-points` compiles them in; a program that is installed has none.
//!
//! - `RUNVF_FAULT=NAME:N:kill`: SIGKILL at the N-th passing of the point, counted from 1; 0: at each.
//! - `RUNVF_FAULT=NAME:N:error`: the step is not taken and fails with EIO.
//! - `RUNVF_FAULT=NAME:N:busy`: with EBUSY.
//! - `RUNVF_FAULT=NAME:N:lie`: the step is not taken, and the kernel seems to have taken it. Only where it is the kernel's: [`lie`].
//! - `RUNVF_FAULT_LOG=FILE`: the name of each point that is passed is appended as a line.

#[cfg(not(feature = "fault-points"))]
use nix::errno::Errno;

/// # Errors
/// The errno with which the next step is to fail.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(crate) const fn point(_name: &'static str) -> Result<(), Errno> {
    Ok(())
}

/// As [`point`], before what only the kernel can do: whether it is to say that it did, and not do it. Its word is never to be taken for
/// a VF's VLAN or trust, nor for a driver that is gone.
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

    static PASSED: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn point(name: &'static str) -> Result<(), Errno> {
        match lie(name) {
            // Nobody else is there to tell it.
            Ok(true) => Err(Errno::EIO),
            told => told.map(drop),
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
        let [at, nth, how] = parts[..] else { return Ok(false) };
        if at != name {
            return Ok(false);
        }
        let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        if ![Ok(passed), Ok(0)].contains(&nth.parse()) {
            return Ok(false);
        }
        match how {
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

    /// What changes something that others can see, or waits for them. To be found by text, so that a new step cannot be
    /// forgotten.
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

    /// Steps that need no point, or have it elsewhere, by their function.
    const WITHOUT: [(&str, usize, &str); 6] = [
        ("sysfs.rs write_and_exit", 2, "the forked half of a bounded write"),
        ("claim.rs clear", 2, "the removal of what was put away"),
        ("audit.rs append", 1, "the write to a file that was opened right before"),
        ("devlink.rs ask", 1, "a question to devlink, of which its caller says so"),
        ("lock.rs lock", 2, "the name of who has a lock, for people"),
        ("claim.rs create", 1, "the removal of what was put aside and not used"),
    ];

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => sources(&path, found),
                path => found.push(path),
            }
        }
    }

    /// Name and text of each function, without tests.
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

    fn count(text: &str, of: &[&str]) -> usize {
        of.iter().map(|one| text.matches(one).count()).sum()
    }

    #[test]
    fn every_step_has_its_point() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut all = 0;
        for file in files {
            let name = file.to_string_lossy();
            if ["fault.rs", "in_a_netns.rs", "model", "tests.rs", "hostile.rs", "recorded.rs"]
                .iter()
                .any(|test| name.contains(test))
            {
                continue;
            }
            for (name, text) in functions(&fs::read_to_string(&file).unwrap()) {
                // The function's own head is no call of it.
                let body = text.split_once('{').map_or("", |(_, body)| body);
                // A way to open a file is none.
                let steps = count(body, &STEPS) - count(body, &[".write(true)"]);
                let place = format!("{} {name}", file.file_name().unwrap().to_string_lossy());
                let known =
                    WITHOUT.iter().find(|known| known.0 == place).map_or(0, |known| known.1);
                all += steps;
                assert!(
                    steps <= count(body, &POINTS) + known,
                    "{}: a step without a fault point in\n{text}",
                    file.display()
                );
            }
        }
        assert_eq!(all, 22, "has the search gone blind, or is there one more?");
    }
}
