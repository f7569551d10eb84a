//! The bundle: `config.json` after the mutations, and a small root file system with the probe.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::case::Driver;
use crate::patch::{self, Patch};

/// Built by `build.rs` from `probe.rs`.
const PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));

const BASE: &str = include_str!("base.json");

/// In a document, this text stands for the path of the bundle.
const BUNDLE: &str = "@bundle@";

/// The resources of the base document that need a controller.
const CONTROLLED: [(&str, &str); 3] = [("memory", "memory"), ("pids", "pids"), ("cpu", "cpu")];

/// The document before the mutations: as `runc spec` prints it, with limits for the controllers
/// that the host has.
pub(crate) fn base(controllers: &str, driver: Driver) -> Value {
    let mut base: Value = serde_json::from_str(BASE).unwrap_or_default();
    for (resource, controller) in CONTROLLED {
        if !controllers.split_whitespace().any(|here| here == controller) {
            let path = format!("/linux/resources/{resource}");
            patch::apply(&mut base, &[Patch::Remove { path }]);
        }
    }
    let path = match driver {
        Driver::Cgroupfs => "/differential-container",
        Driver::Systemd => "system.slice:differential:container",
    };
    let set = Patch::Set { path: "/linux/cgroupsPath".into(), value: path.into() };
    patch::apply(&mut base, &[set]);
    base
}

#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) folder: PathBuf,
}

impl Bundle {
    /// Replaces the bundle in this folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let root = folder.join("rootfs");
        for name in
            ["dev", "proc", "sys", "tmp", "run", "etc", "data/folder", "new", "volume", "home"]
        {
            fs::create_dir_all(root.join(name))?;
        }
        for name in ["source/folder", "lower", "upper", "work"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let probe = folder.join("probe");
        fs::write(&probe, PROBE)?;
        fs::set_permissions(&probe, fs::Permissions::from_mode(0o755))?;
        fs::hard_link(&probe, root.join("probe"))?;
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/:/probe\nuser:x:1000:1000::/home:/probe\n",
        )?;
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
        fs::write(root.join("plain"), "not a program\n")?;
        for file in [root.join("data/file"), folder.join("source/file"), folder.join("lower/file")]
        {
            fs::write(file, "content\n")?;
        }
        for (target, link) in [("/data", "link"), ("nowhere", "dangling"), ("../../..", "upward")] {
            symlink(target, root.join(link))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a document into a file of the bundle, and returns the file.
    pub(crate) fn write(&self, name: &str, document: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        let folder = self.folder.to_string_lossy();
        fs::write(&path, document.replace(BUNDLE, &folder))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_has_limits_only_for_controllers_of_the_host() {
        let base = base("cpu pids", Driver::Cgroupfs);
        let resources = base["linux"]["resources"].as_object().unwrap();
        assert!(resources.contains_key("pids") && resources.contains_key("cpu"));
        assert!(!resources.contains_key("memory"));
    }
}
