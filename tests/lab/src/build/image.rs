//! The image in the cache, and guests that are restored from it.

use std::path::{Path, PathBuf};
use std::thread;

use crate::build::provision;
use crate::build::stages::{SENSORS, build_guest, build_sensors, fetch_reference, unpack_tools};
use crate::cache::{Cache, Inputs};
use crate::error::{Error, Result};
use crate::guest::lab::Lab;
use crate::qemu::hardware::{self, Memory, Parts};
use crate::qemu::image::Image;
use crate::qemu::tools::Tools;

impl Lab {
    /// Restores a guest in the state shortly after its boot. If the image is outdated or missing,
    /// it is built first, which takes minutes.
    pub fn restore() -> Result<Self> {
        let cache = Cache::open()?;
        let image = build(&cache)?;
        Self::restore_from(&cache, &image)
    }
}

/// The runc that runvf is compared with, or `None` if apt's mirrors do not have it. It is not a part
/// of the image, because mirrors lose old packages and the guest has another runc.
pub fn reference_runc() -> Result<Option<PathBuf>> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image");
    match fetch_reference(&Cache::open()?, &scripts) {
        Ok(folder) => Ok(Some(folder.join("runc"))),
        Err(error @ (Error::Build { .. } | Error::Timeout { .. })) => {
            eprintln!("lab: {error}\nlab: runvf is not compared with runc 1.3");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Builds the image if it is outdated or missing, and returns the folder of its snapshot.
pub fn ensure_image() -> Result<PathBuf> {
    build(&Cache::open()?).map(|image| image.snapshot)
}

fn build(cache: &Cache) -> Result<Image> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image");
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles");

    // In parallel, because they are independent: each waits for downloads or uses one core.
    let (tools, guest, sensors) = thread::scope(|scope| {
        let tools = scope.spawn(|| unpack_tools(cache, &scripts));
        let sensors = scope.spawn(|| build_sensors(cache, &bundles));
        let guest = build_guest(cache, &scripts);
        (join(tools), guest, join(sensors))
    });
    let (tools, guest, sensors) = (Tools { root: tools?.join("root") }, guest?, sensors?);

    let inputs = snapshot_inputs(&scripts, &bundles, &[&tools.root, &guest, &sensors])?;
    let snapshot = cache.stage("host", inputs, |to| {
        let image = Image {
            tools: Tools { root: tools.root.clone() },
            guest: guest.clone(),
            snapshot: to.to_owned(),
        };
        let script = scripts.join("provision.sh");
        provision::boot_and_freeze(cache, &image, &script, &bundles, &sensors)?;
        image.make_read_only()
    })?;
    Ok(Image { tools, guest, snapshot })
}

/// The inputs of the snapshot. The names of the folders of earlier `stages` stand for the inputs of
/// those stages.
fn snapshot_inputs(scripts: &Path, bundles: &Path, stages: &[&PathBuf]) -> Result<Inputs> {
    let mut inputs = Inputs::default().path(&scripts.join("provision.sh"))?;
    for folder in stages {
        inputs = inputs.bytes(folder.as_os_str().as_encoded_bytes());
    }
    for sensor in SENSORS {
        inputs = inputs.path(&bundles.join(sensor).join("Containerfile"))?;
        inputs = inputs.path(&bundles.join(sensor).join("config.json"))?;
    }
    for memory in [Memory::Shared, Memory::CopyOnWrite] {
        let empty = Path::new("");
        let parts = Parts { kernel: empty, initrd: empty, disk: empty, memory: empty };
        inputs = inputs.bytes(hardware::arguments(&parts, memory).join(" ").as_bytes());
    }
    Ok(inputs)
}

/// Builds a snapshot after `work` in the guest, so that tests need not repeat it. The result of
/// `work` depends on `inputs`.
pub(crate) fn build_with(
    cache: &Cache,
    stage: &str,
    inputs: Inputs,
    work: impl FnOnce(&Lab) -> Result<()>,
) -> Result<Image> {
    let base = build(cache)?;
    let inputs = inputs.bytes(base.snapshot.as_os_str().as_encoded_bytes());
    let snapshot = cache.stage(stage, inputs, |to| {
        let tools = Tools { root: base.tools.root.clone() };
        let image = Image { tools, guest: base.guest.clone(), snapshot: to.to_owned() };
        provision::modify_and_freeze(cache, &base, &image, work)?;
        image.make_read_only()
    })?;
    Ok(Image { snapshot, ..base })
}

/// Joins a thread, and passes on its panic.
fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
