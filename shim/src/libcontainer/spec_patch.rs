//! A spec that libcontainer would refuse for how something is written, in words that it understands. It reads `config.json`
//! itself and is told nothing but the bundle's path, so it gets a folder that has the other `config.json` for as long as it
//! reads, and is the bundle from then on: hooks, and whoever asks for the container's state, must be told the bundle.
//!
//! Rewriting the bundle's own file would be simpler. It is the engine's or a person's, may be on a read-only mount, and would
//! stay as it is if we were killed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use libcontainer::oci_spec::runtime::{Linux, LinuxDevice, LinuxNamespaceType, Spec};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use serde_json::json;
use tempfile::TempDir;

use super::cpuset;
use super::process_defaults;
use super::rlimits;
use super::tmpfs;
use super::userns_mounts;
use crate::error::Error;

/// `None`: libcontainer takes it as it is.
pub(crate) fn patch(spec: &Spec, id: &str, rootfs: &Path, systemd: bool) -> Option<Spec> {
    let mut linux = spec.linux().clone()?;
    // For a container with a user namespace it would ask systemd for any cgroup that is not absolute (`builder_impl.rs`), and
    // systemd is not what it was told. Nobody would restrict its devices then.
    if !systemd && has_users_of_its_own(&linux) {
        // The same cgroup as that of what it has no name for: `exec` goes by the bundle.
        let path = linux.cgroups_path().clone().unwrap_or_else(|| format!(":youki:{id}").into());
        linux.set_cgroups_path(Some(Path::new("/").join(path)));
    }
    // It knows no other, and makes all of them recursive (`rootfs.rs`); Docker writes `rslave` for a volume that is one.
    if let Some(plain) = linux.rootfs_propagation().as_deref().and_then(without_r) {
        linux.set_rootfs_propagation(Some(plain.to_owned()));
    }
    // Without any it would load no device filter; runc denies all devices that nobody allows.
    if linux.resources().is_none() {
        linux.set_resources(serde_json::from_value(json!({})).ok());
    }
    if let Some(devices) = linux.devices() {
        linux.set_devices(Some(missing(devices, spec)));
    }
    if let (true, Some(resources)) = (systemd, linux.resources()) {
        linux.set_resources(Some(cpuset::without_cpuset(resources)));
    }
    let mut process = process_defaults::for_init(spec, rootfs).map(rlimits::without_memlock);
    // To it a `false` is as good as a `true` where it chooses when to load the filter, and it chooses too late.
    if let Some(process) = process.as_mut().filter(|it| it.no_new_privileges() == Some(false)) {
        process.set_no_new_privileges(None);
    }
    let mut amended = spec.clone();
    amended.set_linux(Some(linux)).set_process(process);
    if let Some(mounts) = tmpfs::patch_mounts(spec, rootfs) {
        amended.set_mounts(Some(mounts));
    }
    (amended != *spec).then_some(amended)
}

/// Those devices that have to be made: it fails if a node is there already, because it is named twice or a folder with it is mounted.
/// runc lets that one be.
fn missing(devices: &[LinuxDevice], spec: &Spec) -> Vec<LinuxDevice> {
    let mounted = |path: &Path| {
        let binds = spec.mounts().iter().flatten().filter(|mount| userns_mounts::is_bind(mount));
        binds.filter_map(|bind| Some((bind.source().as_ref()?, bind.destination()))).any(
            |(source, destination)| {
                let below = path.strip_prefix(destination);
                below.is_ok_and(|below| source.join(below).symlink_metadata().is_ok())
            },
        )
    };
    let last = |index: usize, device: &LinuxDevice| {
        !devices[index + 1..].iter().any(|later| later.path() == device.path())
    };
    let all = devices.iter().enumerate();
    let wanted = all.filter(|(index, one)| last(*index, one) && !mounted(one.path()));
    wanted.map(|(_, device)| device.clone()).collect()
}

fn has_users_of_its_own(linux: &Linux) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|one| one.typ() == LinuxNamespaceType::User)
}

fn without_r(propagation: &str) -> Option<&str> {
    propagation.strip_prefix('r').filter(|rest| ["shared", "slave", "private"].contains(rest))
}

/// The folder. libcontainer opens `config.json`, reads it to its end, and resolves the folder's path only then
/// (`init_builder.rs`, `load_spec` and `create_container_state`). The file is a pipe, so its end comes when we say. What is written
/// is more than a pipe holds: it is not all written before it was opened and some of it read.
///
/// libcontainer forks while the thread is there, by clone(2), so that nobody puts the allocator's locks right for the child. Once
/// the file has ended the thread only waits in read(2) for its own end: one that ended by itself could be holding such a lock.
#[must_use]
pub(crate) struct PatchedBundle {
    folder: TempDir,
    reading: Option<OwnedFd>,
    dismiss: File,
    writer: Option<JoinHandle<()>>,
}

impl PatchedBundle {
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, Error> {
        let folder = place().map_err(Error::file("make", "a folder"))?;
        let failed = |source| Error::file("fill", folder.path())(source);
        let (own, link) = (folder.path().join("own"), folder.path().join("bundle"));
        let (file, goal) = (own.join("config.json"), folder.path().join("goal"));
        let pipe = |errno| Error::kernel("make a pipe for the spec")(errno);
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).map_err(pipe)?;
        let (dismissed, dismiss) = pipe2(OFlag::O_CLOEXEC).map_err(pipe)?;
        let capacity = fcntl(&writing, FcntlArg::F_GETPIPE_SZ).map_err(pipe)?;
        let mut text = vec![b' '; usize::try_from(capacity).unwrap_or_default()];
        text.extend(whole(spec, bundle, &file)?);
        fs::create_dir(&own).map_err(failed)?;
        symlink(format!("/proc/self/fd/{}", reading.as_raw_fd()), &file).map_err(failed)?;
        symlink(&own, &link).map_err(failed)?;
        symlink(bundle, &goal).map_err(failed)?;
        let write = move || {
            let (mut writing, mut dismissed) = (File::from(writing), File::from(dismissed));
            // If nobody reads, there is nobody to be told.
            let _ = writing.write_all(&text).and_then(|()| fs::rename(goal, link));
            drop(writing);
            let _ = dismissed.read(&mut [0]);
        };
        let none = |_| Error::kernel("start a thread for the spec")(Errno::EAGAIN);
        let writer = thread::Builder::new().spawn(write).map_err(none)?;
        Ok(Self { folder, reading: Some(reading), dismiss: dismiss.into(), writer: Some(writer) })
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }
}

impl Drop for PatchedBundle {
    fn drop(&mut self) {
        // Without a reader the writer's next write fails.
        drop(self.reading.take());
        // A byte and not the end of the file: the container's init process has the other end as well until it becomes its program.
        let _ = self.dismiss.write_all(&[0]);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// On the tmpfs on which all is that describes containers, or where whoever is not root may write.
const STAGES: &str = "/run/runvf/stages";

fn place() -> io::Result<TempDir> {
    let prefix = format!("runvf-{}-", std::process::id());
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(STAGES);
    if made.is_err() {
        return TempDir::with_prefix(prefix);
    }
    sweep(Path::new(STAGES));
    TempDir::with_prefix_in(prefix, STAGES)
}

/// What those have left who were killed.
fn sweep(stages: &Path) {
    for entry in fs::read_dir(stages).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().splitn(3, '-');
        let pid = parts.nth(1).and_then(|pid| pid.parse::<u32>().ok());
        // One whose pid is somebody's by now stays until that one has ended.
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A relative root is below the bundle, and so no longer relative.
fn whole(spec: &Spec, bundle: &Path, file: &Path) -> Result<Vec<u8>, Error> {
    let mut spec = spec.clone();
    if let Some(mut root) = spec.root().clone() {
        root.set_path(bundle.join(root.path()));
        spec.set_root(Some(root));
    }
    serde_json::to_vec(&spec).map_err(|source| Error::Json { path: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(linux: serde_json::Value) -> Spec {
        let spec = json!({ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "linux": linux });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn only_what_libcontainer_does_not_know_is_amended() {
        let of = |propagation: &str| {
            let spec = spec(json!({ "rootfsPropagation": propagation }));
            let amended = patch(&spec, "id", Path::new("/"), true)?;
            amended.linux().as_ref()?.rootfs_propagation().clone()
        };
        assert_eq!(of("rslave").as_deref(), Some("slave"));
        assert_eq!(of("rshared").as_deref(), Some("shared"));
        for as_it_is in ["slave", "runbindable", "nonsense"] {
            assert_eq!(of(as_it_is).as_deref(), Some(as_it_is));
        }

        let cpus = spec(json!({ "resources": { "cpu": { "cpus": "0", "shares": 77 } } }));
        assert!(patch(&cpus, "id", Path::new("/"), false).is_none());
        let unlimited = patch(&spec(json!({})), "id", Path::new("/"), false).unwrap();
        assert!(unlimited.linux().as_ref().unwrap().resources().is_some());
        let amended = patch(&cpus, "id", Path::new("/"), true).unwrap();
        let resources = amended.linux().clone().unwrap().resources().clone().unwrap();
        let cpu = resources.cpu().clone().unwrap();
        assert_eq!((cpu.cpus(), cpu.shares()), (&None, Some(77)));
    }

    #[test]
    fn a_cgroup_that_libcontainer_would_ask_systemd_for_is_absolute() {
        let of = |linux: serde_json::Value, systemd: bool| {
            let amended = patch(&spec(linux), "id", Path::new("/"), systemd)?;
            amended.linux().as_ref()?.cgroups_path().clone()
        };
        let users = json!([{ "type": "user" }]);
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(json!({ "namespaces": users }), false), path("/:youki:id"));
        assert_eq!(of(json!({ "namespaces": users, "cgroupsPath": "a/b" }), false), path("/a/b"));
        assert_eq!(of(json!({ "namespaces": users, "cgroupsPath": "/a" }), false), path("/a"));
        assert_eq!(of(json!({ "namespaces": users }), true), None);
        assert_eq!(of(json!({}), false), None);
    }

    #[test]
    fn a_device_that_is_there_is_not_made_again() {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("there"), "").unwrap();
        let device = |path: &str, minor: i64| json!({ "path": path, "type": "c", "major": 1, "minor": minor });
        let devices = json!([
            device("/dev/twice", 1),
            device("/dev/twice", 2),
            device("/dev/x/there", 3),
            device("/dev/x/other", 4),
        ]);
        let mut spec = spec(json!({ "devices": devices }));
        let mount =
            json!([{ "destination": "/dev/x", "source": host.path(), "options": ["rbind"] }]);
        spec.set_mounts(serde_json::from_value(mount).unwrap());
        let amended = patch(&spec, "id", Path::new("/"), true).unwrap();
        let devices = amended.linux().as_ref().unwrap().devices().clone().unwrap();
        assert_eq!(devices.iter().map(LinuxDevice::minor).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn privileges_that_are_not_ruled_out_are_not_mentioned() {
        for (said, expected) in
            [(json!(false), None), (json!(true), Some(true)), (json!(null), None)]
        {
            let mut spec = spec(json!({}));
            let process = json!({ "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": said });
            spec.set_process(Some(serde_json::from_value(process).unwrap()));
            let amended = patch(&spec, "id", Path::new("/"), true).unwrap();
            assert_eq!(amended.process().as_ref().unwrap().no_new_privileges(), expected);
        }
    }

    #[test]
    fn what_is_read_is_the_other_spec_and_what_stays_is_the_bundle() {
        let bundle = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(bundle.path()).unwrap();
        for length in [10, 200_000] {
            let mut other = spec(json!({}));
            other.set_hostname(Some("x".repeat(length)));
            let stage = PatchedBundle::new(&other, &real).unwrap();
            // However late it is read.
            thread::sleep(std::time::Duration::from_millis(50));
            let read = Spec::load(stage.bundle().join("config.json")).unwrap();
            assert_eq!(read.hostname(), other.hostname());
            assert_eq!(read.root().as_ref().unwrap().path(), &real.join("rootfs"));
            assert_eq!(fs::canonicalize(stage.bundle()).unwrap(), real);
            let folder = stage.folder.path().to_owned();
            drop(stage);
            assert!(!folder.exists() && real.exists());
        }
    }

    #[test]
    fn what_the_dead_left_is_swept_away() {
        let stages = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, own) =
            (format!("runvf-{}-a", child.id()), format!("runvf-{}-b", std::process::id()));
        for name in [dead.as_str(), own.as_str(), "runvf-x-c", "other"] {
            fs::create_dir(stages.path().join(name)).unwrap();
        }
        sweep(stages.path());
        let mut left: Vec<_> =
            fs::read_dir(stages.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["other", own.as_str(), "runvf-x-c"]);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_come() {
        drop(PatchedBundle::new(&spec(json!({})), Path::new("/")).unwrap());
    }
}
