//! QEMU's programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command;
use crate::error::{Error, Result};

const CREATE_DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// QEMU in a root filesystem of its own.
///
/// The programs run with the libraries of that root, so they need no chroot and do not depend on
/// the host's version of QEMU.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) root: PathBuf,
}

impl Tools {
    pub(crate) fn qemu(&self) -> Command {
        let mut command = self.program("qemu-system-x86_64");
        for data in ["qemu", "seabios"] {
            command.arg("-L").arg(self.root.join("usr/share").join(data));
        }
        command.env("QEMU_MODULE_DIR", self.root.join("usr/lib/x86_64-linux-gnu/qemu"));
        command
    }

    /// Creates a disk that stores only the differences to `base`. `base` may be relative to the
    /// folder of the new disk.
    pub(crate) fn create_overlay(&self, base: &Path, format: &str, disk: &Path) -> Result<()> {
        let mut command = self.program("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(base).arg(disk);
        let output = command::run(command, Vec::new(), CREATE_DISK_TIMEOUT, "qemu-img create")?;
        if output.status != 0 {
            let tail = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = "qemu-img create".to_owned();
            return Err(Error::Build { what, log: disk.to_owned(), tail });
        }
        Ok(())
    }

    fn program(&self, name: &str) -> Command {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(self.root.join("lib64/ld-linux-x86-64.so.2"));
        // QEMU looks up translated code in tables of tens of MiB. Huge pages for them save a tenth
        // of its run time.
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        // libpulse needs a private library from its own folder.
        let path = format!("{0}:{0}/pulseaudio", libraries.display());
        command.args(["--library-path", &path]).arg(self.root.join("usr/bin").join(name));
        command
    }
}
