//! The propagation options of mounts (`rprivate`, `rslave`, `shared`, …). libcontainer ignores them,
//! because its `mount_setattr` sets no propagation (`rootfs/mount.rs`). Every volume would be a slave
//! of the host's mount, and later mounts of the host would appear in it.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Mount, Spec};
use nix::errno::Errno;
use nix::libc;

use super::container_mountns;
use crate::error::Error;

/// The value of `mount_attr.propagation` (mount_setattr(2)), and whether the option is recursive.
type Propagation = (u64, bool);

/// Applies the options to each mount in order, while the init process waits (runc: `mountPropagate`,
/// `rootfs_linux.go`).
pub(crate) fn set(spec: &Spec, pid: i32) -> Result<(), Error> {
    let all = changes(spec);
    if all.is_empty() {
        return Ok(());
    }
    container_mountns::run(pid, || {
        all.iter().try_for_each(|(destination, option)| set_one(destination, *option))
    })
}

/// The mounts with their options, and at last the root, if it is shared with all mounts below it.
/// libcontainer sets that only for the root's own mount.
fn changes(spec: &Spec) -> Vec<(&Path, Propagation)> {
    let mounts = spec.mounts().iter().flatten();
    let of_mounts = mounts
        .flat_map(|mount| options(mount).map(|option| (mount.destination().as_path(), option)));
    let of_root = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    let of_root = of_root.filter(|propagation| *propagation == "rshared");
    of_mounts.chain(of_root.map(|_| (Path::new("/"), (libc::MS_SHARED, true)))).collect()
}

fn options(mount: &Mount) -> impl Iterator<Item = Propagation> {
    mount.options().iter().flatten().filter_map(|option| {
        let (plain, recursive) = match option.strip_prefix('r') {
            Some(plain) => (plain, true),
            None => (option.as_str(), false),
        };
        let propagation = match plain {
            "private" => libc::MS_PRIVATE,
            "slave" => libc::MS_SLAVE,
            "shared" => libc::MS_SHARED,
            "unbindable" => libc::MS_UNBINDABLE,
            _ => return None,
        };
        Some((propagation, recursive))
    })
}

fn set_one(destination: &Path, (propagation, recursive): Propagation) -> Result<(), Error> {
    let failed = |errno: Errno| Error::file("set the propagation of", destination)(errno.into());
    let mount = container_mountns::open(destination).map_err(failed)?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    container_mountns::set_attributes(&mount, flags, attributes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shared_root_shares_all_mounts_below_it() {
        let changes = |propagation: &str| -> Vec<(std::path::PathBuf, Propagation)> {
            let mounts = json!([{ "destination": "/m", "options": ["slave"] }]);
            let linux = json!({ "rootfsPropagation": propagation });
            let spec = json!({ "ociVersion": "1.0.2", "mounts": mounts, "linux": linux });
            let spec: Spec = serde_json::from_value(spec).unwrap();
            changes(&spec).into_iter().map(|(path, option)| (path.to_owned(), option)).collect()
        };
        let of_mount = ("/m".into(), (libc::MS_SLAVE, false));
        let of_root = ("/".into(), (libc::MS_SHARED, true));
        assert_eq!(changes("rshared"), [of_mount.clone(), of_root]);
        assert_eq!(changes("shared"), [of_mount]);
    }

    #[test]
    fn other_options_than_propagation_are_ignored() {
        let of = |options: serde_json::Value| {
            let mount = json!({ "destination": "/m", "options": options });
            options_of(&serde_json::from_value(mount).unwrap())
        };
        assert_eq!(of(json!(["rbind", "ro", "rprivate"])), [(libc::MS_PRIVATE, true)]);
        assert_eq!(of(json!(["slave"])), [(libc::MS_SLAVE, false)]);
        assert_eq!(
            of(json!(["rshared", "unbindable"])),
            [(libc::MS_SHARED, true), (libc::MS_UNBINDABLE, false)]
        );
        assert_eq!(of(json!(["relatime", "rro", "rw"])), []);
    }

    fn options_of(mount: &Mount) -> Vec<Propagation> {
        options(mount).collect()
    }
}
