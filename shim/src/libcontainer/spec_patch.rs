//! A spec that libcontainer would refuse for how something is written, in words that it understands.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Linux, LinuxDevice, LinuxNamespaceType, Spec};
use serde_json::json;

use super::cpuset;
use super::mount_options::is_bind;
use super::process_defaults;
use super::rlimits;
use super::tmpfs;

/// `None`: libcontainer takes it as it is.
pub(crate) fn patch(spec: &Spec, id: &str, rootfs: &Path, systemd: bool) -> Option<Spec> {
    let mut linux = spec.linux().clone()?;
    // For a container with a user namespace it would ask systemd for any cgroup that is not absolute (`builder_impl.rs`), and
    // systemd is not what it was told. Nobody would restrict its devices then.
    if !systemd && has_users_of_its_own(&linux) {
        // The same cgroup as that of what it has no name for: `exec` goes by the bundle.
        let path = linux.cgroups_path().clone().unwrap_or_else(|| format!(":youki:{id}").into());
        linux.set_cgroups_path(Some(Path::new("/").join(path)));
    }
    // It knows no other, and makes all of them recursive (`rootfs.rs`); Docker writes `rslave` for a volume that is one.
    if let Some(plain) = linux.rootfs_propagation().as_deref().and_then(without_r) {
        linux.set_rootfs_propagation(Some(plain.to_owned()));
    }
    // Without any it would load no device filter; runc denies all devices that nobody allows.
    if linux.resources().is_none() {
        linux.set_resources(serde_json::from_value(json!({})).ok());
    }
    if let Some(devices) = linux.devices() {
        linux.set_devices(Some(missing(devices, spec)));
    }
    if let (true, Some(resources)) = (systemd, linux.resources()) {
        linux.set_resources(Some(cpuset::without_cpuset(resources)));
    }
    let mut process = process_defaults::for_init(spec, rootfs).map(rlimits::without_memlock);
    // To it a `false` is as good as a `true` where it chooses when to load the filter, and it chooses too late.
    if let Some(process) = process.as_mut().filter(|it| it.no_new_privileges() == Some(false)) {
        process.set_no_new_privileges(None);
    }
    let mut amended = spec.clone();
    amended.set_linux(Some(linux)).set_process(process);
    if let Some(mounts) = tmpfs::patch_mounts(spec, rootfs) {
        amended.set_mounts(Some(mounts));
    }
    (amended != *spec).then_some(amended)
}

/// Those devices that have to be made: it fails if a node is there already, because it is named twice or a folder with it is mounted.
/// runc lets that one be.
fn missing(devices: &[LinuxDevice], spec: &Spec) -> Vec<LinuxDevice> {
    let mounted = |path: &Path| {
        let binds = spec.mounts().iter().flatten().filter(|mount| is_bind(mount));
        binds.filter_map(|bind| Some((bind.source().as_ref()?, bind.destination()))).any(
            |(source, destination)| {
                let below = path.strip_prefix(destination);
                below.is_ok_and(|below| source.join(below).symlink_metadata().is_ok())
            },
        )
    };
    let last = |index: usize, device: &LinuxDevice| {
        !devices[index + 1..].iter().any(|later| later.path() == device.path())
    };
    let all = devices.iter().enumerate();
    let wanted = all.filter(|(index, one)| last(*index, one) && !mounted(one.path()));
    wanted.map(|(_, device)| device.clone()).collect()
}

fn has_users_of_its_own(linux: &Linux) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|one| one.typ() == LinuxNamespaceType::User)
}

fn without_r(propagation: &str) -> Option<&str> {
    propagation.strip_prefix('r').filter(|rest| ["shared", "slave", "private"].contains(rest))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn spec(linux: serde_json::Value) -> Spec {
        let spec = json!({ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "linux": linux });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn only_what_libcontainer_does_not_know_is_amended() {
        let of = |propagation: &str| {
            let spec = spec(json!({ "rootfsPropagation": propagation }));
            let amended = patch(&spec, "id", Path::new("/"), true)?;
            amended.linux().as_ref()?.rootfs_propagation().clone()
        };
        assert_eq!(of("rslave").as_deref(), Some("slave"));
        assert_eq!(of("rshared").as_deref(), Some("shared"));
        for as_it_is in ["slave", "runbindable", "nonsense"] {
            assert_eq!(of(as_it_is).as_deref(), Some(as_it_is));
        }

        let cpus = spec(json!({ "resources": { "cpu": { "cpus": "0", "shares": 77 } } }));
        assert!(patch(&cpus, "id", Path::new("/"), false).is_none());
        let unlimited = patch(&spec(json!({})), "id", Path::new("/"), false).unwrap();
        assert!(unlimited.linux().as_ref().unwrap().resources().is_some());
        let amended = patch(&cpus, "id", Path::new("/"), true).unwrap();
        let resources = amended.linux().clone().unwrap().resources().clone().unwrap();
        let cpu = resources.cpu().clone().unwrap();
        assert_eq!((cpu.cpus(), cpu.shares()), (&None, Some(77)));
    }

    #[test]
    fn a_cgroup_that_libcontainer_would_ask_systemd_for_is_absolute() {
        let of = |linux: serde_json::Value, systemd: bool| {
            let amended = patch(&spec(linux), "id", Path::new("/"), systemd)?;
            amended.linux().as_ref()?.cgroups_path().clone()
        };
        let users = json!([{ "type": "user" }]);
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(json!({ "namespaces": users }), false), path("/:youki:id"));
        assert_eq!(of(json!({ "namespaces": users, "cgroupsPath": "a/b" }), false), path("/a/b"));
        assert_eq!(of(json!({ "namespaces": users, "cgroupsPath": "/a" }), false), path("/a"));
        assert_eq!(of(json!({ "namespaces": users }), true), None);
        assert_eq!(of(json!({}), false), None);
    }

    #[test]
    fn a_device_that_is_there_is_not_made_again() {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("there"), "").unwrap();
        let device = |path: &str, minor: i64| json!({ "path": path, "type": "c", "major": 1, "minor": minor });
        let devices = json!([
            device("/dev/twice", 1),
            device("/dev/twice", 2),
            device("/dev/x/there", 3),
            device("/dev/x/other", 4),
        ]);
        let mut spec = spec(json!({ "devices": devices }));
        let mount =
            json!([{ "destination": "/dev/x", "source": host.path(), "options": ["rbind"] }]);
        spec.set_mounts(serde_json::from_value(mount).unwrap());
        let amended = patch(&spec, "id", Path::new("/"), true).unwrap();
        let devices = amended.linux().as_ref().unwrap().devices().clone().unwrap();
        assert_eq!(devices.iter().map(LinuxDevice::minor).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn privileges_that_are_not_ruled_out_are_not_mentioned() {
        for (said, expected) in
            [(json!(false), None), (json!(true), Some(true)), (json!(null), None)]
        {
            let mut spec = spec(json!({}));
            let process = json!({ "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": said });
            spec.set_process(Some(serde_json::from_value(process).unwrap()));
            let amended = patch(&spec, "id", Path::new("/"), true).unwrap();
            assert_eq!(amended.process().as_ref().unwrap().no_new_privileges(), expected);
        }
    }
}
