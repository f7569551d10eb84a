//! The host's paths that runvf uses, and the container that gets a VF.

use std::path::{Path, PathBuf};

/// Paths on the host. Only tests use other paths than the default ones.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/sys`
    pub sysfs: PathBuf,
    /// `/run/runvf`: claims and locks. It is on a tmpfs because a reboot removes VFs and claims
    /// together.
    pub run: PathBuf,
    /// `/etc/runvf/config.toml`
    pub config: PathBuf,
    /// `/var/log/runvf/audit.jsonl`: the audit log. It survives a reboot.
    pub audit: PathBuf,
}

impl Host {
    /// The same paths below another root directory.
    pub(crate) fn with_root(root: &Path) -> Self {
        Self {
            sysfs: root.join("sys"),
            run: root.join("run/runvf"),
            config: root.join("etc/runvf/config.toml"),
            audit: root.join("var/log/runvf/audit.jsonl"),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::with_root(Path::new("/"))
    }
}

/// A container without a process that runvf could know: it gets a VF by its network namespace.
#[derive(Debug, Clone)]
pub struct NetnsContainer {
    /// The id that the engine or the operator gives to it.
    pub id: String,
    /// The path of the network namespace: a bind mount, or `/proc/PID/ns/net`.
    pub netns: PathBuf,
    /// The engine's network that the VF is for. `None`: an operator attaches it.
    pub network: Option<String>,
}

/// The container that gets a VF.
#[derive(Debug, Clone)]
pub struct Container {
    /// The id that the engine passes to its OCI runtime.
    pub id: String,
    /// The pid of the container's init process, in the caller's pid namespace. The VFs go to this
    /// process's network namespace.
    pub pid: i32,
}
