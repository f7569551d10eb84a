//! The processes of an engine's daemon.
//!
//! Every user can start a process with a daemon's name and any command line, and root then writes to
//! the files that this command line names. A process counts as the daemon only if all its user ids
//! are root's, it executes a program of the daemon's name, and it sees the files and processes that
//! runvfctl sees. The name in the command line proves nothing: sudo(8) runs as root with a name that
//! its caller chooses.

use std::fs;
use std::path::Path;

/// A process that is the daemon, and the words of its command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DaemonProcess {
    pub(super) pid: i32,
    pub(super) words: Vec<String>,
}

/// The daemon that systemd started, or all daemons of this name if systemd started none. `proc` is
/// the folder `/proc`.
pub(super) fn find(proc: &Path, program: &str, main_pid: Option<i32>) -> Vec<DaemonProcess> {
    // systemd knows its own process, also in a mount namespace of its own and after an upgrade,
    // which deletes the program that still runs.
    let is_main = |pid: &i32| {
        let deleted = format!("{program} (deleted)");
        is_of_root(proc, *pid) && (executes(proc, *pid, program) || executes(proc, *pid, &deleted))
    };
    if let Some(main) = main_pid.filter(is_main).and_then(|pid| read(proc, pid)) {
        return vec![main];
    }
    let is_daemon = |pid: &i32| {
        is_of_root(proc, *pid) && executes(proc, *pid, program) && shares_namespaces(proc, *pid)
    };
    let all = pids(proc).into_iter().filter(is_daemon);
    all.filter_map(|pid| read(proc, pid)).collect()
}

/// Whether a user other than root runs the program.
pub(super) fn is_run_by_other_user(proc: &Path, program: &str) -> bool {
    pids(proc).into_iter().any(|pid| executes(proc, pid, program) && !is_of_root(proc, pid))
}

fn pids(proc: &Path) -> Vec<i32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether the real, effective, saved and file system user id are all root's.
fn is_of_root(proc: &Path, pid: i32) -> bool {
    let status = fs::read_to_string(proc.join(format!("{pid}/status"))).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.is_some_and(|uids| uids.split_whitespace().eq(["0"; 4]))
}

/// Whether a process executes a program of this name.
fn executes(proc: &Path, pid: i32, program: &str) -> bool {
    let program_of = fs::read_link(proc.join(format!("{pid}/exe"))).ok();
    program_of.is_some_and(|path| path.file_name().is_some_and(|name| name == program))
}

/// Whether a process has the mount and the PID namespace of runvfctl.
fn shares_namespaces(proc: &Path, pid: i32) -> bool {
    let link = |process: &str, namespace: &str| {
        fs::read_link(proc.join(process).join("ns").join(namespace)).ok()
    };
    ["mnt", "pid"].iter().all(|namespace| {
        let own = link("self", namespace);
        own.is_some() && own == link(&pid.to_string(), namespace)
    })
}

fn read(proc: &Path, pid: i32) -> Option<DaemonProcess> {
    let line = fs::read(proc.join(format!("{pid}/cmdline"))).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    (!words.is_empty()).then_some(DaemonProcess { pid, words })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ROOT: &str = "0\t0\t0\t0";

    /// A process in a made `/proc`.
    fn process(proc: &Path, pid: &str, line: &str, exe: &str, uids: &str, mnt: &str) {
        let dir = proc.join(pid);
        fs::create_dir_all(dir.join("ns")).unwrap();
        fs::write(dir.join("cmdline"), line.replace(' ', "\0")).unwrap();
        fs::write(dir.join("status"), format!("Name:\tx\nUid:\t{uids}\n")).unwrap();
        symlink(exe, dir.join("exe")).unwrap();
        symlink(mnt, dir.join("ns/mnt")).unwrap();
        symlink("pid:[1]", dir.join("ns/pid")).unwrap();
    }

    fn found(proc: &Path, main_pid: Option<i32>) -> Vec<i32> {
        let mut all: Vec<_> =
            find(proc, "dockerd", main_pid).into_iter().map(|process| process.pid).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn only_a_process_of_root_in_this_mount_namespace_is_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let (line, exe, own) = ("dockerd --config-file /home/u/x", "/usr/bin/dockerd", "mnt:[1]");
        process(proc, "self", "runvfctl", "/usr/bin/runvfctl", ROOT, own);
        process(proc, "10", line, exe, "1000\t1000\t1000\t1000", own);
        process(proc, "11", line, exe, "1000\t0\t0\t0", own);
        process(proc, "12", line, "/usr/bin/sudo", ROOT, own);
        process(proc, "13", line, exe, ROOT, "mnt:[2]");
        process(proc, "14", line, "/usr/bin/dockerd (deleted)", ROOT, own);
        assert_eq!(found(proc, None), [0; 0]);
        assert_eq!(found(proc, Some(10)), [0; 0]);
        assert!(is_run_by_other_user(proc, "dockerd"));
        process(proc, "15", "dockerd -H fd://", exe, ROOT, own);
        process(proc, "16", "dockerd -H fd://", exe, ROOT, own);
        assert_eq!(found(proc, None), [15, 16]);
        assert_eq!(found(proc, Some(13)), [13]);
        assert_eq!(found(proc, Some(14)), [14]);
        assert_eq!(found(proc, Some(12)), [15, 16]);
        assert!(!is_run_by_other_user(proc, "containerd"));
    }

    #[test]
    fn words_of_a_command_line_are_separated_by_zero_bytes() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), "7", "dockerd --add-runtime a=b", "/usr/bin/dockerd", ROOT, "mnt:[1]");
        let words = read(dir.path(), 7).unwrap().words;
        assert_eq!(words, ["dockerd", "--add-runtime", "a=b"]);
    }
}
