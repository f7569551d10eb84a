//! Read-only mounts and paths that libcontainer makes too early, too late or not at all.
//!
//! - `/dev` with the option `ro`: libcontainer drops the option, because it must create the devices,
//!   and never sets it again. A tmpfs with `ro` is read-only before the mount points below it and the
//!   files of `tmpcopyup` exist. runc makes both read-only at the end (`finalizeRootfs`).
//! - `readonlyPaths`: libcontainer adds nosuid, nodev and noexec to each. runc keeps the flags that
//!   the mount has (`readonlyPath`).
//!
//! So runvf takes these settings out of the patched spec, and applies them as the last step before
//! the init process may continue.

use std::os::fd::OwnedFd;
use std::path::Path;

use libcontainer::oci_spec::runtime::{Linux, Mount, Spec};
use nix::errno::Errno;
use nix::libc;
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::mount_options::{is_bind, is_read_only};
use super::proc_guard::normalize;
use super::{container_mountns, private_mountns};
use crate::error::Error;

/// Whether runvf makes a mount read-only.
fn is_delayed(mount: &Mount) -> bool {
    let is_dev = normalize(mount.destination()) == Path::new("/dev");
    is_read_only(mount) && !is_bind(mount) && (is_dev || mount.typ().as_deref() == Some("tmpfs"))
}

/// Takes the settings out of the spec. Only in a new mount namespace can runvf apply them.
pub(super) fn patch(spec: &Spec, linux: &mut Linux, mounts: &mut [Mount]) {
    if !private_mountns::is_created_by(spec) {
        return;
    }
    linux.set_readonly_paths(None);
    for mount in mounts.iter_mut().filter(|mount| is_delayed(mount)) {
        let mut options = mount.options().clone().unwrap_or_default();
        options.retain(|option| option != "ro");
        mount.set_options(Some(options));
    }
}

/// Applies the settings of the engine's spec.
pub(crate) fn apply(spec: &Spec, pid: i32) -> Result<(), Error> {
    if !private_mountns::is_created_by(spec) {
        return Ok(());
    }
    let mounts = spec.mounts().iter().flatten().filter(|mount| is_delayed(mount));
    let mounts: Vec<&Path> = mounts.map(|mount| mount.destination().as_path()).collect();
    let paths = spec.linux().as_ref().and_then(|linux| linux.readonly_paths().as_ref());
    // An empty path leads to no file; joined to the root, it would lead to the root.
    let paths = paths.into_iter().flatten().map(String::as_str).filter(|path| !path.is_empty());
    let paths: Vec<&str> = paths.collect();
    if mounts.is_empty() && paths.is_empty() {
        return Ok(());
    }
    container_mountns::run(pid, || {
        let failed =
            |path: &Path, errno: Errno| Err(Error::file("make read-only", path)(errno.into()));
        for mount in mounts {
            make_mount_read_only(mount).or_else(|errno| failed(mount, errno))?;
        }
        for path in paths.into_iter().map(Path::new) {
            make_path_read_only(path).or_else(|errno| failed(path, errno))?;
        }
        Ok(())
    })
}

fn make_mount_read_only(destination: &Path) -> Result<(), Errno> {
    let mount = container_mountns::open(destination)?;
    let found = statx(&mount, "", AtFlags::EMPTY_PATH, StatxFlags::empty()).map_err(errno_of)?;
    // Another mount covers it, so that no program can reach it.
    if !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(());
    }
    set_read_only(&mount)
}

/// Binds the path over itself, read-only. The mounts below it stay, and stay writable, as with runc.
fn make_path_read_only(path: &Path) -> Result<(), Errno> {
    let target = match container_mountns::open(path) {
        Err(Errno::ENOENT) => return Ok(()),
        target => target?,
    };
    // A mount over the root would not cover it: the init process stays in the mount below. A link of
    // the image may lead to the root as well.
    if place_of(&target)? == place_of(&container_mountns::open(Path::new("/"))?)? {
        return set_read_only(&target);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(&target, "", flags).map_err(errno_of)?;
    set_read_only(&mount)?;
    let by_descriptors =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mount, "", &target, "", by_descriptors).map_err(errno_of)
}

/// The mount and the inode of a file.
fn place_of(file: &OwnedFd) -> Result<(u64, u64), Errno> {
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    let found = statx(file, "", AtFlags::EMPTY_PATH, wanted).map_err(errno_of)?;
    Ok((found.stx_mnt_id, found.stx_ino))
}

fn set_read_only(mount: &OwnedFd) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    container_mountns::set_attributes(mount, 0, attributes)
}

fn errno_of(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn read_only_settings_are_taken_out_of_the_spec() {
        let of = |namespace: &str| {
            let spec = json!({
                "ociVersion": "1.0.2",
                "mounts": [
                    { "destination": "/dev/", "type": "tmpfs", "options": ["ro", "noexec"] },
                    { "destination": "/t", "type": "tmpfs", "options": ["rw", "ro"] },
                    { "destination": "/w", "type": "tmpfs", "options": ["ro", "rw"] },
                    { "destination": "/b", "type": "bind", "options": ["bind", "ro"] },
                    { "destination": "/sys", "type": "sysfs", "options": ["ro"] },
                ],
                "linux": { "namespaces": [{ "type": namespace }], "readonlyPaths": ["/bin"] },
            });
            let spec: Spec = serde_json::from_value(spec).unwrap();
            let (mut linux, mut mounts) =
                (spec.linux().clone().unwrap(), spec.mounts().clone().unwrap());
            patch(&spec, &mut linux, &mut mounts);
            let options = mounts.iter().map(|mount| mount.options().clone().unwrap().join(","));
            (options.collect::<Vec<_>>().join(" "), linux.readonly_paths().clone())
        };
        assert_eq!(of("mount"), ("noexec rw ro,rw bind,ro ro".to_owned(), None));
        assert_eq!(of("pid").0, "ro,noexec rw,ro ro,rw bind,ro ro");
        assert_eq!(of("pid").1, Some(vec!["/bin".to_owned()]));
    }

    /// The mounts of a process in a mount namespace of its own, which stands in for the init process:
    /// it runs `command`, and then the settings of `spec` are applied.
    fn mounts_after(command: &str, spec: serde_json::Value) -> String {
        let program = format!("{command} && echo ready && exec sleep 60");
        let mut child = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &program])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let applied =
            apply(&serde_json::from_value(spec).unwrap(), i32::try_from(child.id()).unwrap());
        let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        applied.unwrap();
        table
    }

    #[test]
    fn the_root_itself_becomes_read_only_and_nothing_covers_it() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        for path in [Path::new("//"), &link] {
            let linux = json!({ "namespaces": [{ "type": "mount" }], "readonlyPaths": [path] });
            let table = mounts_after("true", json!({ "ociVersion": "1.0.2", "linux": linux }));
            let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let roots: Vec<_> = fields.filter(|fields| fields[4] == "/").collect();
            assert!(roots.len() == 1 && roots[0][5].starts_with("ro"), "{path:?}: {table}");
        }
    }

    #[test]
    fn a_path_and_a_tmpfs_become_read_only_and_keep_their_flags() {
        let folder = tempfile::tempdir().unwrap();
        let (path, tmpfs) = (folder.path().join("path"), folder.path().join("tmpfs"));
        for folder in [&path, &tmpfs] {
            std::fs::create_dir(folder).unwrap();
        }
        let mount = format!("mount -t tmpfs -o noexec,nosuid none {}", tmpfs.display());
        let spec = json!({
            "ociVersion": "1.0.2",
            "mounts": [{ "destination": tmpfs, "type": "tmpfs", "options": ["ro"] }],
            "linux": {
                "namespaces": [{ "type": "mount" }],
                "readonlyPaths": [path, folder.path().join("missing")],
            },
        });
        let table = mounts_after(&mount, spec);
        let flags = |place: &Path| {
            let place = format!(" {} ", place.display());
            let line = table.lines().find(|line| line.contains(&place));
            line.and_then(|line| line.split(' ').nth(5)).unwrap_or_default().to_owned()
        };
        assert_eq!(flags(&tmpfs), "ro,nosuid,noexec,relatime");
        assert!(flags(&path).starts_with("ro,") && !flags(&path).contains("noexec"), "{table}");
    }
}
