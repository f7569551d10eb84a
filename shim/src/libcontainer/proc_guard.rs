//! Mounts over /proc and /sys. A mount below /proc would hide files that masked and read-only paths
//! protect, or the files that set a process's security labels (CVE-2019-16884). A procfs or sysfs at
//! the target of a symlink would not be protected (CVE-2023-27561). runc refuses both
//! (`rootfs_linux.go`, `checkProcMount`, `mountToRootfs`); libcontainer checks only mounts of the
//! types proc and sysfs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use libcontainer::oci_spec::runtime::{Mount, Spec};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use super::destinations::Destinations;
use super::mount_options::is_bind;
use crate::error::Error;
use crate::log::Log;

const PROC: &str = "/proc";

/// Files that lxcfs emulates, and two others that runc 1.3 allows, in a mount below /proc.
const ALLOWED: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Refuses a spec with such a mount, before anything is mounted. A destination may lead into /proc by
/// symlinks of the image or of a volume.
pub(crate) fn check(spec: &Spec, rootfs: &Path, log: &Log) -> Result<(), Error> {
    let mut destinations = Destinations::new(rootfs);
    for mount in spec.mounts().iter().flatten() {
        let written = normalize(mount.destination());
        check_place(mount, &written, &written, log)?;
        let resolved = destinations.resolve(&written);
        match mount.typ().as_deref().filter(|_| !is_bind(mount)) {
            Some(kind @ ("proc" | "sysfs")) => check_folder(mount, &written, &destinations, kind)?,
            _ => check_place(mount, &written, &resolved, log)?,
        }
        let source = mount.source().clone().filter(|_| is_bind(mount));
        destinations.add(resolved, source);
    }
    Ok(())
}

/// `written`: the destination. `place`: where it leads.
fn check_place(mount: &Mount, written: &Path, place: &Path, log: &Log) -> Result<(), Error> {
    let refuse = |problem: &str| {
        let problem = match place == written {
            true => problem.to_owned(),
            false => format!("it leads to {}, and {problem}", place.display()),
        };
        Err(bad_mount(mount, problem))
    };
    if place == Path::new(PROC) {
        return match is_procfs(mount, log)? {
            true => Ok(()),
            false => refuse("only a procfs can be mounted over /proc"),
        };
    }
    match place.starts_with(PROC) && !ALLOWED.iter().any(|allowed| place == Path::new(allowed)) {
        true => refuse("mounts inside /proc are not allowed"),
        false => Ok(()),
    }
}

fn is_procfs(mount: &Mount, log: &Log) -> Result<bool, Error> {
    let (true, Some(source)) = (is_bind(mount), mount.source()) else {
        return Ok(mount.typ().as_deref() == Some("proc"));
    };
    let found = statfs(source.as_path());
    let found = found.map_err(|errno| Error::file("mount", source)(errno.into()))?;
    let is_procfs = found.filesystem_type() == PROC_SUPER_MAGIC;
    // `PROC_ROOT_INO` of linux/proc_ns.h.
    if is_procfs && fs::metadata(source).is_ok_and(|found| found.ino() != 1) {
        log.warn(&format!(
            "{} is mounted over /proc and is only a part of a procfs",
            source.display()
        ));
    }
    Ok(is_procfs)
}

fn check_folder(
    mount: &Mount,
    written: &Path,
    destinations: &Destinations<'_>,
    kind: &str,
) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (written.parent(), written.file_name()) else { return Ok(()) };
    let place = destinations.on_host(&destinations.resolve(parent).join(name));
    let found = place.and_then(|place| fs::symlink_metadata(place).ok());
    match found.is_some_and(|found| !found.is_dir()) {
        true => {
            let problem = format!("the type {kind} can be mounted only over an ordinary folder");
            Err(bad_mount(mount, problem))
        }
        false => Ok(()),
    }
}

/// Finds the mounts again in the finished container. A program with access to a volume may have
/// exchanged a folder in the way to a destination for a symlink after [`check`].
///
/// A hook may mount over files in /proc on purpose, and a recursive bind mount of /proc has the mounts
/// of the host below it. In such containers, only volumes of the spec are searched for.
pub(crate) fn verify(spec: &Spec, pid: i32) -> Result<(), Error> {
    let table = format!("/proc/{pid}/mountinfo");
    let text = fs::read_to_string(&table).map_err(Error::file("read", &table))?;
    let paths = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    let masked = paths.into_iter().flatten().map(|path| normalize(Path::new(path)));
    let masked: Vec<PathBuf> = masked.collect();
    let mut foreign = foreign_mounts(&text, &masked).peekable();
    if foreign.peek().is_none() {
        return Ok(());
    }
    let only_volumes = may_have_other_mounts(spec);
    let id = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let binds = spec.mounts().iter().flatten().filter(|mount| is_bind(mount));
    let volumes: Vec<_> = binds.filter_map(|mount| id(mount.source().as_deref()?)).collect();
    let found = foreign.find(|place| {
        let inside = format!("/proc/{pid}/root{}", place.display());
        !only_volumes || id(Path::new(&inside)).is_some_and(|id| volumes.contains(&id))
    });
    match found {
        Some(destination) => Err(Error::Mount {
            destination,
            problem: "a mount leads there; another program exchanged a folder of a volume"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

fn may_have_other_mounts(spec: &Spec) -> bool {
    let mut mounts = spec.mounts().iter().flatten();
    let bound =
        mounts.any(|mount| is_bind(mount) && normalize(mount.destination()) == Path::new(PROC));
    #[allow(deprecated)]
    let hooks = spec.hooks().as_ref().is_some_and(|hooks| {
        let all = [hooks.prestart(), hooks.create_runtime(), hooks.create_container()];
        all.iter().any(|hooks| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty()))
    });
    bound || hooks
}

/// The mounts below /proc that are neither allowed, nor a part of a procfs (a read-only path), nor a
/// masked path.
fn foreign_mounts<'a>(
    table: &'a str,
    masked: &'a [PathBuf],
) -> impl Iterator<Item = PathBuf> + use<'a> {
    // A path in /proc/self has another name in mountinfo.
    let self_links = ["/proc/self", "/proc/thread-self"];
    let masks_self = masked.iter().any(|path| self_links.iter().any(|link| path.starts_with(link)));
    table.lines().filter_map(move |line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let place = mount.split(' ').nth(4).filter(|place| place.starts_with("/proc/"))?;
        let is_masked = masks_self || masked.iter().any(|path| path == Path::new(place));
        let known = ALLOWED.contains(&place) || is_masked || file_system.starts_with("proc ");
        (!known).then(|| place.into())
    })
}

fn bad_mount(mount: &Mount, problem: String) -> Error {
    Error::Mount { destination: mount.destination().clone(), problem }
}

/// Removes `.` and `..` from a path in the container, and makes it absolute.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::error::line;

    fn refused(
        links: &[(&str, &str)],
        kind: &str,
        source: &str,
        destination: &str,
    ) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        for (link, target) in links {
            symlink(target, root.path().join(link)).unwrap();
        }
        let mount = json!({ "destination": destination, "type": kind, "source": source });
        let spec = json!({ "ociVersion": "1.0.2", "mounts": [mount] });
        let error =
            check(&serde_json::from_value(spec).unwrap(), root.path(), &Log::default()).err()?;
        Some(line(&error))
    }

    #[test]
    fn mounts_in_proc_are_refused() {
        for kind in ["bind", "tmpfs", "overlay"] {
            for destination in ["/proc/sys", "/x/../proc//sys", "proc/sys", "/proc/cpuinfo/x"] {
                let line = refused(&[], kind, "/tmp", destination).unwrap();
                assert!(line.ends_with(": mounts inside /proc are not allowed"), "{line}");
            }
            assert!(refused(&[], kind, "/tmp", "/proc").unwrap().ends_with("over /proc"));
            assert_eq!(refused(&[], kind, "/tmp", "/proc/./meminfo"), None);
            assert_eq!(refused(&[], kind, "/tmp", "/process"), None);
        }
        assert_eq!(refused(&[], "proc", "proc", "/proc"), None);
        assert_eq!(refused(&[], "bind", "/proc", "/proc"), None);
    }

    #[test]
    fn a_destination_that_leads_into_proc_is_refused() {
        let line = refused(&[("a", "/proc")], "bind", "/tmp", "/a/sys").unwrap();
        assert!(
            line.starts_with("cannot mount at /a/sys: it leads to /proc/sys, and mounts"),
            "{line}"
        );
        assert!(refused(&[("a", "b"), ("b", "../../proc")], "tmpfs", "tmpfs", "/a").is_some());
        assert_eq!(refused(&[("a", "/b/proc")], "bind", "/tmp", "/a"), None);
    }

    #[test]
    fn a_destination_that_leads_into_proc_by_a_volume_is_refused() {
        let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink("/proc", volume.path().join("link")).unwrap();
        let bind = |destination: &str| json!({ "destination": destination, "type": "bind", "source": volume.path() });
        let spec = json!({ "ociVersion": "1.0.2", "mounts": [bind("/v"), bind("/v/link/sys")] });
        let checked = check(&serde_json::from_value(spec).unwrap(), root.path(), &Log::default());
        let line = line(&checked.unwrap_err());
        assert!(line.starts_with("cannot mount at /v/link/sys: it leads to /proc/sys"), "{line}");
    }

    #[test]
    fn proc_and_sys_are_mounted_only_over_folders() {
        for kind in ["proc", "sysfs"] {
            let line = refused(&[("a", "/b")], kind, kind, "/a").unwrap();
            assert!(line.contains("ordinary folder"), "{line}");
            assert_eq!(refused(&[("a", "/b")], kind, kind, "/a/c"), None);
        }
    }

    #[test]
    fn an_exchanged_destination_is_found_afterwards() {
        let line =
            |place: &str, kind: &str| format!("1 2 0:3 / {place} rw shared:1 - {kind} none rw\n");
        let of = |text: String| foreign_mounts(&text, &["/proc/kcore".into()]).next();
        assert_eq!(of(line("/proc", "proc") + &line("/proc/sys", "proc")), None);
        assert_eq!(of(line("/proc/kcore", "devtmpfs") + &line("/proc/stat", "fuse.lxcfs")), None);
        assert_eq!(of(line("/proc/sys", "ext4")), Some("/proc/sys".into()));
        assert_eq!(of(line("/process/x", "ext4")), None);
    }
}
