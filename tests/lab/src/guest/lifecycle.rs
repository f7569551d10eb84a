//! Starts, resets and freezes a guest.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cache::Cache;
use crate::error::Result;
use crate::guest::boot_wait::{BootWait, CONNECT_TIMEOUT};
use crate::guest::journal::Journal;
use crate::guest::lab::Lab;
use crate::guest::paths::Paths;
use crate::guest::ssh::Ssh;
use crate::qemu::hardware::Memory;
use crate::qemu::image::Image;
use crate::qemu::machine::Machine;

/// A restored guest answers after a second. On a busy machine the key exchange alone took more than 10 s.
const RESUME_TIMEOUT: Duration = Duration::from_secs(180);
const RESUMED_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

impl Lab {
    /// Restores a guest that keeps its changes to disk and memory to itself.
    pub(crate) fn restore_from(cache: &Cache, image: &Image) -> Result<Self> {
        let paths = Paths::create(cache)?;
        let disk = paths.folder.path().join("disk.qcow2");
        image.tools.create_overlay(&image.disk(), "qcow2", &disk)?;
        Self::resume(image, paths, &disk, Memory::CopyOnWrite, &image.state())
    }

    /// Restores a guest that changes the disk and the memory of `image`, to make a new snapshot of
    /// them. The state of the devices comes from the file `state`.
    pub(crate) fn restore_writable(cache: &Cache, image: &Image, state: &Path) -> Result<Self> {
        let paths = Paths::create(cache)?;
        Self::resume(image, paths, &image.disk(), Memory::Shared, state)
    }

    fn resume(
        image: &Image,
        paths: Paths,
        disk: &Path,
        memory: Memory,
        state: &Path,
    ) -> Result<Self> {
        let Paths { folder, console, transcript, journal } = paths;
        let deferred = ["-incoming", "defer"];
        let machine = image.with_parts(disk, &journal, |parts| {
            Machine::start(&image.tools, parts, memory, &deferred, folder, console)
        })?;
        machine.resume(state)?;
        let timeouts = (RESUMED_CONNECT_TIMEOUT, RESUME_TIMEOUT);
        let lab = Self::connect(machine, image, &transcript, &journal, timeouts)?;
        // The guest's clock shows the time of the snapshot.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        lab.ok(&format!("date -s @{}.{:03}", now.as_secs(), now.subsec_millis()))?;
        Ok(lab)
    }

    /// Boots a guest that writes to the disk and the memory of `image`, which is made from it.
    pub(crate) fn boot(cache: &Cache, image: &Image, timeout: Duration) -> Result<Self> {
        let Paths { folder, console, transcript, journal } = Paths::create(cache)?;
        let machine = image.with_parts(&image.disk(), &journal, |parts| {
            Machine::start(&image.tools, parts, Memory::Shared, &[], folder, console)
        })?;
        Self::connect(machine, image, &transcript, &journal, (CONNECT_TIMEOUT, timeout))
    }

    /// Connects to a guest that starts. One attempt ends after `attempt`, all of them after `timeout`.
    fn connect(
        machine: Machine,
        image: &Image,
        transcript: &Path,
        journal: &Path,
        (attempt, timeout): (Duration, Duration),
    ) -> Result<Self> {
        let key = image.key();
        let port = machine.port()?;
        let control = machine.folder().join("ssh");
        let mut wait = BootWait::new(&machine, timeout);
        loop {
            match Ssh::connect(port, &key, &control, transcript, attempt) {
                Ok(ssh) => {
                    let (kind, journal) = (image.kind(), Journal(journal.to_owned()));
                    return Ok(Self { ssh, machine, kind, key, journal });
                }
                Err(error) => wait.retry_or_fail(&error.to_string())?,
            }
        }
    }

    /// Ends this guest and writes the state of its devices to a file, for a later restore.
    pub(crate) fn freeze(self, state: &Path) -> Result<()> {
        let Self { ssh, machine, .. } = self;
        // A snapshot must not contain an open connection, because its peer will not exist after the
        // restore.
        drop(ssh);
        machine.freeze(state)
    }

    /// Resets the guest without a shutdown, so that it writes nothing more, and boots it from its
    /// disk.
    pub fn reset(&mut self, timeout: Duration) -> Result<()> {
        const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.ok(BOOT_ID)?;
        let transcript = self.transcript().to_owned();
        let control = self.control();
        let port = self.machine.port()?;
        let mut wait = BootWait::new(&self.machine, timeout);
        self.machine.reset()?;
        loop {
            let error = match Ssh::connect(port, &self.key, &control, &transcript, CONNECT_TIMEOUT)
            {
                Ok(ssh) => {
                    self.ssh = ssh;
                    // The guest may have answered once more before the reset.
                    let now = self.sh(BOOT_ID);
                    if now.is_ok_and(|now| now.success() && now.stdout != before.stdout) {
                        return Ok(());
                    }
                    "the guest has not rebooted yet".to_owned()
                }
                Err(error) => error.to_string(),
            };
            wait.retry_or_fail(&error)?;
        }
    }
}
