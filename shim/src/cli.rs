//! The command line, as runc's man pages have it: engines know no other. liboci-cli is not used, because it has no
//! `--rootless` and calls `checkpoint` `checkpointt`.

mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The newest runtime-spec that libcontainer follows as a whole; of 1.3 it has net devices and memory policies.
pub(crate) const SPEC: &str = "1.2.0";

#[derive(Debug, Parser)]
#[command(name = "runvf", version = version(), disable_help_subcommand = true)]
#[command(about = "An OCI runtime that starts a container only once its SR-IOV VF is up inside it")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder for the state of containers [default: /run/runvf/containers]
    // Not clap's default: another engine has its own.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// File to append errors to
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Also log what libcontainer does
    #[arg(long)]
    pub(crate) debug: bool,
    /// Let systemd make the cgroup (cgroup v2 only)
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// `auto` or `false`: a VF can only be moved by root
    #[arg(long, value_name = "auto|false", value_parser = values::not_rootless, default_value = "auto")]
    pub(crate) rootless: String,
}

impl Global {
    pub(crate) fn root(&self) -> &Path {
        // Podman never gives --root, so this may not change between versions.
        self.root.as_deref().unwrap_or(Path::new("/run/runvf/containers"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a container; its process waits for `start`
    Create(Create),
    /// Let the process of a created container run
    Start(Id),
    /// Create, start, wait, delete
    Run(Run),
    /// Run one more process in a container
    Exec(Exec),
    /// Print the state of a container
    State(Id),
    /// List containers
    List(List),
    /// Send a signal to a container's process
    Kill(Kill),
    /// Remove a container and take its VFs back
    Delete(Delete),
    /// Freeze a container
    Pause(Id),
    /// Thaw a container
    Resume(Id),
    /// List the processes of a container
    Ps(Ps),
    /// Change the limits of a container
    Update(Box<Update>),
    /// Print what a container uses
    Events(Events),
    /// Save a container to files; only with another engine
    Checkpoint(Box<Checkpoint>),
    /// Make a container of such files; only with another engine
    Restore(Box<Restore>),
    /// Print what this runtime supports
    Features,
    /// Write a config.json to begin with
    Spec(Spec),
    /// Print what a shell completes runvf's command line with
    Completion { shell: clap_complete::Shell },
    /// Write manual pages
    #[command(hide = true)]
    Man { folder: PathBuf },
}

impl Command {
    pub(crate) fn enters_a_container(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_) | Self::Exec(_))
    }

    /// The container that the command makes.
    pub(crate) fn new_id(&self) -> Option<&str> {
        match self {
            Self::Create(options) => Some(&options.id),
            Self::Run(options) => Some(&options.create.id),
            Self::Restore(options) => Some(&options.id),
            _ => None,
        }
    }

    /// The container that must be there already.
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

    /// What runc returns when it fails itself; with `exec` that must not look like the process's own 1.
    pub(crate) fn failure_code(&self) -> ExitCode {
        match self {
            Self::Exec(_) => ExitCode::from(255),
            _ => ExitCode::FAILURE,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Create {
    pub(crate) id: String,
    /// The folder with config.json
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Unix socket that takes the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Change the root by moving the mount (for ramdisks)
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Leave the container in the caller's session keyring
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Hand the first N descriptors after stderr to the process
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Do not wait for the process
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not delete the container when its process ends
    #[arg(long)]
    pub(crate) keep: bool,
    /// As always: runvf adopts no processes of a container
    // With another engine it does, since it is not that one's parent; see `engine/create.rs`.
    #[arg(long)]
    no_subreaper: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// JSON file with the whole process object
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    #[arg(short, long)]
    pub(crate) tty: bool,
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u16,
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    pub(crate) id: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Only the ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Signal every process of the container
    #[arg(short, long)]
    pub(crate) all: bool,
    pub(crate) id: String,
    /// A number, or a name with or without SIG
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Kill it first if it runs; a container that is not there is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    pub(crate) id: String,
    /// Arguments for ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Update {
    /// JSON file (`-`: stdin) with a resources object; the other options are ignored then
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory: Option<i64>,
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory_reservation: Option<i64>,
    /// Memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory_swap: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_quota: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_burst: Option<u64>,
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) cpu_share: Option<u64>,
    #[arg(long, value_name = "0|1")]
    pub(crate) cpu_idle: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    #[arg(long, value_name = "N")]
    pub(crate) pids_limit: Option<i64>,
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Once
    #[arg(long)]
    pub(crate) stats: bool,
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "5s")]
    pub(crate) interval: Duration,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    criu: Criu,
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    #[arg(long)]
    leave_running: bool,
    #[arg(long, value_name = "FD")]
    status_fd: Option<i32>,
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    #[arg(long)]
    pre_dump: bool,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    criu: Criu,
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    #[arg(long)]
    no_subreaper: bool,
    #[arg(long)]
    no_pivot: bool,
    #[arg(long, value_name = "PROFILE")]
    lsm_profile: Option<String>,
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    pub(crate) id: String,
}

/// What runc has for both. runvf hands it on and reads none of it.
#[derive(Debug, Args)]
struct Criu {
    #[arg(long, value_name = "DIR")]
    image_path: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    #[arg(long)]
    tcp_established: bool,
    #[arg(long)]
    tcp_skip_in_flight: bool,
    #[arg(long)]
    link_remap: bool,
    #[arg(long)]
    ext_unix_sk: bool,
    #[arg(long)]
    shell_job: bool,
    #[arg(long)]
    lazy_pages: bool,
    #[arg(long)]
    file_locks: bool,
    #[arg(long, value_name = "soft|full|strict|ignore")]
    manage_cgroups_mode: Option<String>,
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<String>,
    #[arg(long)]
    auto_dedup: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Spec {
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// For a runtime that does not run as root, which runvf does
    #[arg(long)]
    pub(crate) rootless: bool,
}

/// Docker's parser wants `name version X` and `commit:` (moby `daemon/info_unix.go`, `parseRuntimeVersion`).
fn version() -> String {
    // It is all that `docker info` shows of the default runtime.
    let commit = option_env!("RUNVF_COMMIT").unwrap_or(env!("CARGO_PKG_VERSION"));
    format!("version {}\ncommit: {commit}\nspec: {SPEC}", env!("CARGO_PKG_VERSION"))
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
    fn what_containerd_calls_is_understood() {
        let line = "runvf --root /run/r --log /b/log.json --log-format json --systemd-cgroup create \
                    --bundle /b --pid-file /b/init.pid --no-new-keyring abc";
        let Ok(Arguments { global, command: Command::Create(create) }) = parse(line) else {
            panic!("must parse");
        };
        assert!(global.systemd_cgroup && global.log_format == LogFormat::Json);
        assert_eq!((create.id.as_str(), create.bundle.to_str()), ("abc", Some("/b")));
        assert!(parse("runvf --root r exec --process p --pid-file f --detach abc").is_ok());
        assert!(parse("runvf --root r kill --all abc 9").is_ok());
        assert!(parse("runvf --root r delete --force abc").is_ok());
        assert!(parse("runvf --root r ps --format json abc").is_ok());
    }

    #[test]
    fn the_command_of_exec_may_look_like_options() {
        let Ok(Arguments { command: Command::Exec(exec), .. }) =
            parse("runvf exec -t -u 1:2 abc ls -la --color")
        else {
            panic!("must parse");
        };
        assert!(exec.tty);
        assert_eq!(exec.command, ["ls", "-la", "--color"]);
    }

    #[test]
    fn the_version_is_what_docker_parses() {
        let printed = format!("runvf {}", version());
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[0], format!("runvf version {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: ") && lines[2] == "spec: 1.2.0");
    }
}
