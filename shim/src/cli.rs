//! The command line. It follows runc's man pages, because engines call every runtime with runc's
//! options. liboci-cli is not used: it has no `--rootless`, and it misspells `checkpoint` as
//! `checkpointt`.

mod options;
mod values;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::options::{
    Checkpoint, Create, Delete, Events, Exec, Format, Id, Kill, List, Ps, Restore, Run, Spec,
    Update,
};

/// The newest version of the runtime spec that libcontainer implements completely. Of version 1.3
/// it implements only net devices and memory policies.
pub(crate) const SPEC_VERSION: &str = "1.2.0";

#[derive(Debug, Parser)]
#[command(name = "runvf", version = version(), disable_help_subcommand = true)]
#[command(about = "OCI runtime that attaches SR-IOV VFs to a container before its process starts")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Root directory for container state [default: /run/runvf/containers]
    // This is not clap's default value, because an engine that creates the container has its own
    // default.
    #[arg(long, value_name = "DIR", value_parser = values::absolute_path())]
    pub(crate) root: Option<PathBuf>,
    /// Log file for errors and warnings
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Log format
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Enable debug logging of libcontainer
    #[arg(long)]
    pub(crate) debug: bool,
    /// Create cgroups through systemd (cgroup v2 only)
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// Accepted for compatibility: runvf must run as root
    #[arg(long, value_name = "auto|false", value_parser = values::not_rootless, default_value = "auto")]
    pub(crate) rootless: String,
}

impl Global {
    pub(crate) fn root(&self) -> &Path {
        // Podman does not pass --root, so this default must stay the same in every version.
        self.root.as_deref().unwrap_or(Path::new("/run/runvf/containers"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a container
    Create(Create),
    /// Start the process of a created container
    Start(Id),
    /// Create and run a container
    Run(Run),
    /// Run a new process in a running container
    Exec(Exec),
    /// Print the state of a container
    State(Id),
    /// List containers
    List(List),
    /// Send a signal to a container's init process
    Kill(Kill),
    /// Delete a container and release its VFs
    Delete(Delete),
    /// Suspend all processes in a container
    Pause(Id),
    /// Resume all processes in a paused container
    Resume(Id),
    /// Display the processes in a container
    Ps(Ps),
    /// Update container resource limits
    Update(Box<Update>),
    /// Display OOM events and resource usage statistics
    Events(Events),
    /// Checkpoint a running container (needs `engine` in runtime.toml)
    Checkpoint(Box<Checkpoint>),
    /// Restore a container from a checkpoint (needs `engine` in runtime.toml)
    Restore(Box<Restore>),
    /// Show the supported features
    Features,
    /// Create a new specification file
    Spec(Spec),
    /// Generate shell completions
    Completion { shell: clap_complete::Shell },
    /// Generate man pages
    #[command(hide = true)]
    Man { folder: PathBuf },
}

impl Command {
    /// Whether the command starts a process inside a container.
    pub(crate) fn enters_container(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_) | Self::Exec(_))
    }

    /// The id of the container that the command creates.
    pub(crate) fn new_id(&self) -> Option<&str> {
        match self {
            Self::Create(options) => Some(&options.id),
            Self::Run(options) => Some(&options.create.id),
            Self::Restore(options) => Some(&options.id),
            _ => None,
        }
    }

    /// The id of the container that must exist before the command runs.
    pub(crate) fn existing_id(&self) -> Option<&str> {
        match self {
            Self::Start(options)
            | Self::State(options)
            | Self::Pause(options)
            | Self::Resume(options) => Some(&options.id),
            Self::Exec(options) => Some(&options.id),
            Self::Kill(options) => Some(&options.id),
            Self::Delete(options) => Some(&options.id),
            Self::Ps(options) => Some(&options.id),
            Self::Update(options) => Some(&options.id),
            Self::Events(options) => Some(&options.id),
            Self::Checkpoint(options) => Some(&options.id),
            Self::Create(_)
            | Self::Run(_)
            | Self::Restore(_)
            | Self::List(_)
            | Self::Features
            | Self::Spec(_)
            | Self::Completion { .. }
            | Self::Man { .. } => None,
        }
    }

    /// The exit code of a failed command, the same as runc's. For `exec` it is 255, because 1 would
    /// look like the exit code of the container's process.
    pub(crate) fn failure_code(&self) -> u8 {
        match self {
            Self::Exec(_) => 255,
            _ => 1,
        }
    }
}

/// The text after the program's name. Docker parses `NAME version X` and `commit: Y` (moby
/// `daemon/info_unix.go`, `parseRuntimeVersion`).
fn version() -> String {
    // `docker info` shows only the commit of the default runtime.
    let commit = option_env!("RUNVF_COMMIT").unwrap_or(env!("CARGO_PKG_VERSION"));
    format!("version {}\ncommit: {commit}\nspec: {SPEC_VERSION}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_command_lines_of_containerd_are_parsed() {
        let line = "runvf --root /run/r --log /b/log.json --log-format json --systemd-cgroup create \
                    --bundle /b --pid-file /b/init.pid --no-new-keyring abc";
        let Ok(Arguments { global, command: Command::Create(create) }) = parse(line) else {
            panic!("the line must parse");
        };
        assert!(global.systemd_cgroup && global.log_format == LogFormat::Json);
        assert_eq!((create.id.as_str(), create.bundle.to_str()), ("abc", Some("/b")));
        assert!(parse("runvf --root r exec --process p --pid-file f --detach abc").is_ok());
        assert!(parse("runvf --root r kill --all abc 9").is_ok());
        assert!(parse("runvf --root r delete --force abc").is_ok());
        assert!(parse("runvf --root r ps --format json abc").is_ok());
    }

    #[test]
    fn paths_do_not_depend_on_a_later_working_directory() {
        let line = "runvf --root r create --pid-file f --console-socket s abc";
        let Ok(Arguments { global, command: Command::Create(create) }) = parse(line) else {
            panic!("the line must parse");
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!(global.root(), here.join("r"));
        assert_eq!(create.pid_file, Some(here.join("f")));
        assert_eq!(create.console_socket, Some(here.join("s")));
    }

    #[test]
    fn exec_passes_options_after_the_id_to_the_process() {
        let Ok(Arguments { command: Command::Exec(exec), .. }) =
            parse("runvf exec -t -u 1:2 abc ls -la --color")
        else {
            panic!("the line must parse");
        };
        assert!(exec.tty);
        assert_eq!(exec.command, ["ls", "-la", "--color"]);
    }

    #[test]
    fn docker_can_parse_the_version() {
        let printed = format!("runvf {}", version());
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[0], format!("runvf version {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: ") && lines[2] == "spec: 1.2.0");
    }
}
