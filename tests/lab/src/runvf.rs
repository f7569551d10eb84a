//! runvf in the guest, installed as `make install` and the README do it on a real host.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::build::image;
use crate::cache::{Cache, Inputs};
use crate::command::Output;
use crate::error::Result;
use crate::guest::lab::Lab;

/// One pool of all the lab's PFs, which does for whoever does not care which one it is.
const CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\", \"pf2\"]\n";

const DOCKER: &str = "{\"runtimes\":{\"runvf\":{\"path\":\"/usr/bin/runvf\"}}}\n";

static BOTH: Mutex<()> = Mutex::new(());

/// While it lives no other host of this process gets its second CPU.
#[derive(Debug)]
pub struct BothCpus(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// The two builds of runvf's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// What a user gets: what `make build` last built.
    Released,
    /// Those that can be told to die or fail at any step. `tests/run` builds them.
    WithFaultPoints,
}

impl Programs {
    /// The name of the stage that has them installed, and of the folder they are in.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Released => ("installed", "dist"),
            Self::WithFaultPoints => ("faulty", "faulty"),
        }
    }
}

impl Lab {
    /// A pristine host with runvf installed, and one of its two CPUs in use. (Two hosts with two each share the two CPUs of a
    /// small machine badly: a vCPU that waits for another one to answer burns what that one needs. A `docker run` takes a fifth
    /// less with one.)
    pub fn with_runvf(programs: Programs) -> Result<Self> {
        let cache = Cache::open()?;
        let (stage, folder) = programs.names();
        let folder = built().join(folder);
        let mut inputs =
            Inputs::default().bytes(b"one CPU").bytes(CONFIG.as_bytes()).bytes(DOCKER.as_bytes());
        for (local, goal, _) in files(&folder) {
            inputs = inputs.bytes(goal.as_bytes()).path(&local)?;
        }
        let image = image::build_with(&cache, stage, inputs, |lab| {
            lab.install_from(&folder)?;
            lab.use_cpus(1).map(drop)
        })?;
        Self::restore_from(&cache, &image)
    }

    /// For tests of what happens at once; for one of them at a time.
    pub fn use_both_cpus(&self) -> Result<BothCpus> {
        let turn = BOTH.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_cpus(2)?;
        Ok(BothCpus(turn))
    }

    fn use_cpus(&self, count: u8) -> Result<Output> {
        self.ok(&format!("echo {} > /sys/devices/system/cpu/cpu1/online", count - 1))
    }

    /// Installs what `make build` last built, tells Docker and Podman of it, and writes a configuration.
    pub fn install_runvf(&self) -> Result<()> {
        self.install_from(&built().join(Programs::Released.names().1))
    }

    /// What keeps network managers off VFs, which not every host needs.
    pub fn install_network_rules(&self) -> Result<()> {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let file = |name: &str, goal: &str| (packaging.join(name), goal.to_owned(), 0o644);
        self.push_tree(vec![
            file("udev/70-runvf.rules", "/usr/lib/udev/rules.d/70-runvf.rules"),
            file("network/00-runvf.link", "/usr/lib/systemd/network/00-runvf.link"),
            file("network/00-runvf.network", "/usr/lib/systemd/network/00-runvf.network"),
        ])
    }

    fn install_from(&self, programs: &Path) -> Result<()> {
        self.push_tree(files(programs))?;
        self.write("/etc/runvf/config.toml", CONFIG)?;
        self.write("/etc/docker/daemon.json", DOCKER)?;
        // A reload reads the runtimes anew and keeps containers running. It is a signal: nobody says when it is done.
        self.ok("systemctl reload docker")?;
        let known = "docker info -f '{{json .Runtimes}}' | grep -q runvf";
        self.wait_until(Duration::from_secs(60), known).map(drop)
    }
}

/// Each with the place it is installed to, and its mode.
fn files(programs: &Path) -> Vec<(PathBuf, String, u32)> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let file = |name: &str, goal: &str| (packaging.join(name), goal.to_owned(), 0o644);
    let program = |name: &str, goal: &str| (programs.join(name), goal.to_owned(), 0o755);
    vec![
        program("runvf", "/usr/bin/runvf"),
        program("runvfctl", "/usr/bin/runvfctl"),
        program("runvf-hook", "/usr/libexec/runvf/runvf-hook"),
        file("hooks.d/runvf-attach.json", "/usr/share/containers/oci/hooks.d/runvf-attach.json"),
        file("hooks.d/runvf-detach.json", "/usr/share/containers/oci/hooks.d/runvf-detach.json"),
        file("containers.conf.d/50-runvf.conf", "/etc/containers/containers.conf.d/50-runvf.conf"),
    ]
}

/// Where cargo puts what it builds of this workspace.
pub fn built() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target)
}
