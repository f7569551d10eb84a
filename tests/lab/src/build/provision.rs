//! The snapshots: a booted guest with the sensors in it, and changed copies of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::build::progress::with_progress;
use crate::build::stages::SENSORS;
use crate::cache::Cache;
use crate::command;
use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::qemu::image::Image;

const BOOT_TIMEOUT: Duration = Duration::from_secs(300);
const PROVISION_TIMEOUT: Duration = Duration::from_secs(600);
const COPY_TIMEOUT: Duration = Duration::from_secs(120);

/// Boots the guest, loads the sensors into Docker and Podman, and freezes the guest into `image`.
pub(crate) fn boot_and_freeze(
    cache: &Cache,
    image: &Image,
    script: &Path,
    bundles: &Path,
    sensors: &Path,
) -> Result<()> {
    let base = path_from_sibling(&image.guest.join("root.img"));
    image.tools.create_overlay(&base, "raw", &image.disk())?;
    let lab = with_progress("booting the guest", || Lab::boot(cache, image, BOOT_TIMEOUT))?;
    with_progress("loading the sensors into Docker and Podman", || {
        lab.push_tree(sensor_files(bundles, sensors))?;
        let script = std::fs::read_to_string(script).map_err(at(script))?;
        lab.ok_within(PROVISION_TIMEOUT, &script).map(drop)
    })?;
    with_progress("freezing the guest", || lab.freeze(&image.state()))
}

/// The files of each sensor, with their paths and modes in the guest.
fn sensor_files(bundles: &Path, sensors: &Path) -> Vec<(PathBuf, String, u32)> {
    let mut files = Vec::new();
    for sensor in SENSORS {
        let to = |name: &str| format!("/var/lib/runvf-bundles/{sensor}/{name}");
        files.push((sensors.join(format!("{sensor}.tar")), to("rootfs.tar"), 0o644));
        for name in ["Containerfile", "config.json"] {
            files.push((bundles.join(sensor).join(name), to(name), 0o644));
        }
    }
    files
}

/// Restores the guest of `base`, changes it by `work`, and freezes it into `image`.
pub(crate) fn modify_and_freeze(
    cache: &Cache,
    base: &Image,
    image: &Image,
    work: impl FnOnce(&Lab) -> Result<()>,
) -> Result<()> {
    image.tools.create_overlay(&path_from_sibling(&base.disk()), "qcow2", &image.disk())?;
    // Sparse, because two thirds of the memory are holes.
    let mut copy = Command::new("cp");
    copy.args(["--sparse=always", "--no-preserve=mode"]).arg(base.memory()).arg(image.memory());
    let copied = command::run(copy, Vec::new(), COPY_TIMEOUT, "cp")?;
    if copied.status != 0 {
        let tail = String::from_utf8_lossy(&copied.stderr).into_owned();
        return Err(Error::Build { what: "copying memory".into(), log: image.memory(), tail });
    }
    let lab = Lab::restore_writable(cache, image, &base.state())?;
    work(&lab)?;
    lab.freeze(&image.state())
}

/// The path of a stage's file relative to the folder of another stage, so that the whole cache can
/// be moved.
fn path_from_sibling(file: &Path) -> PathBuf {
    let stage = file.parent().and_then(Path::file_name).unwrap_or_default();
    Path::new("..").join(stage).join(file.file_name().unwrap_or_default())
}
