//! The devices a container may use, under the systemd cgroup driver of cgroup v2. libcgroups loads its filter only
//! when it makes the cgroup itself; with systemd it loads none and sets no `DeviceAllow`, so that every container with
//! CAP_MKNOD, which Docker grants by default, could read the host's disks. So the same filter is loaded here, before
//! the container's process runs.

use std::path::Path;

use libcgroups::common::DEFAULT_CGROUP_ROOT;
use libcgroups::v2::devices::Devices;
use libcontainer::oci_spec::runtime::Spec;

use crate::error::Error;

pub(crate) fn restrict(spec: &Spec, id: &str, cgroup: &Path) -> Result<(), Error> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    let devices = resources.and_then(|resources| resources.devices().clone());
    Devices::apply_devices(&Path::new(DEFAULT_CGROUP_ROOT).join(cgroup), &devices)
        .map_err(|source| Error::Devices { id: id.to_owned(), source: Box::new(source) })
}
