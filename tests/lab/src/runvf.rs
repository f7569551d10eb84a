//! runvf in the guest, installed as `make install` and the README do it on a real host.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Result;
use crate::guest::Lab;

/// One pool of all the lab's PFs, which does for whoever does not care which one it is.
const CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\", \"pf2\"]\n";

const DOCKER: &str = "{\"runtimes\":{\"runvf\":{\"path\":\"/usr/bin/runvf\"}}}\n";

impl Lab {
    /// Installs what `cargo build --release` last built, tells Docker and Podman of it, and writes a configuration.
    pub fn install_runvf(&self) -> Result<()> {
        self.install_from(&built().join("release"))
    }

    /// The same, with programs that can be told to die or fail at any step. `tests/run` builds them.
    pub fn install_runvf_with_fault_points(&self) -> Result<()> {
        self.install_from(&built().join("faulty"))
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
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let file = |name: &str, goal: &str| (packaging.join(name), goal.to_owned(), 0o644);
        let program = |name: &str, goal: &str| (programs.join(name), goal.to_owned(), 0o755);
        self.push_tree(vec![
            program("runvf", "/usr/bin/runvf"),
            program("runvfctl", "/usr/bin/runvfctl"),
            program("runvf-hook", "/usr/libexec/runvf/runvf-hook"),
            file(
                "hooks.d/runvf-attach.json",
                "/usr/share/containers/oci/hooks.d/runvf-attach.json",
            ),
            file(
                "hooks.d/runvf-detach.json",
                "/usr/share/containers/oci/hooks.d/runvf-detach.json",
            ),
            file(
                "containers.conf.d/50-runvf.conf",
                "/etc/containers/containers.conf.d/50-runvf.conf",
            ),
        ])?;
        self.write("/etc/runvf/config.toml", CONFIG)?;
        self.write("/etc/docker/daemon.json", DOCKER)?;
        // A reload reads the runtimes anew and keeps containers running. It is a signal: nobody says when it is done.
        self.ok("systemctl reload docker")?;
        let known = "docker info -f '{{json .Runtimes}}' | grep -q runvf";
        self.wait_until(Duration::from_secs(60), known).map(drop)
    }
}

/// Where cargo puts what it builds of this workspace.
fn built() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target)
}
