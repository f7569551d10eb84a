//! Points between the steps at which a test may have the process killed, or the next step fail.
//!
//! Every step that the kernel or another process can see (a netlink request, a write to sysfs or procfs, an ioctl, a lock, a
//! change to a claim) has one right before it, so "killed after this step" is "killed at the next point". The feature
//! `fault-points` compiles them in; a program that is installed has none.
//!
//! - `RUNVF_FAULT=NAME:N:kill`: SIGKILL at the N-th passing of the point, counted from 1; 0: at each.
//! - `RUNVF_FAULT=NAME:N:error`: the step is not taken and fails with EIO.
//! - `RUNVF_FAULT=NAME:N:busy`: with EBUSY.
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

#[cfg(feature = "fault-points")]
pub(crate) use armed::point;

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
        if let Some(log) = env::var_os("RUNVF_FAULT_LOG")
            && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(log)
        {
            let _ = writeln!(file, "{name}");
        }
        let Ok(fault) = env::var("RUNVF_FAULT") else { return Ok(()) };
        let parts: Vec<&str> = fault.split(':').collect();
        let [at, nth, how] = parts[..] else { return Ok(()) };
        if at != name {
            return Ok(());
        }
        let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        if ![Ok(passed), Ok(0)].contains(&nth.parse()) {
            return Ok(());
        }
        match how {
            "kill" => raise(Signal::SIGKILL),
            "busy" => Err(Errno::EBUSY),
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
    const STEPS: [&str; 14] = [
        "fs::write(",
        "fs::rename(",
        "fs::remove_file(",
        "renameat2(",
        "libc::ioctl(",
        "setns(",
        "unshare(",
        "libc::send(",
        "fork()",
        "flock(&file",
        "kernel.send(",
        ".write_all(",
        ".write(",
        "SYS_pidfd_send_signal",
    ];

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => sources(&path, found),
                path => found.push(path),
            }
        }
    }

    /// The text from each `fn` to the next, without tests.
    fn functions(text: &str) -> Vec<String> {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let mut functions: Vec<String> = Vec::new();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let head = line.trim_start();
            if head.starts_with("fn ") || head.starts_with("pub") && head.contains(" fn ") {
                functions.push(String::new());
            }
            if let Some(last) = functions.last_mut() {
                last.push_str(line);
                last.push('\n');
            }
        }
        functions
    }

    #[test]
    fn every_step_has_its_point() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut steps = 0;
        for file in files {
            let name = file.to_string_lossy();
            if ["fault.rs", "in_a_netns.rs", "model", "tests.rs", "hostile.rs", "recorded.rs"]
                .iter()
                .any(|test| name.contains(test))
            {
                continue;
            }
            for function in functions(&fs::read_to_string(&file).unwrap()) {
                // The forked half of a bounded write, the removal of what was put away, and the write to a file that was opened right
                // before: their callers have the points.
                if ["fn write_and_exit", "fn clear", "fn append"]
                    .iter()
                    .any(|name| function.starts_with(name))
                {
                    continue;
                }
                let step = STEPS.iter().find(|step| function.contains(**step));
                steps += usize::from(step.is_some());
                assert!(
                    step.is_none() || function.contains("fault::point("),
                    "{}: `{}` is a step without a fault point in\n{function}",
                    file.display(),
                    step.unwrap()
                );
            }
        }
        assert!(steps >= 8, "only {steps} steps were found: the search is blind");
    }
}
