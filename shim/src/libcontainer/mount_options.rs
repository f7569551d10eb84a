//! Bind mounts and ID-mapped mounts, as the options of a mount name them.

use libcontainer::oci_spec::runtime::Mount;

pub(super) fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    mount.typ().as_deref() == Some("bind")
        || options.into_iter().any(|option| option == "bind" || option == "rbind")
}

/// libcontainer ignores ID mappings, so that files would have the owners that they have on the
/// host.
pub(super) fn is_idmapped(mount: &Mount) -> bool {
    let mut options = mount.options().iter().flatten();
    mount.uid_mappings().is_some()
        || mount.gid_mappings().is_some()
        || options.any(|option| option == "idmap" || option == "ridmap")
}
