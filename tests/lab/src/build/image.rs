//! The image in the cache, and guests that are restored from it.

use std::path::{Path, PathBuf};
use std::thread;

use crate::build::provision;
use crate::build::stages::{
    SENSORS, build_guest, build_sensors, build_x710, fetch_reference, unpack_tools,
};
use crate::cache::{Cache, Inputs};
use crate::error::Result;
use crate::guest::lab::Lab;
use crate::qemu::hardware::{self, Memory};
use crate::qemu::host_kind::{HostKind, Nic};
use crate::qemu::image::Image;
use crate::qemu::tools::Tools;

impl Lab {
    /// Restores a guest with the 82576 in the state shortly after its boot. If the image is outdated
    /// or missing, it is built first, which takes minutes.
    pub fn restore() -> Result<Self> {
        Self::restore_with(HostKind::default())
    }

    /// [`Lab::restore`] with another kind of host.
    pub fn restore_with(kind: impl Into<HostKind>) -> Result<Self> {
        let cache = Cache::open()?;
        let image = build(&cache, kind.into())?;
        Self::restore_from(&cache, &image)
    }
}

/// The runc that runvf is compared with. It is not a part of the image, because most tests do not
/// need it.
pub fn reference_runc() -> Result<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image");
    Ok(fetch_reference(&Cache::open()?, &scripts)?.join("runc"))
}

/// Builds the image if it is outdated or missing, and returns the folder of its snapshot.
pub fn ensure_image(kind: HostKind) -> Result<PathBuf> {
    build(&Cache::open()?, kind).map(|image| image.snapshot)
}

fn build(cache: &Cache, kind: HostKind) -> Result<Image> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image");
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles");
    let x710 = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/x710");

    // In parallel, because they are independent: each waits for downloads or uses one core.
    let (tools, guest, sensors) = thread::scope(|scope| {
        let tools = scope.spawn(|| unpack_tools(cache, &scripts));
        let sensors = scope.spawn(|| build_sensors(cache, &bundles));
        let guest = build_guest(cache, &scripts);
        (join(tools), guest, join(sensors))
    });
    let (tools, guest, sensors) = (tools?, guest?, sensors?);
    let device = match kind.nic {
        Nic::Intel82576 => None,
        Nic::IntelX710 => Some(build_x710(cache, &scripts, &x710, &tools)?),
    };
    let mut image = Image {
        tools: Tools { root: tools.join("root") },
        kernel: kind.kernel,
        device,
        guest,
        snapshot: PathBuf::new(),
    };

    let inputs = snapshot_inputs(&scripts, &bundles, &image, &sensors)?;
    image.snapshot = cache.stage(&kind.stage("host"), inputs, |to| {
        let image = Image { snapshot: to.to_owned(), ..image.clone() };
        let script = scripts.join("provision.sh");
        provision::boot_and_freeze(cache, &image, &script, &bundles, &sensors)?;
        image.make_read_only()
    })?;
    Ok(image)
}

/// The inputs of the snapshot. The names of the folders of earlier `stages` stand for the inputs of
/// those stages.
fn snapshot_inputs(
    scripts: &Path,
    bundles: &Path,
    image: &Image,
    sensors: &Path,
) -> Result<Inputs> {
    let mut inputs = Inputs::default().path(&scripts.join("provision.sh"))?;
    let stages = [image.tools.root.as_path(), &image.guest, sensors];
    for folder in stages.into_iter().chain(image.device.as_deref()) {
        inputs = inputs.bytes(folder.as_os_str().as_encoded_bytes());
    }
    for sensor in SENSORS {
        inputs = inputs.path(&bundles.join(sensor).join("Containerfile"))?;
        inputs = inputs.path(&bundles.join(sensor).join("config.json"))?;
    }
    for memory in [Memory::Shared, Memory::CopyOnWrite] {
        // The paths say nothing about the hardware, and the snapshot has none yet.
        let empty = Path::new("");
        let arguments = image.with_parts(empty, empty, |parts| hardware::arguments(parts, memory));
        inputs = inputs.bytes(arguments.join(" ").as_bytes());
    }
    Ok(inputs)
}

/// Builds a snapshot after `work` in the guest, so that tests need not repeat it. The result of
/// `work` depends on `inputs`.
pub(crate) fn build_with(
    cache: &Cache,
    kind: HostKind,
    stage: &str,
    inputs: Inputs,
    work: impl FnOnce(&Lab) -> Result<()>,
) -> Result<Image> {
    let base = build(cache, kind)?;
    let inputs = inputs.bytes(base.snapshot.as_os_str().as_encoded_bytes());
    let snapshot = cache.stage(&kind.stage(stage), inputs, |to| {
        let image = Image { snapshot: to.to_owned(), ..base.clone() };
        provision::modify_and_freeze(cache, &base, &image, work)?;
        image.make_read_only()
    })?;
    Ok(Image { snapshot, ..base })
}

/// Joins a thread, and passes on its panic.
fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
