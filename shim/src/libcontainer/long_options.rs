//! Mounts with a source or an option of more than 255 bytes, as Podman's overlay volumes
//! (`-v PATH:/x:O`) have. libcontainer passes each option to fsconfig(2), which accepts at most 255
//! bytes (`strndup_user`, `fs/fsopen.c`). runc uses mount(2), which accepts a page for all options.
//! So runvf mounts such file systems itself by mount(2), in a private mount namespace, and the
//! patched spec has a bind mount of them.

use std::fs;
use std::path::PathBuf;

use libcontainer::oci_spec::runtime::{Mount, Spec};
use nix::mount::MsFlags;

use super::bind_flags;
use super::mount_options::{self, Effect, effect, is_bind, is_read_only};
use super::private_mountns::{self, PrivateMountNs};
use crate::error::Error;

/// fsconfig(2) accepts one byte more, for the final NUL.
const MAX_FSCONFIG_BYTES: usize = 255;
/// mount(2) copies one page, with the final NUL. All supported machines have pages of at least 4 KiB.
const MAX_MOUNT_BYTES: usize = 4095;

/// File systems that show the namespaces of the process that mounts them.
const OF_NAMESPACES: [&str; 6] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs"];

pub(super) struct LongMounts(Vec<LongMount>);

struct LongMount {
    /// The index in the spec's mounts.
    index: usize,
    mount: Mount,
    flags: MsFlags,
    /// The options of the file system.
    data: String,
}

impl LongMounts {
    /// Returns `None` if libcontainer can make all mounts.
    pub(super) fn new(spec: &Spec) -> Result<Option<Self>, Error> {
        if !private_mountns::is_created_by(spec) {
            return Ok(None);
        }
        let all = spec.mounts().iter().flatten().enumerate();
        let long = all.filter(|(_, mount)| is_long(mount)).map(|(index, mount)| {
            let mut flags = flags_of(mount);
            // The kernel adds this flag to what the root of a user namespace mounts.
            flags.set(MsFlags::MS_NODEV, bind_flags::are_locked(spec));
            let data: Vec<&str> = data_of(mount).collect();
            let data = data.join(",");
            match data.len() <= MAX_MOUNT_BYTES {
                true => Ok(LongMount { index, mount: mount.clone(), flags, data }),
                false => Err(Error::Mount {
                    destination: mount.destination().clone(),
                    problem: format!("its options have more than {MAX_MOUNT_BYTES} bytes"),
                }),
            }
        });
        let long: Vec<_> = long.collect::<Result<_, _>>()?;
        Ok((!long.is_empty()).then_some(Self(long)))
    }

    /// Mounts the file systems in the staging folder.
    pub(super) fn mount(&self, mountns: &PrivateMountNs) -> Result<(), Error> {
        for LongMount { index, mount, flags, data } in &self.0 {
            let path = private_mountns::staging_path(*index);
            fs::create_dir(&path).map_err(Error::file("create", &path))?;
            let source = mount.source().as_deref();
            let kind = mount.typ().as_deref();
            mountns.mount(source, &path, kind, *flags, data).map_err(|errno| Error::Mount {
                destination: mount.destination().clone(),
                problem: format!("{}: {}", kind.unwrap_or_default(), errno.desc()),
            })?;
        }
        Ok(())
    }

    /// Replaces the mounts by bind mounts of the staged ones.
    pub(super) fn patch(&self, mounts: &mut [Mount]) {
        for LongMount { index, mount, .. } in &self.0 {
            mounts[*index] = bind_of(mount, private_mountns::staging_path(*index));
        }
    }
}

fn is_long(mount: &Mount) -> bool {
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().as_ref().map_or(0, |source| source.as_os_str().len());
    let longest = data_of(mount)
        .map(|option| option.split_once('=').map_or(option, |(_, value)| value).len())
        .chain([source])
        .max();
    !is_bind(mount) && !OF_NAMESPACES.contains(&kind) && longest > Some(MAX_FSCONFIG_BYTES)
}

fn data_of(mount: &Mount) -> impl Iterator<Item = &str> {
    mount_options::options(mount).filter(|option| effect(option).is_none())
}

/// The flags of the file system. The bind mount gets the flags of the mount.
fn flags_of(mount: &Mount) -> MsFlags {
    let all = [
        (is_read_only(mount), MsFlags::MS_RDONLY),
        (mount_options::is_set(mount, "sync"), MsFlags::MS_SYNCHRONOUS),
        (mount_options::is_set(mount, "dirsync"), MsFlags::MS_DIRSYNC),
        (mount_options::is_set(mount, "mand"), MsFlags::MS_MANDLOCK),
        (mount_options::is_set(mount, "lazytime"), MsFlags::MS_LAZYTIME),
    ];
    all.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
}

fn bind_of(mount: &Mount, source: PathBuf) -> Mount {
    let of_mount = mount_options::options(mount).filter(|option| {
        !matches!(effect(option), None | Some(Effect::SetSuperblock | Effect::ClearSuperblock(_)))
    });
    let mut options: Vec<String> = of_mount.map(str::to_owned).collect();
    options.push("bind".to_owned());
    let mut bind = mount.clone();
    bind.set_typ(Some("bind".to_owned())).set_source(Some(source)).set_options(Some(options));
    let options = mount_options::patch(&bind);
    bind.set_options(Some(options));
    bind
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(kind: &str, option: &str) -> Spec {
        let options = ["nosuid", "ro", "sync", "userxattr", option];
        let mount =
            json!({ "destination": "/x", "type": kind, "source": "overlay", "options": options });
        let spec = json!({ "ociVersion": "1.0.2", "mounts": [mount], "linux": { "namespaces": [{ "type": "mount" }] } });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn only_long_options_of_file_systems_are_mounted_by_mount() {
        let is_long =
            |kind: &str, option: String| LongMounts::new(&spec(kind, &option)).unwrap().is_some();
        assert!(!is_long("overlay", format!("lowerdir={}", "x".repeat(255))));
        assert!(is_long("overlay", format!("lowerdir={}", "x".repeat(256))));
        assert!(!is_long("proc", "x".repeat(300)));
        assert!(!is_long("bind", "x".repeat(300)));
        assert!(LongMounts::new(&spec("overlay", &"x".repeat(4096))).is_err());
    }

    #[test]
    fn the_flags_are_divided_between_file_system_and_bind_mount() {
        let lower = format!("lowerdir={}", "x".repeat(300));
        let spec = spec("overlay", &lower);
        let long = LongMounts::new(&spec).unwrap().unwrap();
        assert_eq!(
            long.0[0].flags - MsFlags::MS_NODEV,
            MsFlags::MS_RDONLY | MsFlags::MS_SYNCHRONOUS
        );
        assert_eq!(long.0[0].data, format!("userxattr,{lower}"));
        let mut mounts = spec.mounts().clone().unwrap();
        long.patch(&mut mounts);
        assert_eq!(mounts[0].options().clone().unwrap(), ["nosuid", "ro", "bind"]);
        assert_eq!(mounts[0].source().clone().unwrap(), private_mountns::staging_path(0));
    }

    #[test]
    fn an_overlay_with_a_long_lower_layer_is_mounted() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let lower = folder.path().join("x".repeat(200)).join("y".repeat(200));
        fs::create_dir_all(&lower).unwrap();
        fs::write(lower.join("file"), "").unwrap();
        // An overlay without an upper layer needs two lower layers.
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let layers = format!("lowerdir={}:{}", lower.display(), other.display());
        let long = LongMounts::new(&spec("overlay", &layers)).unwrap().unwrap();
        let mountns = PrivateMountNs::enter().unwrap();
        mountns.mount_staging_dir().unwrap();
        let mounted = long.mount(&mountns);
        let found = private_mountns::staging_path(0).join("file").exists();
        drop(mountns);
        mounted.unwrap();
        assert!(found && !private_mountns::staging_path(0).exists());
    }
}
