//! The files that a guest is restored from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Result, at};
use crate::qemu::hardware::{Card, Parts};
use crate::qemu::host_kind::{HostKind, Kernel, Nic};
use crate::qemu::tools::Tools;

/// The files of a frozen guest. They are read-only once they are built.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) tools: Tools,
    pub(crate) kernel: Kernel,
    /// The X710's device model, which QEMU loads. Without one, the NIC is the 82576.
    pub(crate) device: Option<PathBuf>,
    /// Folder of the kernel, the initrd, the root filesystem and the ssh key.
    pub(crate) guest: PathBuf,
    /// Folder of the snapshot: disk, memory and device state.
    pub(crate) snapshot: PathBuf,
}

impl Image {
    pub(crate) fn kind(&self) -> HostKind {
        let nic = match self.device {
            None => Nic::Intel82576,
            Some(_) => Nic::IntelX710,
        };
        HostKind { nic, kernel: self.kernel }
    }
    pub(crate) fn kernel(&self) -> PathBuf {
        self.guest.join(format!("vmlinuz{}", self.kernel.suffix()))
    }
    pub(crate) fn initrd(&self) -> PathBuf {
        self.guest.join(format!("initrd.img{}", self.kernel.suffix()))
    }
    pub(crate) fn key(&self) -> PathBuf {
        self.guest.join("key")
    }
    pub(crate) fn disk(&self) -> PathBuf {
        self.snapshot.join("disk.qcow2")
    }
    pub(crate) fn memory(&self) -> PathBuf {
        self.snapshot.join("memory")
    }
    pub(crate) fn state(&self) -> PathBuf {
        self.snapshot.join("state")
    }

    /// Calls `work` with the parts of a machine. Its disk is `disk`, and its NIC writes `journal`.
    pub(crate) fn with_parts<T>(
        &self,
        disk: &Path,
        journal: &Path,
        work: impl FnOnce(&Parts<'_>) -> T,
    ) -> T {
        let card = match &self.device {
            None => Card::Intel82576,
            Some(plugin) => Card::IntelX710 { plugin, journal },
        };
        work(&Parts {
            kernel: &self.kernel(),
            initrd: &self.initrd(),
            disk,
            memory: &self.memory(),
            release: self.kernel,
            card,
        })
    }

    /// Makes the snapshot read-only, because restored guests map it.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        [self.disk(), self.memory(), self.state()].iter().try_for_each(|file| make_read_only(file))
    }
}

fn make_read_only(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(at(path))
}
