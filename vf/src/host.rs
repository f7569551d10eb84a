//! The places that runvf works with, and the container it works for.

use std::path::{Path, PathBuf};

/// Where everything is. Tests give other folders; nobody else does.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/sys`
    pub sysfs: PathBuf,
    /// `/run/runvf`: claims and locks. On a tmpfs, since a reboot voids VFs and claims together.
    pub run: PathBuf,
    /// `/etc/runvf/config.toml`
    pub config: PathBuf,
    /// `/var/log/runvf/audit.jsonl`: who had which VLAN. Outlives a reboot.
    pub audit: PathBuf,
}

impl Host {
    /// A machine whose root is this folder.
    pub(crate) fn below(root: &Path) -> Self {
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
        Self::below(Path::new("/"))
    }
}

/// Who a VF is for.
#[derive(Debug, Clone)]
pub struct Container {
    /// As the engine names it to its runtime.
    pub id: String,
    /// The container's init process, in the pid namespace of the caller. Its network namespace gets the VFs.
    pub pid: i32,
}
