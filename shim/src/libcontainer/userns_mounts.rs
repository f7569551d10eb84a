//! Bind mounts that the root of a container's user namespace cannot reach. Podman keeps each
//! container's `hosts` and `resolv.conf` in folders that this root may not enter. runc opens such
//! files outside the user namespace and passes them to the container; libcontainer opens them
//! inside (`rootfs/mount.rs`). So runvf binds them to an accessible folder in a private mount
//! namespace, and the patched spec names that folder.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Mount, Spec};
use nix::mount::MsFlags;

use super::mount_options::is_bind;
use super::private_mountns::{self, PrivateMountNs, STAGING_DIR, staging_path};
use crate::error::Error;

pub(crate) struct BindStaging {
    binds: Vec<StagedBind>,
}

struct StagedBind {
    /// The index in the spec's mounts.
    index: usize,
    source: PathBuf,
    /// The path in [`STAGING_DIR`].
    path: PathBuf,
    /// `MS_REC` only if the spec's mount is recursive. Submounts are locked in the user namespace,
    /// and the kernel refuses a non-recursive bind of a mount with locked submounts
    /// (`has_locked_children`, `fs/namespace.c`).
    recursive: MsFlags,
}

impl BindStaging {
    /// Returns `None` if the container's root can reach all sources.
    pub(crate) fn new(spec: &Spec) -> Result<Option<Self>, Error> {
        let Some(root) = ContainerRoot::of(spec).filter(|_| private_mountns::is_created_by(spec))
        else {
            return Ok(None);
        };
        let mounts = spec.mounts().iter().flatten().enumerate().filter(|(_, mount)| is_bind(mount));
        let unreachable = |(index, mount): (usize, &Mount)| {
            let source = mount.source().as_ref().filter(|source| source.is_absolute())?;
            // libcontainer reports a missing source.
            let real = fs::canonicalize(source).ok()?;
            let paths = [source, &real];
            let unreachable = paths.iter().any(|path| root.first_closed_folder(path).is_some());
            unreachable.then(|| StagedBind {
                index,
                source: real,
                path: staging_path(index),
                recursive: recursive_flag(mount),
            })
        };
        let binds: Vec<_> = mounts.filter_map(unreachable).collect();
        if binds.is_empty() {
            return Ok(None);
        }
        if let Some(folder) = root.first_closed_folder(Path::new(STAGING_DIR)) {
            return Err(Error::UnreachableMount { folder: folder.to_owned() });
        }
        Ok(Some(Self { binds }))
    }

    /// Binds the sources to the staging folder.
    pub(crate) fn mount(&self, mountns: &PrivateMountNs) -> Result<(), Error> {
        for bind in &self.binds {
            // The target of a bind mount must be a folder or a file, as its source is.
            let created = match bind.source.is_dir() {
                true => fs::create_dir(&bind.path),
                false => File::create_new(&bind.path).map(drop),
            };
            created.map_err(Error::file("create", &bind.path))?;
            mountns.bind(&bind.source, &bind.path, bind.recursive)?;
        }
        Ok(())
    }

    /// Makes the staged paths the sources.
    pub(crate) fn patch(&self, mounts: &mut [Mount]) {
        for bind in &self.binds {
            mounts[bind.index].set_source(Some(bind.path.clone()));
        }
    }
}

fn recursive_flag(mount: &Mount) -> MsFlags {
    match mount.options().iter().flatten().any(|option| option == "rbind") {
        true => MsFlags::MS_REC,
        false => MsFlags::empty(),
    }
}

/// The root of the container's user namespace, with its mappings to ids of the host.
struct ContainerRoot<'a> {
    uids: &'a Option<Vec<LinuxIdMapping>>,
    gids: &'a Option<Vec<LinuxIdMapping>>,
}

impl<'a> ContainerRoot<'a> {
    /// Returns `None` for a spec without a user namespace. For an existing user namespace, the spec
    /// may omit the mappings. Then only folders that all users may enter count as accessible.
    fn of(spec: &'a Spec) -> Option<Self> {
        let linux = spec.linux().as_ref()?;
        let mut namespaces = linux.namespaces().iter().flatten();
        let has_userns = namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User);
        has_userns.then(|| Self { uids: linux.uid_mappings(), gids: linux.gid_mappings() })
    }

    /// The first folder on the way to a path that this root may not enter.
    fn first_closed_folder<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let closed =
            |folder: &&Path| fs::metadata(folder).is_ok_and(|found| !self.may_enter(&found));
        path.ancestors().skip(1).filter(closed).last()
    }

    /// The root's capabilities apply to a folder with a mapped user and a mapped group
    /// (`capable_wrt_inode_uidgid`, `kernel/capability.c`). For other folders, the mode decides.
    fn may_enter(&self, folder: &Metadata) -> bool {
        let as_other = folder.mode() & 0o001 != 0;
        let as_group = folder.mode() & 0o010 != 0 && maps_root_to(self.gids, folder.gid());
        let by_capability = maps(self.uids, folder.uid()) && maps(self.gids, folder.gid());
        as_other || as_group || by_capability
    }
}

fn maps(mappings: &Option<Vec<LinuxIdMapping>>, id: u32) -> bool {
    let mut all = mappings.iter().flatten();
    all.any(|mapping| {
        id.checked_sub(mapping.host_id()).is_some_and(|offset| offset < mapping.size())
    })
}

fn maps_root_to(mappings: &Option<Vec<LinuxIdMapping>>, id: u32) -> bool {
    mappings.iter().flatten().any(|mapping| mapping.container_id() == 0 && mapping.host_id() == id)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    /// Returns the patched source of a mount of `folder/hosts`. `mode`: of the folder. `host`: the
    /// host's uid of the container's root.
    fn staged_source(folder: &Path, mode: u32, host: u32, namespace: &str) -> Option<PathBuf> {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        fs::write(folder.join("hosts"), "").unwrap();
        let mapping = json!([{ "containerID": 0, "hostID": host, "size": 1000 }]);
        let spec = json!({
            "ociVersion": "1.0.2",
            "mounts": [
                { "destination": "/etc/x", "type": "bind", "source": folder.join("nothing"), "options": ["rbind"] },
                { "destination": "/etc/hosts", "type": "bind", "source": folder.join("hosts"), "options": ["rbind"] },
            ],
            "linux": { "namespaces": [{ "type": namespace }, { "type": "mount" }], "uidMappings": mapping, "gidMappings": mapping },
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let staging = BindStaging::new(&spec).unwrap()?;
        let mut mounts = spec.mounts().clone().unwrap();
        staging.patch(&mut mounts);
        assert_eq!(mounts[0].source().as_deref(), Some(folder.join("nothing").as_path()));
        mounts[1].source().clone()
    }

    #[test]
    fn only_sources_that_the_containers_root_cannot_reach_are_staged() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let source = |mode, host, namespace| staged_source(folder.path(), mode, host, namespace);
        assert_eq!(source(0o700, 4_000_000, "user"), Some(Path::new(STAGING_DIR).join("1")));
        assert_eq!(source(0o711, 4_000_000, "user"), None);
        assert_eq!(source(0o700, 4_000_000, "network"), None, "without a user namespace");
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(source(0o700, own, "user"), None, "the root's own folder");
    }
}
