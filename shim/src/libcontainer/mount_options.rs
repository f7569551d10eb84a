//! What the options of a mount ask for.

use libcontainer::oci_spec::runtime::Mount;

pub(super) fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    mount.typ().as_deref() == Some("bind")
        || options.into_iter().any(|one| one == "bind" || one == "rbind")
}

/// libcontainer passes over it, and the owners would be those of the host.
pub(super) fn is_idmapped(mount: &Mount) -> bool {
    let mut options = mount.options().iter().flatten();
    mount.uid_mappings().is_some()
        || mount.gid_mappings().is_some()
        || options.any(|one| one == "idmap" || one == "ridmap")
}
