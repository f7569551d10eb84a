//! A user namespace with several ranges of ids. libcontainer writes one range itself; for more it runs
//! newuidmap(1), which the host may not have, and ignores its failure (`user_ns.rs`,
//! `write_id_mapping`). So runvf creates the namespace, and libcontainer enters it by its path.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, Spec};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::error::Error;

/// The namespace. It exists while this descriptor or a process in it does.
#[must_use]
pub(crate) struct MappedUserNs(File);

impl MappedUserNs {
    /// Returns `None` if libcontainer can create the user namespace, or if the spec has none.
    pub(crate) fn new(spec: &Spec) -> Result<Option<Self>, Error> {
        let Some(linux) = spec.linux() else { return Ok(None) };
        let mut namespaces = linux.namespaces().iter().flatten();
        let (uids, gids) = (text(linux.uid_mappings()), text(linux.gid_mappings()));
        // Without a mapping of each kind, libcontainer has the error.
        let several = !uids.is_empty() && !gids.is_empty() && (uids + &gids).lines().count() > 2;
        if !several || !namespaces.any(is_new_user_namespace) {
            return Ok(None);
        }
        let maps =
            [("uid_map", text(linux.uid_mappings())), ("gid_map", text(linux.gid_mappings()))];
        create(&maps).map(|file| Some(Self(file)))
    }

    /// Replaces the new user namespace of a spec for libcontainer by this one.
    pub(crate) fn patch(&self, spec: &mut Spec) {
        let Some(mut linux) = spec.linux().clone() else { return };
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        for namespace in namespaces.iter_mut().filter(|namespace| is_new_user_namespace(namespace))
        {
            let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
            namespace.set_path(Some(path.into()));
        }
        linux.set_namespaces(Some(namespaces));
        spec.set_linux(Some(linux));
    }
}

fn is_new_user_namespace(namespace: &LinuxNamespace) -> bool {
    namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none()
}

/// The text of `/proc/PID/uid_map` (user_namespaces(7)).
fn text(mappings: &Option<Vec<LinuxIdMapping>>) -> String {
    let line =
        |it: &LinuxIdMapping| format!("{} {} {}\n", it.container_id(), it.host_id(), it.size());
    mappings.iter().flatten().map(line).collect()
}

/// Creates a user namespace with these maps. A child process creates it, because a process cannot leave
/// a user namespace again.
fn create(maps: &[(&str, String)]) -> Result<File, Error> {
    let no_pipe = |error| Error::file("create", "a pipe for a user namespace")(error);
    let (created, created_sender) = io::pipe().map_err(no_pipe)?;
    let (done_receiver, done) = io::pipe().map_err(no_pipe)?;
    let failed = Error::kernel("start a process for the user namespace");
    // SAFETY: the child only makes system calls until it exits.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Child => {
            drop(done);
            hold_namespace(created_sender, done_receiver)
        }
        ForkResult::Parent { child } => {
            drop((created_sender, done_receiver));
            let namespace = map(child, created, maps);
            // The child ends now.
            drop(done);
            let _ = waitpid(child, None);
            namespace
        }
    }
}

/// Creates the namespace and waits until the parent has opened it, or has ended.
fn hold_namespace(mut created: PipeWriter, mut done: PipeReader) -> ! {
    let errno = unshare(CloneFlags::CLONE_NEWUSER).err().map_or(0, |errno| errno as i32);
    let _ = created.write(&errno.to_ne_bytes());
    let _ = done.read(&mut [0]);
    // SAFETY: `_exit` takes a number. Unlike `exit`, it runs no handler of the parent.
    unsafe { libc::_exit(0) }
}

fn map(child: Pid, mut created: PipeReader, maps: &[(&str, String)]) -> Result<File, Error> {
    let mut errno = [0; 4];
    created.read_exact(&mut errno).map_err(Error::file("create", "a user namespace"))?;
    match i32::from_ne_bytes(errno) {
        0 => {}
        errno => return Err(Error::kernel("create a user namespace")(Errno::from_raw(errno))),
    }
    let folder = format!("/proc/{child}");
    let folder = Path::new(&folder);
    for (name, text) in maps {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::file("write the id mappings to", path))?;
    }
    let path = folder.join("ns/user");
    File::open(&path).map_err(Error::file("open", path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(ranges: usize) -> Spec {
        let all = [(0, 0), (1, 100_001), (2, 200_000)];
        let range = |(inside, outside): &(u32, u32)| json!({ "containerID": inside, "hostID": outside, "size": 1 });
        let ids: Vec<_> = all.iter().take(ranges).map(range).collect();
        let linux = json!({
            "namespaces": [{ "type": "user" }, { "type": "pid" }], "uidMappings": ids, "gidMappings": ids,
        });
        serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": linux })).unwrap()
    }

    #[test]
    fn libcontainer_creates_a_namespace_with_one_range() {
        assert!(MappedUserNs::new(&spec(1)).unwrap().is_none());
        assert!(MappedUserNs::new(&spec(0)).unwrap().is_none());
    }

    /// Needs root, as the other tests of real namespaces do.
    #[test]
    fn several_ranges_are_mapped_in_a_netns() {
        let mut spec = spec(3);
        let namespace = MappedUserNs::new(&spec).unwrap().unwrap();
        namespace.patch(&mut spec);
        let linux = spec.linux().as_ref().unwrap();
        let path = linux.namespaces().as_ref().unwrap()[0].path().clone().unwrap();
        assert_ne!(fs::read_link(&path).unwrap(), fs::read_link("/proc/self/ns/user").unwrap());
        assert_eq!(linux.namespaces().as_ref().unwrap()[1].path(), &None);
        let output = std::process::Command::new("nsenter")
            .arg(format!("--user=/proc/{}/fd/{}", std::process::id(), namespace.0.as_raw_fd()))
            .args(["cat", "/proc/self/uid_map"])
            .output()
            .unwrap();
        let maps = String::from_utf8(output.stdout).unwrap();
        let maps: Vec<_> = maps.split_whitespace().collect();
        assert_eq!(maps, ["0", "0", "1", "1", "100001", "1", "2", "200000", "1"]);
    }
}
