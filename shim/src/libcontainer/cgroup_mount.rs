//! The cgroup mount of a container without a cgroup namespace of its own (`--cgroupns host`). A new
//! mount of cgroup v2 in the initial cgroup namespace replaces the options of the host's mount, such
//! as `nsdelegate` and `memory_recursiveprot` (`apply_cgroup_root_flags`, `kernel/cgroup/cgroup.c`).
//! runc and libcontainer make such a mount. runvf binds the host's mount instead, which shows the
//! container the same files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use libcgroups::common::{CgroupSetup, DEFAULT_CGROUP_ROOT, get_cgroup_setup};
use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::mount_options::{Effect, effect};

/// Replaces the mounts. Under cgroup v1, libcontainer itself binds the host's mounts.
pub(super) fn patch(spec: &Spec, mounts: &mut [Mount]) {
    let is_cgroup = |mount: &Mount| matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"));
    if has_own_namespace(spec) || !mounts.iter().any(is_cgroup) {
        return;
    }
    if !matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified)) {
        return;
    }
    mounts.iter_mut().filter(|mount| is_cgroup(mount)).for_each(bind);
}

fn bind(mount: &mut Mount) {
    let mut options = mount.options().clone().unwrap_or_default();
    // Options of the file system, and `nsdelegate` is one, would change the host's mount.
    options.retain(|option| {
        !matches!(effect(option), None | Some(Effect::SetSuperblock | Effect::ClearSuperblock(_)))
    });
    options.push("bind".to_owned());
    mount.set_typ(Some("bind".to_owned()));
    mount.set_source(Some(DEFAULT_CGROUP_ROOT.into())).set_options(Some(options));
}

/// Whether the container has another cgroup namespace than runvf.
fn has_own_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let found =
        namespaces.and_then(|all| all.iter().find(|one| one.typ() == LinuxNamespaceType::Cgroup));
    let Some(namespace) = found else { return false };
    match namespace.path().as_deref().filter(|path| *path != Path::new("")) {
        None => true,
        Some(path) => {
            let id = |path: &Path| fs::metadata(path).map(|found| found.ino()).ok();
            id(path) != id(Path::new("/proc/self/ns/cgroup"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_new_cgroup_namespace_has_a_cgroup_mount_of_its_own() {
        let of = |namespaces: serde_json::Value| {
            let spec = json!({ "ociVersion": "1.0.2", "linux": { "namespaces": namespaces } });
            has_own_namespace(&serde_json::from_value(spec).unwrap())
        };
        assert!(!of(json!([{ "type": "mount" }])));
        assert!(of(json!([{ "type": "cgroup" }])));
        assert!(!of(json!([{ "type": "cgroup", "path": "/proc/self/ns/cgroup" }])));
        assert!(of(json!([{ "type": "cgroup", "path": "/proc/self/ns/net" }])));
    }

    #[test]
    fn the_bind_mount_keeps_the_flags_and_drops_options_of_the_file_system() {
        let mount = json!({ "destination": "/c", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "nsdelegate", "sync"] });
        let mut mount: Mount = serde_json::from_value(mount).unwrap();
        bind(&mut mount);
        assert_eq!(mount.options().clone().unwrap(), ["ro", "nosuid", "bind"]);
        assert_eq!(mount.source().as_deref(), Some(Path::new("/sys/fs/cgroup")));
    }
}
