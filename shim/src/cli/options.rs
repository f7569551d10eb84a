//! The options and arguments of each command, named as in runc's man pages.
//!
//! The structs have no doc comments, because clap would print them as the description of the
//! command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Create {
    pub(crate) id: String,
    /// Path to the root of the bundle directory
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// File to write the process id to
    #[arg(long, value_name = "FILE", value_parser = values::absolute_path())]
    pub(crate) pid_file: Option<PathBuf>,
    /// Unix socket that receives the master end of the terminal
    #[arg(long, value_name = "SOCKET", value_parser = values::absolute_path())]
    pub(crate) console_socket: Option<PathBuf>,
    /// Do not use pivot_root (for a root file system on a ramdisk)
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Do not create a new session keyring for the container
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Pass N additional file descriptors to the container, after stderr
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Detach from the container's process
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not delete the container after its process exits
    #[arg(long)]
    pub(crate) keep: bool,
    /// Accepted for compatibility: runvf is not a subreaper of the container
    // With another engine, runvf does set itself as the subreaper, because it is not the parent of
    // the init process (see `engine/create.rs`).
    #[arg(long)]
    no_subreaper: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Path to a JSON file with the process object
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Detach from the process
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// User and group id of the process
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Add a capability to the bounding, effective and permitted sets
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// Additional group id
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// Set no_new_privs for the process
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Unix socket that receives the master end of the terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Pass N additional file descriptors to the process, after stderr
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u16,
    /// Allow exec in a paused container
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
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Display only container ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Send the signal to all processes in the container
    #[arg(short, long)]
    pub(crate) all: bool,
    pub(crate) id: String,
    /// Signal number, or signal name with or without SIG
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Kill a running container first, and ignore a missing container
    #[arg(short, long)]
    pub(crate) force: bool,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    pub(crate) id: String,
    /// Options for ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Update {
    /// JSON file with a resources object, or - for stdin; overrides all other options
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Memory limit
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory_reservation: Option<i64>,
    /// Limit of memory plus swap, or -1 for unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) memory_swap: Option<i64>,
    /// CPU CFS period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// CPU CFS quota within a period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_quota: Option<i64>,
    /// CPU CFS burst within a period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_burst: Option<u64>,
    /// CPU shares, relative to other containers
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) cpu_share: Option<u64>,
    /// Set SCHED_IDLE for the cgroup (1) or not (0)
    #[arg(long, value_name = "0|1")]
    pub(crate) cpu_idle: Option<i64>,
    /// CPU real-time period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// CPU real-time runtime within a period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// CPUs that the container may use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that the container may use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Maximum number of pids in the container
    #[arg(long, value_name = "N")]
    pub(crate) pids_limit: Option<i64>,
    /// Block IO weight, relative to other containers
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Display the statistics once, then exit
    #[arg(long)]
    pub(crate) stats: bool,
    /// Interval between two statistics
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

// runc's options that `checkpoint` and `restore` share. runvf reads none of them; it passes its
// command line to the engine.
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
    /// Path to the root of the bundle directory
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// Generate a configuration for a rootless container (runvf itself must run as root)
    #[arg(long)]
    pub(crate) rootless: bool,
}
