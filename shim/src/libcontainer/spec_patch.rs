//! Changes the settings of a spec that libcontainer would refuse or apply wrongly, so that the result
//! is the same as under runc.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Linux, LinuxNamespaceType, Mount, Spec};
use serde_json::json;

use super::bind_flags;
use super::cgroup_mount;
use super::device_nodes;
use super::mount_options;
use super::process_defaults;
use super::readonly;
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
    remove_unused_mappings(&mut linux);
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
        linux.set_devices(Some(device_nodes::for_libcontainer(
            devices,
            spec,
            bind_flags::are_locked(spec),
        )));
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
    let mut mounts = spec.mounts().clone();
    if let Some(mounts) = &mut mounts {
        patch_mounts(spec, mounts, rootfs);
    }
    readonly::patch(spec, &mut linux, mounts.as_deref_mut().unwrap_or_default());
    let mut patched = spec.clone();
    set_version(&mut patched);
    patched.set_linux(Some(linux)).set_process(process).set_mounts(mounts);
    (patched != *spec).then_some(patched)
}

/// Gives a spec a version that libcontainer takes: only 1.x (`init_builder.rs`, `validate_spec`). runc
/// takes any.
pub(super) fn set_version(spec: &mut Spec) {
    if !spec.version().starts_with("1.") {
        spec.set_version("1.0.0".to_owned());
    }
}

/// Removes the id mappings of a container without a user namespace. runc ignores them; libcontainer
/// refuses them.
pub(super) fn remove_unused_mappings(linux: &mut Linux) {
    if !has_user_namespace(linux) {
        linux.set_uid_mappings(None).set_gid_mappings(None);
    }
}

fn patch_mounts(spec: &Spec, mounts: &mut [Mount], rootfs: &Path) {
    let locked = bind_flags::are_locked(spec);
    for mount in mounts.iter_mut().filter(|mount| mount.options().is_some()) {
        let mut options = mount_options::patch(mount);
        options.extend(bind_flags::clearing_options(mount, locked).into_iter().map(str::to_owned));
        mount.set_options(Some(options));
    }
    cgroup_mount::patch(spec, mounts);
    tmpfs::patch(mounts, rootfs);
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
    fn libcontainer_gets_a_version_that_it_takes() {
        let version = |written: &str| {
            let mut spec = spec(json!({}));
            spec.set_version(written.to_owned());
            patch(&spec, "id", Path::new("/"), SYSTEMD).unwrap().version().clone()
        };
        assert_eq!((version("0.9.0"), version("")), ("1.0.0".to_owned(), "1.0.0".to_owned()));
        assert_eq!(version("1.2.1"), "1.2.1");
    }

    #[test]
    fn mappings_need_a_user_namespace() {
        let ids = json!([{ "containerID": 0, "hostID": 5, "size": 1 }]);
        let mapped = |namespaces: serde_json::Value| {
            let linux = json!({ "namespaces": namespaces, "uidMappings": ids, "gidMappings": ids });
            let patched = patch(&spec(linux), "id", Path::new("/"), SYSTEMD).unwrap();
            let linux = patched.linux().clone().unwrap();
            (linux.uid_mappings().is_some(), linux.gid_mappings().is_some())
        };
        assert_eq!(mapped(json!([{ "type": "user" }])), (true, true));
        assert_eq!(mapped(json!([{ "type": "pid" }])), (false, false));
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
