//! The device filter under the systemd cgroup driver of cgroup v2. libcgroups loads a filter only if
//! it creates the cgroup itself. With systemd, it loads no filter and does not set `DeviceAllow`.
//! Every container with CAP_MKNOD, which Docker grants by default, could then read the host's disks.
//! So runvf loads the same filter before the container's process runs.

use std::path::Path;

use libcgroups::common::DEFAULT_CGROUP_ROOT;
use libcgroups::v2::devices::Devices;
use libcontainer::oci_spec::runtime::Spec;

use crate::error::Error;
use crate::resources;

/// Loads the device filter of the spec. `cgroup`: relative to the root of cgroup v2.
pub(crate) fn restrict(spec: &Spec, id: &str, cgroup: &Path) -> Result<(), Error> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let devices = resources.and_then(|rules| resources::for_libcontainer(rules).devices().clone());
    Devices::apply_devices(&Path::new(DEFAULT_CGROUP_ROOT).join(cgroup), &devices)
        .map_err(|source| Error::Devices { id: id.to_owned(), source: Box::new(source) })
}
