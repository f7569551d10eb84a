//! The devices a container may use, under the systemd cgroup driver of cgroup v2. libcgroups loads its filter only
//! when it makes the cgroup itself; with systemd it loads none and sets no `DeviceAllow`, so that every container with
//! CAP_MKNOD, which Docker grants by default, could read the host's disks. So the same filter is loaded here, before
//! the container's process runs.

use std::fs;
use std::path::PathBuf;

use libcgroups::v2::devices::Devices;
use libcontainer::oci_spec::runtime::Spec;

use crate::error::Error;

pub(crate) fn restrict(spec: &Spec, id: &str, pid: i32) -> Result<(), Error> {
    let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let unknown = || Error::BadSpec { path, problem: "names no cgroup of version 2".to_owned() };
    let cgroup = unified(&text).ok_or_else(unknown)?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    let devices = resources.and_then(|resources| resources.devices().clone());
    Devices::apply_devices(&cgroup, &devices)
        .map_err(|source| Error::Devices { id: id.to_owned(), source: Box::new(source) })
}

/// The line `0::/path`, cgroups(7).
fn unified(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The root is everybody's: a filter there would be the host's too.
    (!path.is_empty()).then(|| PathBuf::from("/sys/fs/cgroup").join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_of_its_own_is_filtered() {
        let scope = "/sys/fs/cgroup/system.slice/docker-1.scope";
        assert_eq!(unified("0::/system.slice/docker-1.scope\n"), Some(PathBuf::from(scope)));
        assert_eq!(unified("0::/\n"), None);
        assert_eq!(unified("4:devices:/x\n"), None);
    }
}
