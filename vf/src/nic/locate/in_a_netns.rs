//! Tests of the search beside a hostile container. They need root and fail without it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::libc;

use super::*;
use crate::ledger::claim::tests::claim;

/// A process in a network namespace of its own with many links, and processes with many
/// descriptors.
struct HostileContainer(Vec<Child>);

/// Each process has this many. The hard limit of a process may be 20,000.
const DESCRIPTORS: usize = 10_000;

impl HostileContainer {
    fn start(links: usize, processes: usize) -> Self {
        let mut children = vec![with_links(links)];
        children.extend((0..processes).map(|_| with_descriptors()));
        Self(children)
    }
}

fn with_links(count: usize) -> Child {
    let folder = tempfile::tempdir().unwrap();
    let batch = folder.path().join("links");
    let pairs = (0..count / 2).map(|n| format!("link add a{n} type veth peer name b{n}\n"));
    fs::write(&batch, pairs.collect::<String>()).unwrap();
    let script = format!("ip -batch {} && echo ready && exec sleep 1000", batch.display());
    let mut command = Command::new("unshare");
    let mut child =
        command.args(["-n", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn with_descriptors() -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000");
    let limit = DESCRIPTORS as u64 + 100;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the child makes only system calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            for _ in 0..DESCRIPTORS {
                libc::dup(0);
            }
            Ok(())
        });
    }
    let child = command.spawn().unwrap();
    let opened = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
    assert!(opened >= DESCRIPTORS, "only {opened} descriptors");
    child
}

impl Drop for HostileContainer {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const VF: &str = "0000:01:10.0";

/// Searches the netdev of a VF that has a driver but no netdev. Returns how long it took.
fn search(timeout: Duration) -> (Result<Location, Error>, Duration) {
    let root = tempfile::tempdir().unwrap();
    let sysfs = Sysfs(root.path().to_owned());
    fs::create_dir_all(sysfs.pci_device(VF)).unwrap();
    symlink("/drivers/igbvf", sysfs.pci_device(VF).join("driver")).unwrap();
    let began = Instant::now();
    (locate_within(&sysfs, &claim(VF, "n"), timeout), began.elapsed())
}

/// `soak::limits` does the same with many more of both, beside real containers.
#[test]
fn a_search_beside_a_hostile_container_ends() {
    let _container = HostileContainer::start(400, 2);
    // Longer than the timeout of a release, because the machine of this test may be busy.
    let (found, took) = search(Duration::from_secs(60));
    assert!(matches!(found, Ok(Location::Missing)), "{found:?}");
    eprintln!("the search took {took:?}");

    let timeout = Duration::from_millis(2);
    let (found, took) = search(timeout);
    assert!(matches!(found, Err(Error::Nic(NicError::NotLocated { .. }))), "{found:?}");
    assert!(took < Duration::from_secs(2), "the search ended after {took:?}");
}
