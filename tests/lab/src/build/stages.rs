//! The stages that need only the network: QEMU, the guest's and the sensors' root filesystems.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::progress::run_logged;
use crate::cache::{Cache, Inputs};
use crate::error::Result;

/// The sensors of `bundles/` that the guest has as images `runvf/NAME` and as OCI bundles.
pub const SENSORS: [&str; 3] = ["tcpdump", "suricata", "argus"];

/// Unpacks QEMU, and returns the folder that contains its `root`.
pub(crate) fn unpack_tools(cache: &Cache, scripts: &Path) -> Result<PathBuf> {
    let script = scripts.join("tools.sh");
    cache.stage("tools", Inputs::default().path(&script)?, |to| {
        run_logged(cache, "unpacking QEMU", Command::new(&script).arg(to.join("root")))
    })
}

/// Fetches the headers of QEMU, and returns the folder that contains them.
fn fetch_x710_headers(cache: &Cache, scripts: &Path, tools: &Path) -> Result<PathBuf> {
    let script = scripts.join("x710-headers.sh");
    let inputs = Inputs::default().path(&script)?.bytes(tools.as_os_str().as_encoded_bytes());
    cache.stage("x710-headers", inputs, |to| {
        let mut fetch = Command::new(&script);
        run_logged(cache, "fetching QEMU's headers", fetch.arg(tools.join("root")).arg(to))
    })
}

/// Builds the X710's device model, and returns its file.
pub(crate) fn build_x710(
    cache: &Cache,
    scripts: &Path,
    sources: &Path,
    tools: &Path,
) -> Result<PathBuf> {
    let headers = fetch_x710_headers(cache, scripts, tools)?;
    let script = scripts.join("x710.sh");
    let inputs = Inputs::default()
        .path(&script)?
        .path(sources)?
        .bytes(headers.as_os_str().as_encoded_bytes());
    let folder = cache.stage("x710-device", inputs, |to| {
        let mut build = Command::new(&script);
        build.arg(sources).arg(&headers).arg(tools.join("root")).arg(to);
        run_logged(cache, "building the X710", &mut build)
    })?;
    Ok(folder.join("x710.so"))
}

/// Fetches the runc that runvf is compared with, and returns the folder that contains it.
pub(crate) fn fetch_reference(cache: &Cache, scripts: &Path) -> Result<PathBuf> {
    let script = scripts.join("reference.sh");
    cache.stage("reference", Inputs::default().path(&script)?, |to| {
        run_logged(cache, "fetching runc", Command::new(&script).arg(to))
    })
}

/// Builds the guest's root filesystem, kernel, initrd and ssh key.
pub(crate) fn build_guest(cache: &Cache, scripts: &Path) -> Result<PathBuf> {
    let script = scripts.join("guest.sh");
    let inputs = Inputs::default().path(&script)?.path(&scripts.join("guest"))?;
    cache.stage("guest", inputs, |to| {
        let key = to.join("key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        run_logged(cache, "generating the ssh key", &mut keygen)?;
        let mut build = Command::new(&script);
        run_logged(cache, "building the guest", build.arg(to).arg(to.join("key.pub")))
    })
}

/// Builds the root filesystem of each sensor, as a tar file.
pub(crate) fn build_sensors(cache: &Cache, bundles: &Path) -> Result<PathBuf> {
    cache.stage("sensors", sensor_inputs(bundles)?, |to| {
        SENSORS.iter().try_for_each(|sensor| {
            let tar = to.join(format!("{sensor}.tar"));
            let what = format!("building the {sensor} sensor");
            run_logged(cache, &what, Command::new(bundles.join("rootfs.sh")).arg(sensor).arg(tar))
        })
    })
}

fn sensor_inputs(bundles: &Path) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    for shared in ["rootfs.sh", "prune.sh", "scripts"] {
        inputs = inputs.path(&bundles.join(shared))?;
    }
    for sensor in SENSORS {
        inputs = inputs
            .path(&bundles.join(sensor).join("packages"))?
            .path(&bundles.join(sensor).join("root"))?;
    }
    Ok(inputs)
}
