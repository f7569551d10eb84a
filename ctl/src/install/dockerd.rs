//! How dockerd is started on this system, and what prevents it from using runvf.

use std::path::{Path, PathBuf};

use super::daemon_commands::{self, DaemonCommand};
use super::daemon_processes;
use super::engine::{NAME, RUNTIME};
use super::root::Root;
use crate::error::Error;

const CONFIG: &str = "/etc/docker/daemon.json";
/// Files with additional dockerd options, as distributions install them.
const DEFAULTS: [&str; 2] = ["/etc/default/docker", "/etc/sysconfig/docker"];

#[derive(Debug)]
pub(super) struct Dockerd {
    /// The configuration file.
    pub(super) config: PathBuf,
    pub(super) program: PathBuf,
    /// The daemon that runs as root; `None` if it does not run.
    pub(super) pid: Option<i32>,
    commands: Vec<DaemonCommand>,
    unsupported: Option<Unsupported>,
}

/// A kind of installation that cannot run a runtime of the host.
#[derive(Debug, Clone, Copy)]
enum Unsupported {
    Snap,
    Rootless,
}

impl Dockerd {
    /// # Errors
    /// When dockerd is not installed on the host, unless `force` is set.
    pub(super) fn find(root: &Root, force: bool) -> Result<Self, Error> {
        let commands = daemon_commands::find(root, "dockerd", "docker.service");
        let rootless = root.is_host()
            && commands.iter().all(|command| command.pid.is_none())
            && daemon_processes::is_run_by_other_user(Path::new("/proc"), "dockerd");
        Self::from_commands(root, commands, rootless, force)
    }

    fn from_commands(
        root: &Root,
        mut commands: Vec<DaemonCommand>,
        rootless: bool,
        force: bool,
    ) -> Result<Self, Error> {
        commands.extend(DEFAULTS.iter().filter_map(|path| default_options(root, path)));
        let pid = commands.iter().find_map(|command| command.pid);
        let program = root.find_program("dockerd").or_else(|| started_program(&commands));

        let snap = commands.iter().any(|command| command.words[0].starts_with("/snap/"))
            || (program.is_none()
                && (root.exists("/snap/bin/docker") || root.exists("/var/snap/docker")));
        let unsupported = match (snap, rootless) {
            (true, _) => Some(Unsupported::Snap),
            (_, true) => Some(Unsupported::Rootless),
            _ => None,
        };
        if program.is_none() && unsupported.is_none() && root.is_host() && !force {
            return Err(Error::NotInstalled {
                object: "dockerd".to_owned(),
                hint: "install Docker first, or use --force to write its configuration anyway"
                    .to_owned(),
            });
        }
        let config =
            commands.iter().find_map(|command| command.values(&["--config-file"]).first().copied());
        let config = PathBuf::from(config.unwrap_or(CONFIG));
        let program = program.unwrap_or_else(|| "dockerd".into());
        Ok(Self { config, program, pid, commands, unsupported })
    }

    /// Checked by install only: uninstall must work on an unsupported installation, too.
    pub(super) fn check_supported(&self) -> Result<(), Error> {
        match self.unsupported {
            None => Ok(()),
            Some(Unsupported::Snap) => Err(conflict(
                "Docker is installed as a snap, which cannot run a runtime of the host".into(),
                "install docker.io or docker-ce instead",
            )),
            Some(Unsupported::Rootless) => Err(conflict(
                "only a rootless dockerd is running, which cannot move a VF".into(),
                "start Docker as a system service",
            )),
        }
    }

    /// Whether the command line adds runvf. The configuration file must not add it as well.
    pub(super) fn is_started_with_runvf(&self) -> bool {
        let runvf = format!("{NAME}={RUNTIME}");
        self.commands.iter().any(|command| command.values(&["--add-runtime"]).contains(&&*runvf))
    }

    /// Whether the command line adds a runtime named runvf, with any program.
    pub(super) fn is_started_with_any_runvf(&self) -> bool {
        let is_runvf = |value: &&str| value.split('=').next() == Some(NAME);
        self.commands.iter().any(|command| command.values(&["--add-runtime"]).iter().any(is_runvf))
    }

    /// dockerd does not start if its command line and its file set the same key; every
    /// `--add-runtime` sets the key `runtimes`.
    pub(super) fn check_command_line(&self, default: bool) -> Result<(), Error> {
        for (option, key, is_set) in
            [("--add-runtime", "runtimes", true), ("--default-runtime", "default-runtime", default)]
        {
            let given = self
                .commands
                .iter()
                .find_map(|command| Some((command.values(&[option]).first().copied()?, command)));
            if let Some((value, command)) = given.filter(|_| is_set) {
                let config = self.config.display();
                let instead = match key {
                    "runtimes" => format!("{option} {NAME}={RUNTIME}"),
                    _ => format!("{option} {NAME}"),
                };
                return Err(conflict(
                    format!(
                        "dockerd is started with `{option} {value}` ({}) and does not start if \
                         {config} sets `{key}` as well",
                        command.source
                    ),
                    &format!(
                        "move that option to {config}, or add `{instead}` to the command line"
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn conflict(problem: String, hint: &str) -> Error {
    Error::Conflict { problem, hint: hint.to_owned() }
}

fn started_program(commands: &[DaemonCommand]) -> Option<PathBuf> {
    let words = commands.iter().filter_map(|command| command.words.first());
    words.map(PathBuf::from).find(|path| path.is_absolute())
}

/// The options in `DOCKER_OPTS="…"` or `OPTIONS='…'`, as a command line with an empty program.
fn default_options(root: &Root, path: &str) -> Option<DaemonCommand> {
    let text = root.read(path).ok().flatten()?;
    let mut words = vec![String::new()];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((_, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        words.extend(value.split_whitespace().map(str::to_owned));
    }
    (words.len() > 1).then(|| DaemonCommand { words, source: path.to_owned(), pid: None })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (path, text) in files {
            let path = root.resolve(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (dir, root)
    }

    fn refusal(dockerd: &Dockerd, default: bool) -> String {
        let refused = dockerd.check_supported().and_then(|()| dockerd.check_command_line(default));
        refused.unwrap_err().line()
    }

    /// dockerd of a system with these files.
    fn stopped(files: &[(&str, &str)]) -> Dockerd {
        let (_dir, root) = with(files);
        Dockerd::find(&root, false).unwrap()
    }

    /// dockerd as process 7 with this command line.
    fn running(line: &str) -> Dockerd {
        let (_dir, root) = with(&[]);
        let words = line.split(' ').map(str::to_owned).collect();
        let command = DaemonCommand { words, source: "process 7".to_owned(), pid: Some(7) };
        Dockerd::from_commands(&root, vec![command], false, false).unwrap()
    }

    #[test]
    fn runtime_in_any_command_line_is_refused() {
        let expected = |source: &str| {
            format!(
                "dockerd is started with `--add-runtime kata=/k` ({source}) and does not start if /etc/docker/daemon.json \
                 sets `runtimes` as well; move that option to /etc/docker/daemon.json, or add `--add-runtime \
                 runvf=/usr/bin/runvf` to the command line"
            )
        };
        let process = running("/usr/bin/dockerd --add-runtime=kata=/k");
        assert_eq!(refusal(&process, false), expected("process 7"));
        let defaults = (
            "/etc/default/docker",
            "# --add-runtime x=y\nDOCKER_OPTS=\"-D --add-runtime kata=/k\"\n",
        );
        assert_eq!(refusal(&stopped(&[defaults]), false), expected("/etc/default/docker"));
        let unit = (
            "/usr/lib/systemd/system/docker.service",
            "[Service]\nExecStart=/usr/bin/dockerd --add-runtime kata=/k\n",
        );
        let source = "/usr/lib/systemd/system/docker.service";
        assert_eq!(refusal(&stopped(&[unit]), false), expected(source));
    }

    #[test]
    fn default_runtime_in_the_command_line_prevents_only_default() {
        let dockerd = running("/usr/bin/dockerd --default-runtime crun");
        assert_eq!(dockerd.config, Path::new(CONFIG));
        assert_eq!(dockerd.pid, Some(7));
        dockerd.check_command_line(false).unwrap();
        assert!(refusal(&dockerd, true).contains("`--default-runtime crun` (process 7)"));
    }

    #[test]
    fn snap_and_rootless_are_refused_and_config_file_option_is_followed() {
        let snap = stopped(&[("/snap/bin/docker", "")]);
        assert!(refusal(&snap, false).starts_with("Docker is installed as a snap"));
        assert_eq!(snap.config, Path::new(CONFIG));
        let (_dir, root) = with(&[]);
        let rootless = Dockerd::from_commands(&root, Vec::new(), true, false).unwrap();
        assert!(refusal(&rootless, false).starts_with("only a rootless dockerd is running"));
        assert_eq!(running("dockerd --config-file /srv/d.json").config, Path::new("/srv/d.json"));
    }
}
