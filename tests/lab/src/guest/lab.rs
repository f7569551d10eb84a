//! A running guest and what a test can do with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::build::image::{self, Image, Tools};
use crate::cache::Cache;
use crate::command::{Output, RawOutput};
use crate::error::{Error, Result};
use crate::guest::boot_wait::{ATTEMPT, Booting};
use crate::guest::paths::{Places, places};
use crate::guest::ssh::Ssh;
use crate::qemu::hardware::{Memory, Parts};
use crate::qemu::machine::Machine;

const COMMAND: Duration = Duration::from_secs(120);
const RESUMED: Duration = Duration::from_secs(30);

/// A pristine SR-IOV host. Dropping it ends it; so does the death of this process, however it dies.
///
/// Commands may run from several threads at once.
pub struct Lab {
    // Before the machine: dropped the other way round, ssh would see its peer die and say so.
    ssh: Ssh,
    machine: Machine,
    key: PathBuf,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("transcript", &self.transcript()).finish_non_exhaustive()
    }
}

impl Lab {
    /// A guest as it was a moment after its boot. Builds the image first if it must, which takes
    /// minutes.
    pub fn restore() -> Result<Self> {
        let cache = Cache::open()?;
        let image = image::build(&cache)?;
        Self::restore_from(&cache, &image)
    }

    pub(crate) fn restore_from(cache: &Cache, image: &Image) -> Result<Self> {
        let Places { folder, console, transcript } = places(cache)?;
        let disk = folder.path().join("disk.qcow2");
        image.tools.overlay(&image.disk(), "qcow2", &disk)?;
        let memory = image.memory();
        let parts = Parts {
            kernel: &image.kernel(),
            initrd: &image.initrd(),
            disk: &disk,
            memory: &memory,
        };
        let deferred = ["-incoming", "defer"];
        let machine =
            Machine::start(&image.tools, &parts, Memory::CopyOnWrite, &deferred, folder, console)?;
        machine.resume(&image.state())?;
        Self::awake(machine, &image.key(), &transcript)
    }

    /// As [`Lab::restore_from`], but writing to the image's disk and memory: how another is made of it.
    pub(crate) fn thaw(cache: &Cache, image: &Image, state: &Path) -> Result<Self> {
        let Places { folder, console, transcript } = places(cache)?;
        let (kernel, initrd, disk, memory) =
            (image.kernel(), image.initrd(), image.disk(), image.memory());
        let parts = Parts { kernel: &kernel, initrd: &initrd, disk: &disk, memory: &memory };
        let deferred = ["-incoming", "defer"];
        let machine =
            Machine::start(&image.tools, &parts, Memory::Written, &deferred, folder, console)?;
        machine.resume(state)?;
        Self::awake(machine, &image.key(), &transcript)
    }

    fn awake(machine: Machine, key: &Path, transcript: &Path) -> Result<Self> {
        let lab = Self::connect(machine, key, transcript, RESUMED)?;
        // The guest believes it is the moment of the snapshot.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        lab.ok(&format!("date -s @{}.{:03}", now.as_secs(), now.subsec_millis()))?;
        Ok(lab)
    }

    /// A guest from power-on, writing to the disk and the memory file it is given: how the image is
    /// made.
    pub(crate) fn boot(
        cache: &Cache,
        tools: &Tools,
        parts: &Parts<'_>,
        key: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let Places { folder, console, transcript } = places(cache)?;
        let machine = Machine::start(tools, parts, Memory::Written, &[], folder, console)?;
        Self::connect(machine, key, &transcript, limit)
    }

    fn connect(machine: Machine, key: &Path, transcript: &Path, limit: Duration) -> Result<Self> {
        let port = machine.port()?;
        let control = machine.folder().join("ssh");
        let mut waiting = Booting::new(&machine, limit);
        loop {
            match Ssh::connect(port, key, &control, transcript, ATTEMPT) {
                Ok(ssh) => return Ok(Self { ssh, machine, key: key.to_owned() }),
                Err(error) => waiting.go_on(&error.to_string())?,
            }
        }
    }

    /// Stops this guest for good and keeps its state: the other half of [`Lab::restore`].
    pub(crate) fn freeze(self, state: &Path) -> Result<()> {
        let Self { ssh, machine, .. } = self;
        // A snapshot with an open connection in it would resume one whose other end is gone.
        drop(ssh);
        machine.freeze(state)
    }

    /// The reset button: the guest gets no chance to end or write anything, and boots anew from its
    /// disk.
    pub fn reset(&mut self, limit: Duration) -> Result<()> {
        const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.ok(BOOT)?;
        let transcript = self.transcript().to_owned();
        let port = self.machine.port()?;
        let mut waiting = Booting::new(&self.machine, limit);
        self.machine.reset()?;
        loop {
            let error = match Ssh::connect(port, &self.key, &self.control(), &transcript, ATTEMPT) {
                Ok(ssh) => {
                    self.ssh = ssh;
                    // The old guest may have answered once more.
                    if self.sh(BOOT).is_ok_and(|now| now.success() && now.stdout != before.stdout) {
                        return Ok(());
                    }
                    "it is not the guest of a new boot".to_owned()
                }
                Err(error) => error.to_string(),
            };
            waiting.go_on(&error)?;
        }
    }

    /// Runs `script` in bash. Its exit status is the caller's to judge.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.sh_within(COMMAND, script)
    }

    pub fn sh_within(&self, limit: Duration, script: &str) -> Result<Output> {
        self.raw(script, Vec::new(), limit).map(Output::from)
    }

    /// Runs `script` in bash with `set -e -o pipefail`. Anything but success is an error that shows
    /// the script and all it printed.
    pub fn ok(&self, script: &str) -> Result<Output> {
        self.ok_within(COMMAND, script)
    }

    pub fn ok_within(&self, limit: Duration, script: &str) -> Result<Output> {
        let output = self.sh_within(limit, &format!("set -e -o pipefail\n{script}"))?;
        self.checked(script, output)
    }

    /// The parsed output of a command such as `ip -j link`.
    pub fn json(&self, script: &str) -> Result<Value> {
        let output = self.ok(script)?;
        serde_json::from_str(&output.stdout).map_err(|source| Error::Json {
            command: script.into(),
            output,
            source,
        })
    }

    /// Runs `condition` until it succeeds. For states the guest reaches by itself; a sleep would
    /// hide how late.
    pub fn wait_until(&self, limit: Duration, condition: &str) -> Result<Output> {
        // One ssh command for the whole wait. The seconds are bash's own, so a changed clock does
        // not matter.
        let seconds = limit.as_secs().max(1);
        let script = format!(
            "SECONDS=0
             until ( {condition}
             ); do [ $SECONDS -lt {seconds} ] || exit 1; sleep 0.05; done"
        );
        let output = self.sh_within(limit + COMMAND, &script)?;
        if output.success() {
            return Ok(output);
        }
        Err(Error::Timeout { what: condition.to_owned(), after: limit, so_far: output.to_string() })
    }

    /// Where every command of this guest and its outcome is written down. It outlives the guest.
    pub fn transcript(&self) -> &Path {
        self.ssh.transcript()
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.machine.folder().join("ssh")
    }

    pub(crate) fn raw(&self, script: &str, input: Vec<u8>, limit: Duration) -> Result<RawOutput> {
        let raw = self.ssh.run(script, input, limit)?;
        // 255 is ssh's own failure or the script's; with the connection gone it is not the
        // script's.
        if raw.status == 255 && !(self.ssh.alive() && self.machine.alive()) {
            return Err(self.machine.failed(&format!("the guest went away during `{script}`")));
        }
        Ok(raw)
    }

    pub(crate) fn checked(&self, script: &str, output: Output) -> Result<Output> {
        if output.success() {
            return Ok(output);
        }
        Err(Error::Command {
            command: script.into(),
            output,
            transcript: self.transcript().to_owned(),
        })
    }
}

/// One word for bash.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
