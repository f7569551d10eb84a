//! The command lines of an engine's daemon: of its processes and of its systemd unit, read below a
//! root.

use std::path::Path;

use super::command::{self, COMMAND_TIMEOUT};
use super::daemon_processes::{self, DaemonProcess};
use super::root::Root;

/// A command line, and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaemonCommand {
    pub(crate) words: Vec<String>,
    /// The process or the file, as an error names it.
    pub(crate) source: String,
    /// `None`: the command line is from a file, and the daemon may not be running.
    pub(crate) pid: Option<i32>,
}

impl DaemonCommand {
    /// Every value of an option, written `--name value` or `--name=value`.
    pub(crate) fn values(&self, names: &[&str]) -> Vec<&str> {
        let mut values = Vec::new();
        let mut words = self.words.iter().skip(1).map(String::as_str);
        while let Some(word) = words.next() {
            if names.contains(&word) {
                values.extend(words.next());
            } else if let Some((name, value)) = word.split_once('=')
                && names.contains(&name)
            {
                values.push(value.trim_matches(['"', '\'']));
            }
        }
        values
    }
}

/// All command lines of a daemon; running processes come first. An offline system has no processes:
/// its `/proc` is that of this host, if it is mounted at all.
pub(crate) fn find(root: &Root, program: &str, unit: &str) -> Vec<DaemonCommand> {
    let processes = match root.is_host() {
        true => daemon_processes::find(Path::new("/proc"), program, main_pid(unit)),
        false => Vec::new(),
    };
    let running = processes.into_iter().map(|DaemonProcess { pid, words }| DaemonCommand {
        words,
        source: format!("process {pid}"),
        pid: Some(pid),
    });
    running.chain(unit_commands(root, program, unit)).collect()
}

/// The main process of a systemd unit; `None` if the unit does not run.
fn main_pid(unit: &str) -> Option<i32> {
    let show = ["systemctl", "show", "--property=MainPID", "--value", unit];
    let pid = command::stdout(&show, COMMAND_TIMEOUT).ok()?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

fn runs_program(words: &[String], program: &str) -> bool {
    words.first().and_then(|word| Path::new(word).file_name()).is_some_and(|name| name == program)
}

/// The `ExecStart=` lines of a unit, in the order of systemd.unit(5):
/// the unit file from the first directory that has it, then all drop-ins sorted by name. An empty
/// `ExecStart=` clears the earlier ones.
fn unit_commands(root: &Root, program: &str, unit: &str) -> Vec<DaemonCommand> {
    const DIRS: [&str; 4] = ["/etc", "/run", "/usr/lib", "/lib"];
    let dir = |base: &str| format!("{base}/systemd/system/{unit}");
    let mut files: Vec<String> = Vec::new();
    files.extend(DIRS.map(dir).into_iter().find(|path| root.exists(path)));
    let mut dropins = Vec::new();
    for base in DIRS.map(dir) {
        let dir = format!("{base}.d");
        for entry in root.entries(&dir) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".conf") {
                dropins.push((name.clone(), format!("{dir}/{name}")));
            }
        }
    }
    dropins.sort();
    files.extend(dropins.into_iter().map(|(_, path)| path));

    let mut commands = Vec::new();
    for path in files {
        let text = root.read(&path).ok().flatten().unwrap_or_default().replace("\\\n", " ");
        for line in text.lines() {
            match line.trim().strip_prefix("ExecStart=").map(str::trim) {
                Some("") => commands.clear(),
                Some(command) => {
                    let words = command.trim_start_matches(['@', '-', ':', '+', '!']);
                    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
                    commands.push(DaemonCommand { words, source: path.clone(), pid: None });
                }
                None => {}
            }
        }
    }
    commands.retain(|command| runs_program(&command.words, program));
    commands
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Root, path: &str, text: &str) {
        let path = root.resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn unit_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        write(
            &root,
            "/usr/lib/systemd/system/docker.service",
            "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n",
        );
        write(
            &root,
            "/etc/systemd/system/docker.service.d/x.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd \\\n  --add-runtime=runvf=/x --config-file /y\n",
        );
        let all = find(&root, "dockerd", "docker.service");
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].values(&["--add-runtime"]), ["runvf=/x"]);
        assert_eq!(all[0].values(&["--config-file"]), ["/y"]);
        assert_eq!(all[0].source, "/etc/systemd/system/docker.service.d/x.conf");
    }

    #[test]
    fn processes_of_this_host_are_not_those_of_an_offline_system() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        write(&root, "/proc/7/cmdline", "/usr/bin/dockerd\0--config-file\0/x\0");
        assert_eq!(find(&root, "dockerd", "docker.service"), []);
    }
}
