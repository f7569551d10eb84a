//! Installs runvf in the guest, like `make install` and the README on a real host.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::build::image;
use crate::cache::{Cache, Inputs};
use crate::error::Result;
use crate::guest::lab::Lab;
use crate::output::Output;
use crate::qemu::host_kind::{HostKind, Nic};

const DOCKER_CONFIG: &str = "{\"runtimes\":{\"runvf\":{\"path\":\"/usr/bin/runvf\"}}}\n";

const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

static SECOND_CPU: Mutex<()> = Mutex::new(());

/// While a guest has this lock, no other guest of this process can use its second CPU.
#[derive(Debug)]
pub struct BothCpus(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// The builds of runvf's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// The programs for users, from the last `make build`.
    Released,
    /// Programs that a test can make fail or die at each step. `tests/run` builds them.
    WithFaultPoints,
}

impl Programs {
    /// The stage of the image with these programs, and their folder in cargo's target folder.
    fn stage_and_folder(self) -> (&'static str, &'static str) {
        match self {
            Self::Released => ("installed", "dist"),
            Self::WithFaultPoints => ("faulty", "faulty"),
        }
    }
}

impl Lab {
    /// Restores a pristine host with runvf installed, which uses one of its two CPUs.
    ///
    /// Two guests with two CPUs each slow each other down on a small machine: a virtual CPU that
    /// waits for another one spins, and takes the time that the other one needs. With one CPU a
    /// `docker run` takes a fifth less time.
    pub fn with_runvf(programs: Programs) -> Result<Self> {
        Self::with_runvf_on(HostKind::default(), programs)
    }

    /// [`Lab::with_runvf`] with another kind of host.
    pub fn with_runvf_on(kind: impl Into<HostKind>, programs: Programs) -> Result<Self> {
        let kind = kind.into();
        let cache = Cache::open()?;
        let (stage, folder) = programs.stage_and_folder();
        let folder = target_dir().join(folder);
        let mut inputs = Inputs::default()
            .bytes(b"one CPU")
            .bytes(config(kind.nic).as_bytes())
            .bytes(DOCKER_CONFIG.as_bytes());
        for (local, guest_path, _) in installed_files(&folder) {
            inputs = inputs.bytes(guest_path.as_bytes()).path(&local)?;
        }
        let image = image::build_with(&cache, kind, stage, inputs, |lab| {
            lab.install_from(kind.nic, &folder)?;
            lab.use_cpus(1).map(drop)
        })?;
        Self::restore_from(&cache, &image)
    }

    /// Turns on the second CPU, for tests of concurrency. Other tests that call this wait until the
    /// lock is dropped.
    pub fn use_both_cpus(&self) -> Result<BothCpus> {
        let lock = SECOND_CPU.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_cpus(2)?;
        Ok(BothCpus(lock))
    }

    fn use_cpus(&self, count: u8) -> Result<Output> {
        self.ok(&format!("echo {} > /sys/devices/system/cpu/cpu1/online", count - 1))
    }

    /// Installs the programs of the last `make build`, registers them with Docker and Podman, and
    /// writes a configuration.
    pub fn install_runvf(&self, nic: Nic) -> Result<()> {
        self.install_from(nic, &target_dir().join(Programs::Released.stage_and_folder().1))
    }

    /// Installs the rules that keep network managers off VFs. Hosts without a network manager do
    /// not need them.
    pub fn install_network_rules(&self) -> Result<()> {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let file =
            |name: &str, guest_path: &str| (packaging.join(name), guest_path.to_owned(), 0o644);
        self.push_tree(vec![
            file("udev/70-runvf.rules", "/usr/lib/udev/rules.d/70-runvf.rules"),
            file("network/00-runvf.link", "/usr/lib/systemd/network/00-runvf.link"),
            file("network/00-runvf.network", "/usr/lib/systemd/network/00-runvf.network"),
        ])
    }

    fn install_from(&self, nic: Nic, programs: &Path) -> Result<()> {
        self.push_tree(installed_files(programs))?;
        self.write("/etc/runvf/config.toml", config(nic))?;
        self.write("/etc/docker/daemon.json", DOCKER_CONFIG)?;
        // A reload makes Docker read its runtimes again and keeps containers running. It is a
        // signal, so systemctl returns before Docker has finished it.
        self.ok("systemctl reload docker")?;
        let registered = "docker info -f '{{json .Runtimes}}' | grep -q runvf";
        self.wait_until(RELOAD_TIMEOUT, registered).map(drop)
    }
}

/// One pool of all PFs, for the tests that do not depend on a certain PF.
fn config(nic: Nic) -> String {
    let pfs: Vec<String> = (0..nic.pfs()).map(|port| format!("\"pf{port}\"")).collect();
    format!("[[pool]]\nname = \"sensors\"\npfs = [{}]\n", pfs.join(", "))
}

/// The files of an installation, with their paths and modes in the guest.
fn installed_files(programs: &Path) -> Vec<(PathBuf, String, u32)> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let file = |name: &str, guest_path: &str| (packaging.join(name), guest_path.to_owned(), 0o644);
    let program =
        |name: &str, guest_path: &str| (programs.join(name), guest_path.to_owned(), 0o755);
    vec![
        program("runvf", "/usr/bin/runvf"),
        program("runvfctl", "/usr/bin/runvfctl"),
        program("runvf-hook", "/usr/libexec/runvf/runvf-hook"),
        program("runvf-hook", "/usr/libexec/netavark/runvf"),
        program("runvf-monitor", "/usr/libexec/runvf/runvf-monitor"),
        file("systemd/runvf-monitor.service", "/usr/lib/systemd/system/runvf-monitor.service"),
        file("hooks.d/runvf-attach.json", "/usr/share/containers/oci/hooks.d/runvf-attach.json"),
        file("hooks.d/runvf-detach.json", "/usr/share/containers/oci/hooks.d/runvf-detach.json"),
        file("containers.conf.d/50-runvf.conf", "/etc/containers/containers.conf.d/50-runvf.conf"),
    ]
}

/// Cargo's target folder of this workspace.
pub fn target_dir() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target)
}
