//! What a container with a user namespace has mounted, and its root cannot reach: Podman keeps each container's `hosts` and
//! `resolv.conf` in folders that are closed to it. runc opens such files outside and hands them in; libcontainer opens them inside
//! (`rootfs/mount.rs`). So they are bound to a folder that is open, where only the container finds them, and its spec names that.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Mount, Spec};
use nix::mount::MsFlags;

use super::mount_options::is_bind;
use super::private_mountns::{self, PrivateMountNs};
use crate::error::Error;

/// On the host an empty folder of root's. In the container's mount namespace a file system of its own is there before anything is put on
/// it, so that nobody else can exchange what is bound (containers may share `/dev/shm` and `/tmp` with the host).
const STAGING_DIR: &str = "/run/runvf-shelf";

pub(crate) struct BindStaging {
    places: Vec<StagedBind>,
}

struct StagedBind {
    /// Of the spec's mounts.
    index: usize,
    source: PathBuf,
    path: PathBuf,
    /// `MS_REC`, if the container gets what is mounted below it as well. It could not be had without from inside otherwise
    /// (`has_locked_children`, `fs/namespace.c`).
    deep: MsFlags,
}

impl BindStaging {
    /// `None`: all is within reach.
    pub(crate) fn new(spec: &Spec) -> Result<Option<Self>, Error> {
        let Some(root) = Root::of(spec).filter(|_| private_mountns::is_created_by(spec)) else {
            return Ok(None);
        };
        let mounts = spec.mounts().iter().flatten().enumerate().filter(|(_, one)| is_bind(one));
        let closed = |(index, mount): (usize, &Mount)| {
            let source = mount.source().as_ref().filter(|source| source.is_absolute())?;
            // What is not there is libcontainer's to complain of.
            let real = fs::canonicalize(source).ok()?;
            let closed = [source, &real].iter().any(|path| root.closed_above(path).is_some());
            closed.then(|| (index, real, depth(mount)))
        };
        let closed: Vec<_> = mounts.filter_map(closed).collect();
        if closed.is_empty() {
            return Ok(None);
        }
        if let Some(folder) = root.closed_above(Path::new(STAGING_DIR)) {
            return Err(Error::UnreachableMount { folder: folder.to_owned() });
        }
        let place = |(index, source, deep): (usize, PathBuf, MsFlags)| {
            let path = Path::new(STAGING_DIR).join(index.to_string());
            StagedBind { index, source, path, deep }
        };
        Ok(Some(Self { places: closed.into_iter().map(place).collect() }))
    }

    pub(crate) fn mount(&self, mountns: &PrivateMountNs) -> Result<(), Error> {
        let folder = Path::new(STAGING_DIR);
        fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
        mountns.mount_tmpfs(folder, "mode=0711,size=64k")?;
        for place in &self.places {
            // Something of the same kind, to bind it to.
            let made = match place.source.is_dir() {
                true => fs::create_dir(&place.path),
                false => File::create_new(&place.path).map(drop),
            };
            made.map_err(Error::file("make", &place.path))?;
            mountns.bind(&place.source, &place.path, place.deep)?;
        }
        Ok(())
    }

    pub(crate) fn patch_spec(&self, spec: &Spec) -> Spec {
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for place in &self.places {
            mounts[place.index].set_source(Some(place.path.clone()));
        }
        let mut spec = spec.clone();
        spec.set_mounts(Some(mounts));
        spec
    }
}

fn depth(mount: &Mount) -> MsFlags {
    match mount.options().iter().flatten().any(|one| one == "rbind") {
        true => MsFlags::MS_REC,
        false => MsFlags::empty(),
    }
}

/// The root of the user namespace, as the host sees it.
struct Root<'a> {
    uids: &'a Option<Vec<LinuxIdMapping>>,
    gids: &'a Option<Vec<LinuxIdMapping>>,
}

impl<'a> Root<'a> {
    /// In a namespace that somebody else has made, the spec need not say whose it is: then only what is open to all is open to it.
    fn of(spec: &'a Spec) -> Option<Self> {
        let linux = spec.linux().as_ref()?;
        let mut namespaces = linux.namespaces().iter().flatten();
        let here = namespaces.any(|one| one.typ() == LinuxNamespaceType::User);
        here.then(|| Self { uids: linux.uid_mappings(), gids: linux.gid_mappings() })
    }

    /// The first folder on the way to a path that is closed to it.
    fn closed_above<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|it| !self.may_enter(&it));
        path.ancestors().skip(1).filter(closed).last()
    }

    /// Its capabilities count where both owners are mapped (`capable_wrt_inode_uidgid`, `kernel/capability.c`), elsewhere the mode does.
    fn may_enter(&self, folder: &Metadata) -> bool {
        let everybodys = folder.mode() & 0o001 != 0;
        let its_groups = folder.mode() & 0o010 != 0 && maps_root_to(self.gids, folder.gid());
        let its_own = maps(self.uids, folder.uid()) && maps(self.gids, folder.gid());
        everybodys || its_groups || its_own
    }
}

fn maps(mappings: &Option<Vec<LinuxIdMapping>>, id: u32) -> bool {
    let mut all = mappings.iter().flatten();
    all.any(|one| id.checked_sub(one.host_id()).is_some_and(|offset| offset < one.size()))
}

fn maps_root_to(mappings: &Option<Vec<LinuxIdMapping>>, id: u32) -> bool {
    mappings.iter().flatten().any(|one| one.container_id() == 0 && one.host_id() == id)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    /// What the container of a root that is `host` outside is told to mount, if not the folder's file itself.
    fn told(folder: &Path, mode: u32, host: u32, namespace: &str) -> Option<PathBuf> {
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
        let mounts = staging.patch_spec(&spec).mounts().clone().unwrap();
        assert_eq!(mounts[0].source().as_deref(), Some(folder.join("nothing").as_path()));
        mounts[1].source().clone()
    }

    #[test]
    fn what_a_closed_folder_has_is_put_where_a_root_that_is_somebody_else_finds_it() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let told = |mode, host, namespace| told(folder.path(), mode, host, namespace);
        assert_eq!(told(0o700, 4_000_000, "user"), Some(Path::new(STAGING_DIR).join("1")));
        assert_eq!(told(0o711, 4_000_000, "user"), None);
        assert_eq!(told(0o700, 4_000_000, "network"), None, "without a user namespace");
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(told(0o700, own, "user"), None, "its own folder");
    }
}
