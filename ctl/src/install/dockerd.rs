//! How dockerd is started here, and what in that is in runvf's way.

use std::path::PathBuf;

use super::daemon_commands::{Started, started};
use super::root::Root;
use super::{NAME, RUNTIME, installed};
use crate::error::Error;

const CONFIG: &str = "/etc/docker/daemon.json";
/// What distributions put into dockerd's command line.
const DEFAULTS: [&str; 2] = ["/etc/default/docker", "/etc/sysconfig/docker"];

#[derive(Debug)]
pub(super) struct Dockerd {
    /// The configuration file.
    pub(super) config: PathBuf,
    pub(super) program: PathBuf,
    /// `None` if it does not run.
    pub(super) pid: Option<i32>,
    started: Vec<Started>,
    /// What of it cannot run a runtime of the host.
    unfit: Option<Unfit>,
}

#[derive(Debug, Clone, Copy)]
enum Unfit {
    Snap,
    Rootless,
}

impl Dockerd {
    pub(super) fn find(root: &Root, force: bool) -> Result<Self, Error> {
        let mut all = started(root, "dockerd", "docker.service");
        all.extend(DEFAULTS.iter().filter_map(|path| defaults(root, path)));
        let processes: Vec<_> = all.iter().filter_map(|started| started.process).collect();
        let pid = processes.iter().find(|process| process.uid == 0).map(|process| process.pid);
        let program = installed(root, "dockerd").or_else(|| program(&all));

        let snap = all.iter().any(|started| started.words[0].starts_with("/snap/"))
            || (program.is_none()
                && (root.has("/snap/bin/docker") || root.has("/var/snap/docker")));
        let rootless = pid.is_none() && !processes.is_empty();
        let unfit = match (snap, rootless) {
            (true, _) => Some(Unfit::Snap),
            (_, true) => Some(Unfit::Rootless),
            _ => None,
        };
        if program.is_none() && unfit.is_none() && root.is_host() && !force {
            return Err(Error::Missing {
                what: "dockerd".to_owned(),
                hint: "install Docker first; --force writes its configuration anyway".to_owned(),
            });
        }
        let config =
            all.iter().find_map(|started| started.values(&["--config-file"]).first().copied());
        let config = PathBuf::from(config.unwrap_or(CONFIG));
        let program = program.unwrap_or_else(|| "dockerd".into());
        Ok(Self { config, program, pid, started: all, unfit })
    }

    /// To be asked before runvf comes in; it may go at any time.
    pub(super) fn is_fit(&self) -> Result<(), Error> {
        match self.unfit {
            None => Ok(()),
            Some(Unfit::Snap) => Err(conflict(
                "Docker is the snap, which is confined and cannot run a runtime of the host".into(),
                "install docker.io or docker-ce instead",
            )),
            Some(Unfit::Rootless) => Err(conflict(
                "the only dockerd that runs is a rootless one, which cannot move a VF".into(),
                "start Docker as a system service",
            )),
        }
    }

    /// Whether it is told of runvf where it is started: its file need not, and could not.
    pub(super) fn is_started_with_runvf(&self) -> bool {
        let ours = format!("{NAME}={RUNTIME}");
        self.started.iter().any(|started| started.values(&["--add-runtime"]).contains(&&*ours))
    }

    pub(super) fn is_started_with_any_runvf(&self) -> bool {
        let named = |value: &&str| value.split('=').next() == Some(NAME);
        self.started.iter().any(|started| started.values(&["--add-runtime"]).iter().any(named))
    }

    /// dockerd does not start if a key is in its command line and in its file, and all of `--add-runtime` is one key.
    pub(super) fn can_take(&self, default: bool) -> Result<(), Error> {
        for (option, key, wanted) in
            [("--add-runtime", "runtimes", true), ("--default-runtime", "default-runtime", default)]
        {
            let given = self
                .started
                .iter()
                .find_map(|started| Some((started.values(&[option]).first().copied()?, started)));
            if let Some((value, started)) = given.filter(|_| wanted) {
                let config = self.config.display();
                let instead = match key {
                    "runtimes" => format!("{option} {NAME}={RUNTIME}"),
                    _ => format!("{option} {NAME}"),
                };
                return Err(conflict(
                    format!(
                        "dockerd is started with `{option} {value}` ({}), and with `{key}` in {config} as well it would not start",
                        started.from
                    ),
                    &format!("move that option into {config}, or add `{instead}` beside it"),
                ));
            }
        }
        Ok(())
    }
}

fn conflict(problem: String, hint: &str) -> Error {
    Error::Conflict { problem, hint: hint.to_owned() }
}

fn program(all: &[Started]) -> Option<PathBuf> {
    let words = all.iter().filter_map(|started| started.words.first());
    words.map(PathBuf::from).find(|path| path.is_absolute())
}

/// `DOCKER_OPTS="…"` or `OPTIONS='…'`, as a command line without a program.
fn defaults(root: &Root, path: &str) -> Option<Started> {
    let text = root.read(path).ok().flatten()?;
    let mut words = vec![String::new()];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((_, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        words.extend(value.split_whitespace().map(str::to_owned));
    }
    (words.len() > 1).then(|| Started { words, from: path.to_owned(), process: None })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        for (path, text) in files {
            let path = root.at(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (folder, root)
    }

    fn refusal(files: &[(&str, &str)], default: bool) -> String {
        let (_folder, root) = with(files);
        let dockerd = Dockerd::find(&root, false).unwrap();
        dockerd.is_fit().and_then(|()| dockerd.can_take(default)).unwrap_err().line()
    }

    #[test]
    fn a_runtime_in_the_command_line_is_in_the_way_wherever_it_comes_from() {
        let expected = |from: &str| {
            format!(
                "dockerd is started with `--add-runtime kata=/k` ({from}), and with `runtimes` in /etc/docker/daemon.json as \
                 well it would not start; move that option into /etc/docker/daemon.json, or add `--add-runtime \
                 runvf=/usr/bin/runvf` beside it"
            )
        };
        let process = ("/proc/7/cmdline", "/usr/bin/dockerd\0--add-runtime=kata=/k\0");
        assert_eq!(refusal(&[process], false), expected("process 7"));
        let defaults = (
            "/etc/default/docker",
            "# --add-runtime x=y\nDOCKER_OPTS=\"-D --add-runtime kata=/k\"\n",
        );
        assert_eq!(refusal(&[defaults], false), expected("/etc/default/docker"));
        let unit = (
            "/usr/lib/systemd/system/docker.service",
            "[Service]\nExecStart=/usr/bin/dockerd --add-runtime kata=/k\n",
        );
        assert_eq!(refusal(&[unit], false), expected("/usr/lib/systemd/system/docker.service"));
    }

    #[test]
    fn a_default_in_the_command_line_is_in_the_way_of_a_default_only() {
        let process = ("/proc/7/cmdline", "/usr/bin/dockerd\0--default-runtime\0crun\0");
        let (_folder, root) = with(&[process]);
        let dockerd = Dockerd::find(&root, false).unwrap();
        assert_eq!(dockerd.config, Path::new(CONFIG));
        dockerd.can_take(false).unwrap();
        assert!(refusal(&[process], true).contains("`--default-runtime crun` (process 7)"));
    }

    #[test]
    fn the_snap_is_refused_and_another_file_is_found() {
        assert!(refusal(&[("/snap/bin/docker", "")], false).starts_with("Docker is the snap"));
        let (_folder, root) = with(&[("/snap/bin/docker", "")]);
        assert_eq!(Dockerd::find(&root, false).unwrap().config, Path::new(CONFIG));
        let process = ("/proc/7/cmdline", "dockerd\0--config-file\0/srv/d.json\0");
        let (_folder, root) = with(&[process]);
        assert_eq!(Dockerd::find(&root, false).unwrap().config, Path::new("/srv/d.json"));
    }
}
