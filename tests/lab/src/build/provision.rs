//! The last stage of the image: a booted guest with the sensors in it, frozen.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::build::image::{Image, SENSORS};
use crate::cache::Cache;
use crate::command;
use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::qemu::hardware::Parts;

const BOOT: Duration = Duration::from_secs(300);
const PROVISION: Duration = Duration::from_secs(600);
const COPY: Duration = Duration::from_secs(120);

pub(crate) fn host(
    cache: &Cache,
    image: &Image,
    script: &Path,
    bundles: &Path,
    sensors: &Path,
) -> Result<()> {
    let guest = image.kernel().with_file_name("root.img");
    // Relative, so that the cache can be moved: stages are neighbours.
    let base = Path::new("..")
        .join(guest.parent().and_then(Path::file_name).unwrap_or_default())
        .join("root.img");
    image.tools.overlay(&base, "raw", &image.disk())?;
    let (kernel, initrd, disk, memory) =
        (image.kernel(), image.initrd(), image.disk(), image.memory());
    let parts = Parts { kernel: &kernel, initrd: &initrd, disk: &disk, memory: &memory };

    let lab =
        saying("booting the guest", || Lab::boot(cache, &image.tools, &parts, &image.key(), BOOT))?;
    saying("loading the sensors into Docker and Podman", || {
        let mut files = Vec::new();
        for sensor in SENSORS {
            let to = |name: &str| format!("/var/lib/runvf-bundles/{sensor}/{name}");
            files.push((sensors.join(format!("{sensor}.tar")), to("rootfs.tar"), 0o644));
            for name in ["Containerfile", "config.json"] {
                files.push((bundles.join(sensor).join(name), to(name), 0o644));
            }
        }
        lab.push_tree(files)?;
        let script = std::fs::read_to_string(script).map_err(at(script))?;
        lab.ok_within(PROVISION, &script).map(drop)
    })?;
    saying("freezing the guest", || lab.freeze(&image.state()))
}

/// Restores the `plain` guest, has it worked on, and freezes it as `image`.
pub(crate) fn again(
    cache: &Cache,
    plain: &Image,
    image: &Image,
    work: impl FnOnce(&Lab) -> Result<()>,
) -> Result<()> {
    let base = Path::new("..")
        .join(plain.disk().parent().and_then(Path::file_name).unwrap_or_default())
        .join("disk.qcow2");
    image.tools.overlay(&base, "qcow2", &image.disk())?;
    // Two thirds of it are holes.
    let mut copy = Command::new("cp");
    copy.args(["--sparse=always", "--no-preserve=mode"]).arg(plain.memory()).arg(image.memory());
    let copied = command::run(copy, Vec::new(), COPY, "cp")?;
    if copied.status != 0 {
        let tail = String::from_utf8_lossy(&copied.stderr).into_owned();
        return Err(Error::Build { what: "copying memory".into(), log: image.memory(), tail });
    }
    let lab = Lab::thaw(cache, image, &plain.state())?;
    work(&lab)?;
    lab.freeze(&image.state())
}

/// Does `work` and says every few seconds that it is still being done.
fn saying<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let (done, waiting) = mpsc::channel::<()>();
    let name = what.to_owned();
    let ticker = thread::spawn(move || {
        while waiting.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("lab: {name}: {} s …", started.elapsed().as_secs());
        }
    });
    let result = work();
    drop(done);
    let _ = ticker.join();
    if result.is_ok() {
        eprintln!("lab: {what}: done in {} s", started.elapsed().as_secs());
    }
    result
}
