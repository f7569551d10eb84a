//! Joined: detect processes of other containers in the network namespace of a sensor.
//!
//! Such a process can receive the frames of the sensor's VF. An engine gives it the namespace by
//! `--network container:ID`. `gc` writes one audit entry for each container that joins; it stops
//! none, because the user of the engine asked for it.
//!
//! The cgroup tells the containers apart. A claim of a network namespace names no init process, so
//! runvf does not know the cgroup of its container, and does not look for others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::host::Host;
use crate::kernel::proc_file;
use crate::kernel::process::{ProcessId, is_in_cgroup_of};
use crate::ledger::audit::{Entry, append_or_spool};
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf_within;

/// The containers that a claim lists. The next ones have no audit entry, so that a container that
/// makes cgroups without end does not fill the log.
const MAX_JOINED: usize = 16;

/// Between two looks at a process. An engine that starts a process in a container enters the
/// namespaces before the cgroup, or the other way round.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// A process of another container.
struct Joined {
    process: ProcessId,
    /// The inode number of its network namespace.
    netns: u64,
}

/// Writes the missing audit entries. An error is ignored: the next `gc` tries again.
pub(super) fn record_joined(host: &Host) {
    let Ok(claims) = Claims::read_only(&host.run).readable() else { return };
    let mut sensors: BTreeMap<u64, Vec<Claim>> = BTreeMap::new();
    for claim in claims {
        // No other process can receive from a VF that a program drives by vfio-pci.
        let has_netdev = claim.state == State::Attached && claim.iommu_group.is_none();
        if has_netdev && claim.init.is_some_and(|init| init.is_alive()) {
            sensors.entry(claim.netns.id.ino).or_default().push(claim);
        }
    }
    if sensors.is_empty() {
        return;
    }
    let found: Vec<Joined> = processes().filter_map(|pid| joined(&sensors, pid)).collect();
    if found.is_empty() {
        return;
    }
    thread::sleep(SETTLE_TIME);
    for seen in found {
        let pid = seen.process.pid;
        let is_same = seen.process.is_alive() && netns_of(pid) == Some(seen.netns);
        let Some(cgroup) = is_same.then(|| cgroup_of(pid)).flatten() else { continue };
        for claim in sensors.get(&seen.netns).into_iter().flatten() {
            if is_foreign(claim, pid, &cgroup) {
                record(host, claim, pid, &cgroup);
            }
        }
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn joined(sensors: &BTreeMap<u64, Vec<Claim>>, pid: i32) -> Option<Joined> {
    let netns = netns_of(pid)?;
    let claims = sensors.get(&netns)?;
    let (process, cgroup) = (ProcessId::of(pid)?, cgroup_of(pid)?);
    claims.iter().any(|claim| is_foreign(claim, pid, &cgroup)).then_some(Joined { process, netns })
}

/// The inode number of a process's network namespace. The link text is `net:[4026531840]`.
fn netns_of(pid: i32) -> Option<u64> {
    let text = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    text.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The path of a process's cgroup: of version 2, or of the first hierarchy.
fn cgroup_of(pid: i32) -> Option<String> {
    let text = proc_file::read(Path::new(&format!("/proc/{pid}/cgroup"))).ok()?;
    let line = text.lines().find(|line| line.starts_with("0::")).or_else(|| text.lines().next())?;
    line.splitn(3, ':').nth(2).map(printable)
}

/// A process chooses its name, and a container may choose the names of cgroups below its own.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn is_foreign(claim: &Claim, pid: i32, cgroup: &str) -> bool {
    let Some(init) = claim.init.map(|init| init.pid) else { return false };
    pid != init
        && !is_in_cgroup_of(init, pid)
        && !is_in_pod(claim, cgroup_of(init).as_deref().and_then(pod_of), cgroup)
}

/// Whether a process with this cgroup belongs to the pod of the claim's container, which has the
/// cgroup `pod`. Without that, the claim's pod may have any cgroup, so the process may belong to it.
fn is_in_pod(claim: &Claim, pod: Option<&str>, cgroup: &str) -> bool {
    match pod {
        Some(pod) => pod_of(cgroup) == Some(pod),
        None => claim.pod.is_some(),
    }
}

/// The part of a cgroup path up to its pod. The kubelet chooses such names
/// (`kubepods-besteffort-pod….slice`, `kubepods/besteffort/pod…`) and of Podman
/// (`machine-libpod_pod_….slice`, `libpod_parent/…`).
fn pod_of(cgroup: &str) -> Option<&str> {
    let mut end = 0;
    let mut parent = "";
    let mut pod = None;
    for name in cgroup.split('/') {
        end += name.len();
        let is_pod = name.starts_with("pod")
            || name.contains("-pod")
            || name.contains("libpod_pod_")
            || parent == "libpod_parent";
        // A container's own cgroup is below that of its pod.
        if is_pod && end < cgroup.len() {
            pod = Some(&cgroup[..end]);
        }
        (end, parent) = (end + 1, name);
    }
    pod
}

/// The entry comes before the record: a `gc` that is killed in between writes it again.
fn record(host: &Host, seen: &Claim, pid: i32, cgroup: &str) {
    let Ok(_lock) = lock_pf_within(&host.run, &seen.pf, Duration::from_secs(1)) else { return };
    let Ok(claims) = Claims::open(&host.run) else { return };
    let Ok(Some(mut claim)) = claims.get(&seen.vf) else { return };
    let is_known = claim.joined.iter().any(|known| known == cgroup);
    if claim.nonce != seen.nonce
        || claim.state != State::Attached
        || is_known
        || claim.joined.len() >= MAX_JOINED
    {
        return;
    }
    let name = proc_file::read(Path::new(&format!("/proc/{pid}/comm"))).unwrap_or_default();
    let name = printable(name.trim_end());
    let reason = format!("process {pid} ({name}) of {cgroup} is in its network namespace");
    if append_or_spool(host, &Entry::joined(&claim, &reason)).is_ok() {
        claim.joined.push(cgroup.to_owned());
        let _ = claims.advance(&mut claim, State::Attached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::claim::tests::claim;
    use crate::policy::pod::Pod;

    #[test]
    fn a_pod_is_a_part_of_the_cgroup_path() {
        for (cgroup, pod) in [
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-1.scope",
                Some("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice"),
            ),
            ("/kubepods/besteffort/pod1/abc", Some("/kubepods/besteffort/pod1")),
            (
                "/machine.slice/machine-libpod_pod_1.slice/libpod-2.scope/container",
                Some("/machine.slice/machine-libpod_pod_1.slice"),
            ),
            ("/libpod_parent/1/2", Some("/libpod_parent/1")),
            ("/machine.slice/libpod-2.scope/container", None),
            ("/system.slice/docker-2.scope", None),
            ("/user.slice/podman.service", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(pod_of(cgroup), pod, "{cgroup}");
        }
    }

    #[test]
    fn a_container_of_the_pod_is_not_foreign_to_it() {
        let own = claim("0000:01:10.0", "n");
        let [namespace, name, sandbox] = ["acme", "sensor", "5a"].map(str::to_owned);
        let of_pod = Claim { pod: Some(Pod { namespace, name, sandbox }), ..own.clone() };
        for claim in [&own, &of_pod] {
            assert!(is_in_pod(claim, Some("/kubepods/pod1"), "/kubepods/pod1/b"));
            assert!(!is_in_pod(claim, Some("/kubepods/pod1"), "/kubepods/pod2/b"));
        }
        // An engine that was not told by kubelet where the pod's cgroup is.
        assert!(is_in_pod(&of_pod, None, "/k8s.io/b") && !is_in_pod(&own, None, "/k8s.io/b"));
        assert!(!is_foreign(&Claim { init: None, ..own }, 1, "/k8s.io/b"));
    }

    #[test]
    fn the_own_process_has_a_netns_and_a_cgroup() {
        let pid = std::process::id().cast_signed();
        let own = crate::kernel::netns::NetnsId::own().unwrap();
        assert_eq!(netns_of(pid), Some(own.ino));
        assert!(cgroup_of(pid).unwrap().starts_with('/'));
        assert!(processes().any(|found| found == pid));
    }

    /// These tests need root.
    mod in_a_netns {
        use std::process::{Command, Stdio};

        use super::*;
        use crate::kernel::in_a_netns::with_veths;
        use crate::kernel::netns::Netns;
        use crate::kernel::process::boot_id;

        /// The test has no second cgroup, so the claim names an init process in another one: a
        /// kernel thread, which is in the root cgroup.
        #[test]
        fn a_process_of_another_cgroup_gets_one_entry() {
            with_veths(|| {
                let root = tempfile::tempdir().unwrap();
                let host = Host::with_root(root.path());
                let mut child =
                    Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
                let mut sensor = claim("0000:01:10.0", "n");
                sensor.netns = Netns::own().unwrap().record().unwrap();
                sensor.boot_id = boot_id().unwrap();
                sensor.init = ProcessId::of(2).or_else(|| ProcessId::of(1));
                let claims = Claims::open(&host.run).unwrap();
                assert!(claims.create(&sensor).unwrap());
                claims.advance(&mut sensor, State::Configured).unwrap();
                claims.advance(&mut sensor, State::Attached).unwrap();
                record_joined(&host);
                record_joined(&host);
                let stored = claims.get(&sensor.vf).unwrap().unwrap();
                let audit = fs::read_to_string(&host.audit).unwrap_or_default();
                child.kill().unwrap();
                child.wait().unwrap();
                assert_eq!(stored.joined.len(), 1, "{stored:?}");
                assert_eq!(audit.lines().count(), 1, "{audit}");
                assert!(audit.contains("\"joined\"") && audit.contains("(sleep)"), "{audit}");
            });
        }
    }
}
