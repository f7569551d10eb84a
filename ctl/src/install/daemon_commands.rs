//! How the engines' daemons run: their processes and their systemd units, read below a root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::root::Root;

/// A command line, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) words: Vec<String>,
    pub(crate) from: String,
    /// `None` is a unit, whose process need not run.
    pub(crate) process: Option<Process>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl Started {
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

/// The running ones come first.
pub(crate) fn started(root: &Root, program: &str, unit: &str) -> Vec<Started> {
    let mut all = processes(root, program);
    all.extend(unit_commands(root, program, unit));
    all
}

/// Those of this machine. One in a container (Docker in Docker) is seen in `/proc`, too, but in another pid namespace.
fn processes(root: &Root, program: &str) -> Vec<Started> {
    // It is a link that leads nowhere.
    let namespace = |pid: &str| {
        let folder = root.at(format!("/proc/{pid}/ns")).ok()?;
        fs::read_link(folder.join("pid")).ok()
    };
    let ours = namespace("self");
    let mut found = Vec::new();
    for entry in root.entries("/proc") {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        let line = root.at(format!("/proc/{name}/cmdline")).ok();
        let Some(line) = line.and_then(|path| fs::read(path).ok()) else { continue };
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if !is(&words, program) || namespace(&name) != ours {
            continue;
        }
        let Ok(owner) = entry.metadata() else { continue };
        let process = Some(Process { pid, uid: owner.uid() });
        found.push(Started { words, from: format!("process {pid}"), process });
    }
    found
}

fn is(words: &[String], program: &str) -> bool {
    words.first().and_then(|word| Path::new(word).file_name()).is_some_and(|name| name == program)
}

/// As systemd reads it: the first folder that has the unit, then all drop-ins by name; an empty `ExecStart=` forgets those before.
fn unit_commands(root: &Root, program: &str, unit: &str) -> Vec<Started> {
    const FOLDERS: [&str; 4] = ["/etc", "/run", "/usr/lib", "/lib"];
    let folder = |base: &str| format!("{base}/systemd/system/{unit}");
    let mut files: Vec<String> = Vec::new();
    files.extend(FOLDERS.map(folder).into_iter().find(|path| root.has(path)));
    let mut dropins = Vec::new();
    for base in FOLDERS.map(folder) {
        let folder = format!("{base}.d");
        for entry in root.entries(&folder) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".conf") {
                dropins.push((name.clone(), format!("{folder}/{name}")));
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
                    commands.push(Started { words, from: path.clone(), process: None });
                }
                None => {}
            }
        }
    }
    commands.retain(|started| is(&started.words, program));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Root, path: &str, text: &str) {
        let path = root.at(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn units_and_processes_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
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
        let all = started(&root, "dockerd", "docker.service");
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].values(&["--add-runtime"]), ["a=b"]);
        assert_eq!(all[0].from, "process 7");
        assert_eq!(all[1].values(&["--add-runtime"]), ["runvf=/x"]);
        assert_eq!(all[1].values(&["--config-file"]), ["/y"]);
        assert_eq!(all[1].from, "/etc/systemd/system/docker.service.d/x.conf");
    }
}
