//! Changes the settings of a spec that libcontainer would refuse or apply wrongly, so that the result
//! is the same as under runc.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Linux, LinuxDevice, LinuxNamespaceType, Spec};
use serde_json::json;

use super::mount_options::is_bind;
use super::process_defaults;
use super::rlimits;
use super::tmpfs;
use crate::resources;

/// The facts about the host's cgroups that decide which settings libcontainer gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cgroups {
    /// systemd creates the cgroup.
    pub(crate) systemd: bool,
    /// All controllers are in cgroup v2.
    pub(crate) unified: bool,
}

/// Returns the patched spec, or `None` if no change is necessary.
pub(crate) fn patch(spec: &Spec, id: &str, rootfs: &Path, cgroups: Cgroups) -> Option<Spec> {
    let Cgroups { systemd, unified } = cgroups;
    let mut linux = spec.linux().clone()?;
    // For a container with a user namespace, libcontainer asks systemd for each cgroup with a
    // relative path, even without `--systemd-cgroup` (`builder_impl.rs`). The container would then
    // have no device filter.
    if !systemd && has_user_namespace(&linux) {
        // libcontainer's own default, because `exec` computes the path again from the real bundle.
        let path = linux.cgroups_path().clone().unwrap_or_else(|| format!(":youki:{id}").into());
        linux.set_cgroups_path(Some(Path::new("/").join(path)));
    }
    // libcontainer knows only the names without `r`, and applies them all recursively (`rootfs.rs`).
    // Docker writes `rslave` for a volume with slave propagation.
    if let Some(plain) = linux.rootfs_propagation().as_deref().and_then(non_recursive_name) {
        linux.set_rootfs_propagation(Some(plain.to_owned()));
    }
    // Without resources, libcontainer loads no device filter. runc denies all devices that the spec
    // does not allow.
    if linux.resources().is_none() {
        linux.set_resources(serde_json::from_value(json!({})).ok());
    }
    if let Some(devices) = linux.devices() {
        linux.set_devices(Some(devices_to_create(devices, spec)));
    }
    // In cgroup v2, runvf applies all limits itself.
    if let (true, Some(resources)) = (unified, linux.resources()) {
        linux.set_resources(Some(resources::for_libcontainer(resources)));
    }
    let mut process = process_defaults::for_init(spec, rootfs).map(rlimits::without_memlock);
    // For `false`, as for `true`, libcontainer loads the seccomp filter after it has dropped the
    // privileges (`process/init/process.rs`). Without no_new_privs that fails.
    if let Some(process) =
        process.as_mut().filter(|process| process.no_new_privileges() == Some(false))
    {
        process.set_no_new_privileges(None);
    }
    let mut patched = spec.clone();
    patched.set_linux(Some(linux)).set_process(process);
    if let Some(mounts) = tmpfs::patch_mounts(spec, rootfs) {
        patched.set_mounts(Some(mounts));
    }
    (patched != *spec).then_some(patched)
}

/// The devices that libcontainer must create. libcontainer fails if a node already exists, because
/// the spec names it twice or mounts a folder that contains it. runc keeps the existing node.
fn devices_to_create(devices: &[LinuxDevice], spec: &Spec) -> Vec<LinuxDevice> {
    let mounted = |path: &Path| {
        let binds = spec.mounts().iter().flatten().filter(|mount| is_bind(mount));
        binds.filter_map(|bind| Some((bind.source().as_ref()?, bind.destination()))).any(
            |(source, destination)| {
                let below = path.strip_prefix(destination);
                below.is_ok_and(|below| source.join(below).symlink_metadata().is_ok())
            },
        )
    };
    let is_last = |index: usize, device: &LinuxDevice| {
        !devices[index + 1..].iter().any(|later| later.path() == device.path())
    };
    let all = devices.iter().enumerate();
    let needed = all.filter(|(index, device)| is_last(*index, device) && !mounted(device.path()));
    needed.map(|(_, device)| device.clone()).collect()
}

fn has_user_namespace(linux: &Linux) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

fn non_recursive_name(propagation: &str) -> Option<&str> {
    propagation.strip_prefix('r').filter(|rest| ["shared", "slave", "private"].contains(rest))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const SYSTEMD: Cgroups = Cgroups { systemd: true, unified: true };
    const CGROUPFS: Cgroups = Cgroups { systemd: false, unified: true };
    const V1: Cgroups = Cgroups { systemd: false, unified: false };

    fn spec(linux: serde_json::Value) -> Spec {
        let spec = json!({ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "linux": linux });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn only_unsupported_settings_are_patched() {
        let of = |propagation: &str| {
            let spec = spec(json!({ "rootfsPropagation": propagation }));
            let patched = patch(&spec, "id", Path::new("/"), SYSTEMD)?;
            patched.linux().as_ref()?.rootfs_propagation().clone()
        };
        assert_eq!(of("rslave").as_deref(), Some("slave"));
        assert_eq!(of("rshared").as_deref(), Some("shared"));
        for unchanged in ["slave", "runbindable", "nonsense"] {
            assert_eq!(of(unchanged).as_deref(), Some(unchanged));
        }

        let cpus = spec(json!({ "resources": { "cpu": { "cpus": "0", "shares": 77 } } }));
        assert!(patch(&cpus, "id", Path::new("/"), V1).is_none());
        let unlimited = patch(&spec(json!({})), "id", Path::new("/"), V1).unwrap();
        assert!(unlimited.linux().as_ref().unwrap().resources().is_some());
    }

    #[test]
    fn libcontainer_gets_only_device_rules_in_cgroup_v2() {
        let rule = json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" });
        let limits = json!({
            "cpu": { "cpus": "0" }, "memory": { "limit": 1 }, "pids": { "limit": 0 },
            "blockIO": { "weight": 500 }, "unified": { "pids.max": "max" }, "devices": [rule],
        });
        let limited = spec(json!({ "resources": limits }));
        for cgroups in [SYSTEMD, CGROUPFS] {
            let patched = patch(&limited, "id", Path::new("/"), cgroups).unwrap();
            let resources = patched.linux().clone().unwrap().resources().clone().unwrap();
            let text = serde_json::to_value(&resources).unwrap();
            let names: Vec<&String> = text.as_object().unwrap().keys().collect();
            assert_eq!(names, ["devices"]);
        }
    }

    #[test]
    fn with_a_user_namespace_the_cgroups_path_is_absolute() {
        let of = |linux: serde_json::Value, cgroups: Cgroups| {
            let patched = patch(&spec(linux), "id", Path::new("/"), cgroups)?;
            patched.linux().as_ref()?.cgroups_path().clone()
        };
        let users = json!([{ "type": "user" }]);
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(json!({ "namespaces": users }), CGROUPFS), path("/:youki:id"));
        assert_eq!(
            of(json!({ "namespaces": users, "cgroupsPath": "a/b" }), CGROUPFS),
            path("/a/b")
        );
        assert_eq!(of(json!({ "namespaces": users, "cgroupsPath": "/a" }), CGROUPFS), path("/a"));
        assert_eq!(of(json!({ "namespaces": users }), SYSTEMD), None);
        assert_eq!(of(json!({}), CGROUPFS), None);
    }

    #[test]
    fn existing_devices_are_not_created() {
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
        let patched = patch(&spec, "id", Path::new("/"), SYSTEMD).unwrap();
        let devices = patched.linux().as_ref().unwrap().devices().clone().unwrap();
        assert_eq!(devices.iter().map(LinuxDevice::minor).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn no_new_privileges_is_set_only_if_true() {
        for (written, expected) in
            [(json!(false), None), (json!(true), Some(true)), (json!(null), None)]
        {
            let mut spec = spec(json!({}));
            let process = json!({ "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": written });
            spec.set_process(Some(serde_json::from_value(process).unwrap()));
            let patched = patch(&spec, "id", Path::new("/"), SYSTEMD).unwrap();
            assert_eq!(patched.process().as_ref().unwrap().no_new_privileges(), expected);
        }
    }
}
