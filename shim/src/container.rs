//! An existing container: its state and record, its cgroup, signals to its processes, and OOM
//! kills.

mod atomic_write;
mod bundle;
pub(crate) mod cgroup;
pub(crate) mod cgroup_path;
pub(crate) mod cgroup_stats;
mod normalize;
pub(crate) mod oom;
mod record;
pub(crate) mod signal;
mod state;

pub(crate) use atomic_write::write_atomically;
pub(crate) use bundle::{BundleConfig, load_config, load_process, load_spec, parse_resources};
pub(crate) use record::Record;
pub(crate) use state::{Container, folder, made_by_libcontainer, remove_folder, status_name};
