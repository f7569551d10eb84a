//! Device nodes. libcontainer creates them by path, on the host's side, before it changes the root
//! (`rootfs/device.rs`). In a folder below `/dev`, which may be a volume, another container could
//! exchange a folder in that path for a symlink, and the node would be created on the host
//! (CVE-2024-45310 is of this kind). So libcontainer creates only the nodes directly in `/dev`, and
//! runvf creates the others by descriptors below the container's root, while the init process waits.
//!
//! In a user namespace, libcontainer binds the host's nodes, with no more rights than the container's
//! root has. runvf leaves that to it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use libcontainer::oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, makedev, mkdirat,
    mknodat, openat, openat2,
};
use rustix::io::Errno;

use super::bind_flags;
use super::mount_options::is_bind;
use super::proc_guard::normalize;
use crate::error::Error;

/// The devices that libcontainer must create. libcontainer fails if a node already exists, because
/// the spec names it twice or mounts a folder that contains it. runc keeps the existing node.
pub(super) fn for_libcontainer(
    devices: &[LinuxDevice],
    spec: &Spec,
    locked: bool,
) -> Vec<LinuxDevice> {
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
    let needed = all.filter(|(index, device)| {
        has_path(device)
            && is_last(*index, device)
            && !is_created_by_runvf(device, spec, locked)
            && !mounted(device.path())
    });
    needed.map(|(_, device)| device.clone()).collect()
}

/// runc creates no node for a device without a path (`createDeviceNode`).
fn has_path(device: &LinuxDevice) -> bool {
    !device.path().as_os_str().is_empty()
}

/// `locked`: in a user namespace ([`bind_flags::are_locked`]).
fn is_created_by_runvf(device: &LinuxDevice, spec: &Spec, locked: bool) -> bool {
    let path = normalize(device.path());
    let dev = Path::new("/dev");
    if path.parent() == Some(dev) || locked {
        return false;
    }
    // A folder of the image, which no other container has.
    let mut mounts = spec.mounts().iter().flatten().map(|mount| normalize(mount.destination()));
    let in_image = path.starts_with(dev) && !mounts.any(|mount| path.starts_with(mount));
    !in_image
}

/// Creates the other nodes. runc keeps a node that exists, too.
pub(crate) fn create(spec: &Spec, pid: i32) -> Result<(), Error> {
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    let locked = bind_flags::are_locked(spec);
    let devices = devices.into_iter().flatten();
    let devices =
        devices.filter(|device| has_path(device) && is_created_by_runvf(device, spec, locked));
    // The last one of a path counts, as in `for_libcontainer`.
    for device in devices.rev() {
        let created = create_below(Path::new(&format!("/proc/{pid}/root")), device);
        created.map_err(|errno| Error::file("create the device", device.path())(errno.into()))?;
    }
    Ok(())
}

fn create_below(root: &Path, device: &LinuxDevice) -> Result<(), Errno> {
    let path = normalize(device.path());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let root =
        openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let folder = create_folders(&root, parent)?;
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return Err(Errno::INVAL),
    };
    let number = |number: i64| u32::try_from(number).map_err(|_| Errno::INVAL);
    let number = makedev(number(device.major())?, number(device.minor())?);
    match mknodat(&folder, name, kind, Mode::RUSR, number) {
        Err(Errno::EXIST) => return Ok(()),
        created => created?,
    }
    let node =
        openat(&folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let found = fstat(&node)?;
    // Another file was put in its place.
    if FileType::from_raw_mode(found.st_mode) != kind || found.st_rdev != number {
        return Err(Errno::STALE);
    }
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    chownat(&node, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?;
    set_mode(&node, device.file_mode().unwrap_or(0o666))
}

/// Opens a folder below the root, and creates what is missing of it.
fn create_folders(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut open =
        root.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let mut below = std::path::PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        below.push(name);
        open = match openat2(root, &below, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Err(Errno::NOENT) => {
                mkdirat(&open, name, Mode::RWXU)?;
                let created = openat(&open, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
                set_mode(&created, 0o755)?;
                created
            }
            folder => folder?,
        };
    }
    Ok(open)
}

/// Sets the mode without the umask. A descriptor with O_PATH needs its link in /proc (open(2)).
fn set_mode(file: &OwnedFd, mode: u32) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mode = std::fs::Permissions::from_mode(mode & 0o7777);
    std::fs::set_permissions(link, mode)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use serde_json::{Value, json};

    use super::*;

    fn device(path: &str, minor: i64) -> Value {
        json!({ "path": path, "type": "c", "major": 1, "minor": minor })
    }

    fn minors(devices: &Value, mounts: &Value, locked: bool) -> Vec<i64> {
        let spec = json!({ "ociVersion": "1.0.2", "mounts": mounts, "linux": {} });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let devices: Vec<LinuxDevice> = serde_json::from_value(devices.clone()).unwrap();
        for_libcontainer(&devices, &spec, locked).iter().map(LinuxDevice::minor).collect()
    }

    #[test]
    fn libcontainer_creates_the_missing_nodes_in_dev() {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("there"), "").unwrap();
        let devices = json!([
            device("/dev/twice", 1),
            device("/dev/twice", 2),
            device("/dev/x/there", 3),
            device("/dev/x/other", 4),
            device("/dev/net/tun", 5),
            device("/disk", 6),
        ]);
        let mounts = json!([
            { "destination": "/dev", "type": "tmpfs" },
            { "destination": "/dev/x", "source": host.path(), "options": ["rbind"] },
        ]);
        assert_eq!(minors(&devices, &mounts, true), [2, 4, 5, 6]);
        assert_eq!(minors(&devices, &mounts, false), [2]);
        let in_image = json!([mounts[1]]);
        assert_eq!(minors(&devices, &in_image, false), [2, 5]);
    }

    #[test]
    fn a_node_is_created_below_the_root_with_mode_and_owner() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("dev")).unwrap();
        symlink(outside.path(), root.path().join("dev/link")).unwrap();
        let create = |path: &str| {
            let mut device = device(path, 3);
            device["uid"] = json!(7);
            device["fileMode"] = json!(0o620);
            create_below(root.path(), &serde_json::from_value(device).unwrap())
        };
        create("/dev/a/b/null").unwrap();
        let found = fs::metadata(root.path().join("dev/a/b/null")).unwrap();
        assert_eq!((found.mode(), found.uid(), found.rdev()), (0o20620, 7, makedev(1, 3)));
        assert_eq!(fs::metadata(root.path().join("dev/a")).unwrap().mode(), 0o40755);
        assert_eq!(create("/dev/a/b/null"), Ok(()), "it exists");
        // The link leads to the host; below the root there is no such folder.
        assert!(create("/dev/link/null").is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
