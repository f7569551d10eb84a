//! The command lines of an engine's daemon: of its processes and of its systemd unit, read below a
//! root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::root::Root;

/// A command line, and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaemonCommand {
    pub(crate) words: Vec<String>,
    /// The process or the file, as an error names it.
    pub(crate) source: String,
    /// `None`: the command line is from a file, and the daemon may not be running.
    pub(crate) process: Option<Process>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
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

/// All command lines of a daemon; running processes come first.
pub(crate) fn find(root: &Root, program: &str, unit: &str) -> Vec<DaemonCommand> {
    let mut all = processes(root, program);
    all.extend(unit_commands(root, program, unit));
    all
}

/// The processes in this PID namespace. `/proc` also shows daemons in containers (Docker in
/// Docker), which have a PID namespace of their own.
fn processes(root: &Root, program: &str) -> Vec<DaemonCommand> {
    // The link is only read, not followed: its target is not a path.
    let pid_namespace = |pid: &str| {
        let dir = root.resolve(format!("/proc/{pid}/ns")).ok()?;
        fs::read_link(dir.join("pid")).ok()
    };
    let own_namespace = pid_namespace("self");
    let mut found = Vec::new();
    for entry in root.entries("/proc") {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        let line = root.resolve(format!("/proc/{name}/cmdline")).ok();
        let Some(line) = line.and_then(|path| fs::read(path).ok()) else { continue };
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if !runs_program(&words, program) || pid_namespace(&name) != own_namespace {
            continue;
        }
        let Ok(owner) = entry.metadata() else { continue };
        let process = Some(Process { pid, uid: owner.uid() });
        found.push(DaemonCommand { words, source: format!("process {pid}"), process });
    }
    found
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
                    commands.push(DaemonCommand { words, source: path.clone(), process: None });
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
    use super::*;

    fn write(root: &Root, path: &str, text: &str) {
        let path = root.resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn unit_files_and_processes_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        write(&root, "/proc/7/cmdline", "/usr/bin/dockerd\0-H\0fd://\0--add-runtime\0a=b\0");
        write(&root, "/proc/8/cmdline", "vi\0dockerd\0");
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
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].values(&["--add-runtime"]), ["a=b"]);
        assert_eq!(all[0].source, "process 7");
        assert_eq!(all[1].values(&["--add-runtime"]), ["runvf=/x"]);
        assert_eq!(all[1].values(&["--config-file"]), ["/y"]);
        assert_eq!(all[1].source, "/etc/systemd/system/docker.service.d/x.conf");
    }
}
