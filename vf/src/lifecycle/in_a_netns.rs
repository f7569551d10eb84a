//! Tests of the attach and the release in real network namespaces. They need root and fail without
//! it.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::host::{Container, Host, NetnsContainer};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsRecord, is_host_netns};
use crate::kernel::netns_life::in_a_netns::{Pin, process_in_new_netns};
use crate::kernel::netns_life::processes_in;
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::vf_settings::Settings;
use crate::ledger::audit::{Event, audit};
use crate::ledger::claim::tests::{claim, netns_claim};
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf_within;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::{Grant, authorize};
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::pod_member::claims_of_pod;
use crate::lifecycle::reconcile::{gc, reconcile};
use crate::lifecycle::release::{
    is_in_use, lock_claim, release, release_by_hand, release_if_unused, release_locked,
    release_network, release_vf,
};
use crate::nic::driver::driver;
use crate::policy::config::OnLoss;
use crate::policy::pod::{Pod, PodRole};
use crate::policy::request::Request;

fn grant(folder: &std::path::Path) -> Grant {
    let config = folder.join("config.toml");
    std::fs::write(&config, "pool = [{ name = \"p\", pfs = [\"pf0\"] }]").unwrap();
    let (sysfs, run) = (folder.join("sys"), folder.join("run"));
    let host = Host { sysfs, run, config, audit: folder.join("log/audit.jsonl") };
    let request = Request::from_annotations([("io.runvf.vlan.host0", "100")]).unwrap().unwrap();
    authorize(&host, request, "c").unwrap()
}

/// An init process in a network namespace of its own. It ends with this value.
struct InitProcess(Child);

impl InitProcess {
    /// The namespace has a link with this name.
    fn with_link(name: &str) -> Self {
        let script = format!("ip link add {name} type veth peer name x && exec sleep 60");
        let child = Command::new("unshare").args(["-n", "sh", "-c", &script]).spawn().unwrap();
        let child = Self(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        let links = || Netns::open(&child.netns())?.inside(|| Netlink::open()?.links());
        while !links().unwrap().iter().any(|link| link.name == name)
            || is_host_netns(&child.netns()).unwrap()
        {
            assert!(Instant::now() < deadline, "the child has not created its link");
            thread::yield_now();
        }
        child
    }

    fn netns(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    fn container(&self) -> Container {
        Container { id: "c".into(), pid: self.0.id() as i32 }
    }

    /// An attached claim on VLAN 100 in this namespace.
    fn claim(&self, container: &str) -> Claim {
        let netns = Netns::open(&self.netns()).unwrap().record().unwrap();
        let (boot_id, init) = (boot_id().unwrap(), ProcessId::of(self.0.id() as i32));
        let container = container.to_owned();
        let base = claim("0000:01:10.0", "n");
        let want = Settings { vlan: 100, ..base.want };
        Claim { state: State::Attached, boot_id, container, netns, init, want, ..base }
    }
}

impl Drop for InitProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_device_takes_the_next_free_name_unless_the_container_has_its_vlan() {
    let folder = tempfile::tempdir().unwrap();
    let child = InitProcess::with_link("mon0");
    let name = || grant(folder.path()).name_for_device(&child.container()).unwrap();
    assert_eq!(name().as_deref(), Some("mon1"));
    let claims = Claims::open(&folder.path().join("run")).unwrap();
    // Another container in this network namespace, and this container in another one.
    let elsewhere = NetnsRecord { cookie: 1, ..child.claim("c").netns };
    for claim in [child.claim("other"), Claim { netns: elsewhere, ..child.claim("c") }] {
        assert!(claims.create(&claim).unwrap());
        assert_eq!(name().as_deref(), Some("mon1"));
        claims.remove(&claim.vf).unwrap();
    }
    // By another door: an annotation, or a network of the engine with another interface name.
    let of_network = Claim { init: None, interface: "tap1".to_owned(), ..child.claim("c") };
    for claim in [child.claim("c"), Claim { version: 2, ..of_network }] {
        assert!(claims.create(&claim).unwrap());
        assert_eq!(name(), None);
        claims.remove(&claim.vf).unwrap();
    }
    // Of the container's former process in this network namespace, which is a pod's.
    let init = ProcessId::of(child.0.id() as i32).map(|now| ProcessId { start_time: 1, ..now });
    assert!(claims.create(&Claim { init, ..child.claim("c") }).unwrap());
    assert_eq!(name().as_deref(), Some("mon1"));
}

fn pod(sandbox: &str) -> Pod {
    let (namespace, name) = ("acme".to_owned(), "sensor".to_owned());
    Pod { namespace, name, sandbox: sandbox.to_owned() }
}

#[test]
fn a_container_of_a_pod_needs_a_vf_of_its_sandbox_in_its_netns() {
    let folder = tempfile::tempdir().unwrap();
    let child = InitProcess::with_link("eth0");
    let grant = grant(folder.path());
    let (interface, cookie) = (&grant.interfaces[0].0, child.claim("5a").netns.cookie);
    let claims = Claims::open(&grant.host.run).unwrap();
    let counts = |claim: &Claim| {
        assert!(claims.create(claim).unwrap());
        let found = claims_of_pod(&grant.host, &pod("5a"), cookie).unwrap();
        claims.remove(&claim.vf).unwrap();
        found.iter().any(|claim| claim.is_attached_as(interface))
    };
    let claim = Claim { interface: "host0".to_owned(), ..child.claim("5a") };
    assert!(counts(&claim));
    let elsewhere = NetnsRecord { cookie: 1, ..claim.netns };
    let other_vlan = Settings { vlan: 200, ..claim.want };
    for (wrong, why) in [
        (Claim { container: "another".to_owned(), ..claim.clone() }, "of another sandbox"),
        (Claim { netns: elsewhere, ..claim.clone() }, "in another network namespace"),
        (Claim { boot_id: "before".to_owned(), ..claim.clone() }, "of another boot"),
        (Claim { want: other_vlan, ..claim.clone() }, "on another VLAN"),
        (Claim { state: State::Configured, ..claim.clone() }, "not attached"),
    ] {
        assert!(!counts(&wrong), "{why}");
    }
}

#[test]
fn a_refused_container_of_a_pod_has_an_audit_entry_with_the_pod() {
    let folder = tempfile::tempdir().unwrap();
    let child = InitProcess::with_link("eth0");
    let mut grant = grant(folder.path());
    grant.pod = Some(PodRole::Member(pod("5a")));
    // The second time, there is a claim, but no such netdev.
    for claim in [None, Some(Claim { interface: "host0".to_owned(), ..child.claim("5a") })] {
        let claims = Claims::open(&grant.host.run).unwrap();
        assert!(claim.is_none_or(|claim| claims.create(&claim).unwrap()));
        let error = grant.attach(&child.container()).unwrap_err();
        assert!(matches!(error, Error::Lifecycle(LifecycleError::NotInPod { .. })), "{error:?}");
    }
    let refused = audit(&grant.host).unwrap().entries;
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|entry| entry.pod.as_deref() == Some("sensor")), "{refused:?}");
}

/// The claim of a pod on a VF that does not exist, the process of the pod's sandbox, and that of a
/// sensor in the pod.
fn pod_with_sensor(host: &Host) -> (Child, Child) {
    std::fs::create_dir_all(host.sysfs.join("bus/pci/devices")).unwrap();
    let (sandbox, netns) = process_in_new_netns();
    let target = sandbox.id().to_string();
    let join = ["-n", "-t", &target, "sleep", "1000"];
    let sensor = Command::new("nsenter").args(join).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes_in(netns).unwrap().len() < 2 {
        assert!(Instant::now() < deadline, "the sensor has not joined the pod");
        thread::yield_now();
    }
    let (init, on_loss) = (ProcessId::of(sandbox.id() as i32), OnLoss::Stop);
    let of_netns = netns_claim("0000:01:10.0", netns);
    let claim = Claim { version: 1, init, pod: Some(pod("5a")), on_loss, ..of_netns };
    assert!(Claims::open(&host.run).unwrap().create(&claim).unwrap());
    (sandbox, sensor)
}

/// A sandbox that crashes is released by its engine at once, and the containers of the pod run on.
#[test]
fn a_vf_of_a_pod_is_released_after_all_containers_of_the_pod_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut sandbox, mut sensor) = pod_with_sensor(&host);
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    let running = format!("process {} is still running in its network namespace", sensor.id());
    assert_eq!(only_outcome(release(&host, "c").unwrap()), Outcome::Left(running));
    assert_eq!(reconcile(&host).unwrap(), []);
    sensor.kill().unwrap();
    sensor.wait().unwrap();
    assert_eq!(only_outcome(reconcile(&host).unwrap()), Outcome::Clean);
}

/// The release has found no process, and waited for the lock.
#[test]
fn a_container_that_joins_a_pod_during_its_release_keeps_the_vf() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut sandbox, mut sensor) = pod_with_sensor(&host);
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    let claim = Claims::open(&host.run).unwrap().get("0000:01:10.0").unwrap().unwrap();
    let mut lock = lock_claim(&host, &claim, LONG, Instant::now() + LONG).unwrap();
    let mut outcome = || release_if_unused(&host, &claim, &mut lock).unwrap();
    let running = format!("process {} is still running in its network namespace", sensor.id());
    assert_eq!(outcome(), Outcome::Left(running));
    sensor.kill().unwrap();
    sensor.wait().unwrap();
    assert_eq!(outcome(), Outcome::Clean);
}

/// The sensor is a container of the pod, and the VF belongs to the sandbox.
#[test]
fn a_lost_vf_of_a_pod_stops_all_containers_of_the_pod() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut sandbox, mut sensor) = pod_with_sensor(&host);
    let expected = "the VF vanished; the containers of its pod were stopped";
    assert_eq!(only_outcome(gc(&host).unwrap()), Outcome::Lost(expected.to_owned()));
    for process in [&mut sandbox, &mut sensor] {
        assert!(!process.wait().unwrap().success());
    }
    assert_eq!(only_outcome(gc(&host).unwrap()), Outcome::Clean);
}

#[test]
fn attach_refuses_the_host_netns() {
    let folder = tempfile::tempdir().unwrap();
    let pid = std::process::id() as i32;
    let error = grant(folder.path()).attach(&Container { id: "c".into(), pid }).unwrap_err();
    assert!(matches!(error, Error::Lifecycle(LifecycleError::HostNetwork)), "{error:?}");
    assert!(!folder.path().join("run/claims").exists(), "the refused attach wrote a claim");
}

#[test]
fn attach_refuses_an_interface_name_in_use_before_it_claims_a_vf() {
    let folder = tempfile::tempdir().unwrap();
    let child = InitProcess::with_link("host0");
    let error = grant(folder.path()).attach(&child.container());
    assert_eq!(
        error.unwrap_err().line(),
        "the container already has an interface named `host0`; \
         choose another name with `io.runvf.vlan.<name>=<vlan>`"
    );
    let claims = folder.path().join("run/claims");
    assert_eq!(std::fs::read_dir(claims).unwrap().count(), 0);
}

/// The folder `net` of the PF is empty, as after `ip link set pf0 netns other`.
#[test]
fn a_release_without_the_pf_quarantines_the_vf_and_keeps_the_claim() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let devices = host.sysfs.join("bus/pci/devices");
    let (pf, vf) = (devices.join("0000:01:00.0"), devices.join("0000:01:10.0"));
    std::fs::create_dir_all(pf.join("net")).unwrap();
    std::fs::create_dir_all(&vf).unwrap();
    std::fs::write(pf.join("sriov_totalvfs"), "7\n").unwrap();
    std::os::unix::fs::symlink("../0000:01:10.0", pf.join("virtfn0")).unwrap();
    std::os::unix::fs::symlink("../0000:01:00.0", vf.join("physfn")).unwrap();
    let claims = Claims::open(&host.run).unwrap();
    assert!(claims.create(&claim("0000:01:10.0", "n")).unwrap());

    let released = release(&host, "c").unwrap();
    let [one] = &released[..] else { panic!("{released:?}") };
    let Outcome::Quarantined(reason) = &one.outcome else { panic!("{released:?}") };
    let expected = "PF pf0 is not in the host's network namespace; the netdev of 0000:01:00.0 is \
                    in another network namespace; move it back with ";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(reason.ends_with("it may still have its VLAN and trust: its PF cannot be reached"));
    let state = claims.get("0000:01:10.0").unwrap().unwrap().state;
    assert_eq!(state, State::Quarantined { reason: reason.clone() });
}

/// A claim on a VF that does not exist, of a network namespace with one process and a pin.
fn netns_container(host: &Host) -> (Child, Pin) {
    std::fs::create_dir_all(host.sysfs.join("bus/pci/devices")).unwrap();
    let (process, netns) = process_in_new_netns();
    let network = Some("acme".to_owned());
    let on_loss = OnLoss::Stop;
    let claim = Claim { network, on_loss, ..netns_claim("0000:01:10.0", netns) };
    assert!(Claims::open(&host.run).unwrap().create(&claim).unwrap());
    let pin = Pin::of(&process);
    (process, pin)
}

fn only_outcome(released: Vec<Released>) -> Outcome {
    let [one] = &released[..] else { panic!("{released:?}") };
    one.outcome.clone()
}

#[test]
fn a_lost_vf_stops_the_processes_of_its_netns_and_stays_claimed_until_the_netns_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut process, pin) = netns_container(&host);
    let expected = "the VF vanished; the processes in its network namespace were stopped";
    assert_eq!(only_outcome(gc(&host).unwrap()), Outcome::Lost(expected.to_owned()));
    assert!(!process.wait().unwrap().success());
    // The pin keeps the namespace alive, so the claim stays.
    assert_eq!(only_outcome(gc(&host).unwrap()), Outcome::StillLost(expected.to_owned()));
    assert_eq!(reconcile(&host).unwrap(), []);
    drop(pin);
    assert_eq!(only_outcome(gc(&host).unwrap()), Outcome::Clean);
}

#[test]
fn an_engines_release_leaves_the_vf_of_a_netns_and_a_release_by_hand_waits_for_its_processes() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut process, _pin) = netns_container(&host);
    assert_eq!(release(&host, "c").unwrap(), []);
    let running = format!("process {} is still running in its network namespace", process.id());
    assert_eq!(only_outcome(release_by_hand(&host, "c").unwrap()), Outcome::Left(running.clone()));
    let refused = release_vf(&host, "0000:01:10.0", false).unwrap().outcome;
    assert_eq!(refused, Outcome::Left(running));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(only_outcome(release_by_hand(&host, "c").unwrap()), Outcome::Clean);
}

/// The release has found no process before it waits for the lock.
#[test]
fn a_container_that_starts_while_a_release_by_hand_waits_keeps_the_vf() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut first, pin) = netns_container(&host);
    first.kill().unwrap();
    first.wait().unwrap();
    let claim = Claims::open(&host.run).unwrap().get("0000:01:10.0").unwrap().unwrap();
    let lock = lock_pf_within(&host.run, &claim.pf, LONG).unwrap();
    let file = host.run.join(format!("locks/{}.lock", claim.pf));
    let is_lock = |entry: &std::io::Result<std::fs::DirEntry>| {
        let path = entry.as_ref().map(std::fs::DirEntry::path);
        path.is_ok_and(|path| std::fs::read_link(path).is_ok_and(|target| target == file))
    };
    let wait_until = |is_done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + LONG;
        while !is_done() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let release = scope.spawn(|| release_vf(&host, &claim.vf, false).unwrap().outcome);
        // The second descriptor is that of the release, which waits.
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap();
        wait_until(&|| descriptors().filter(is_lock).count() == 2);
        let netns = format!("--net={}", pin.path().display());
        let mut second = Command::new("nsenter").args([&netns, "sleep", "1000"]).spawn().unwrap();
        wait_until(&|| !processes_in(claim.netns).unwrap().is_empty());
        drop(lock);
        let running = format!("process {} is still running in its network namespace", second.id());
        assert_eq!(release.join().unwrap(), Outcome::Left(running));
        second.kill().unwrap();
        second.wait().unwrap();
    });
}

#[test]
fn a_network_is_released_although_its_container_runs() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut process, pin) = netns_container(&host);
    let (mut later, _) = process_in_new_netns();
    let of_later = format!("/proc/{}/ns/net", later.id());
    for (container, network, netns) in
        [("d", "acme", pin.path()), ("c", "bravo", pin.path()), ("c", "acme", of_later.into())]
    {
        assert_eq!(release_network(&host, container, network, &netns).unwrap(), []);
    }
    let is_used_by = |container| is_in_use(&host, "0000:01:10.0", container).unwrap();
    assert!(is_used_by("c") && !is_used_by("another"));
    let released = release_network(&host, "c", "acme", &pin.path()).unwrap();
    assert_eq!(only_outcome(released), Outcome::Clean);
    assert!(!is_used_by("c"));
    assert_eq!(process.try_wait().unwrap(), None);
    for process in [&mut process, &mut later] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

#[test]
fn a_network_is_released_after_the_engine_has_removed_the_netns() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let (mut process, pin) = netns_container(&host);
    process.kill().unwrap();
    process.wait().unwrap();
    let path = pin.path();
    drop(pin);
    let released = release_network(&host, "c", "acme", &path).unwrap();
    assert_eq!(only_outcome(released), Outcome::Clean);
}

#[test]
fn attach_to_a_netns_refuses_the_host_netns_and_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let attach = |netns: &str| {
        let container = NetnsContainer { id: "c".into(), netns: netns.into(), network: None };
        grant(folder.path()).attach_to_netns(&container).unwrap_err()
    };
    let error = attach("/proc/self/ns/net");
    assert!(matches!(error, Error::Lifecycle(LifecycleError::HostNetwork)), "{error:?}");
    let line = attach("/nonexistent").line();
    assert!(line.starts_with("cannot open network namespace /nonexistent: "), "{line}");
    let entries = audit(&Host { audit: folder.path().join("log/audit.jsonl"), ..Host::default() });
    assert_eq!(entries.unwrap().entries.len(), 2, "a refusal has no audit entry");
}

const LONG: Duration = Duration::from_secs(60);

/// A sysfs with an i40e PF and its first VF, which has no driver. Returns the folder of the VF.
fn add_x710(host: &Host) -> PathBuf {
    let devices = host.sysfs.join("bus/pci/devices");
    let (pf, vf) = (devices.join("0000:01:00.0"), devices.join("0000:01:10.0"));
    for folder in [pf.join("net/pf0"), vf.clone()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(pf.join("sriov_totalvfs"), "7\n").unwrap();
    for (target, link) in [
        ("../0000:01:10.0", pf.join("virtfn0")),
        ("../../drivers/i40e", pf.join("driver")),
        ("../0000:01:00.0", vf.join("physfn")),
    ] {
        std::os::unix::fs::symlink(target, link).unwrap();
    }
    vf
}

/// The write to `unbind` ends when the test reads it. Meanwhile the PF is free for other VFs; then it
/// stays locked.
#[test]
fn a_release_whose_pf_is_locked_after_the_unbind_is_left_to_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    let vf = add_x710(&host);
    let drivers = host.sysfs.join("bus/pci/drivers/iavf");
    std::fs::create_dir_all(&drivers).unwrap();
    std::os::unix::fs::symlink("../../drivers/iavf", vf.join("driver")).unwrap();
    let unbind = drivers.join("unbind");
    nix::unistd::mkfifo(&unbind, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let claims = Claims::open(&host.run).unwrap();
    let claim = claim("0000:01:10.0", "n");
    assert!(claims.create(&claim).unwrap());

    let relock_by = Instant::now() + Duration::from_millis(100);
    let mut lock = lock_claim(&host, &claim, LONG, relock_by).unwrap();
    let (outcome, held) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let held = lock_pf_within(&host.run, &claim.pf, LONG).unwrap();
            let mut written = std::fs::File::open(&unbind).unwrap();
            let refused = lock_claim(&host, &claim, Duration::ZERO, Instant::now());
            assert!(refused.is_err(), "the VF is locked");
            std::io::Read::read_to_end(&mut written, &mut Vec::new()).unwrap();
            held
        });
        let outcome = release_locked(&host, &claim, &mut lock, Duration::ZERO, Event::Released);
        (outcome.unwrap(), other.join().unwrap())
    });
    assert!(matches!(&outcome, Outcome::Left(why) if why.contains("cannot lock")), "{outcome:?}");
    assert_eq!(claims.get("0000:01:10.0").unwrap().unwrap().state, State::Releasing);
    drop((held, lock));
    lock_claim(&host, &claim, LONG, Instant::now()).unwrap();
}

/// A release was killed right after it had unbound the driver, so the PF may still be in the reset of
/// the VF. The next release waits for that as well. Then it fails, because `pf0` is only a folder.
#[test]
fn a_release_of_a_vf_without_a_driver_waits_for_its_reset() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with_root(folder.path());
    add_x710(&host);
    let claims = Claims::open(&host.run).unwrap();
    let claim = claim("0000:01:10.0", "n");
    assert!(claims.create(&claim).unwrap());
    let mut lock = lock_claim(&host, &claim, LONG, Instant::now() + LONG).unwrap();
    let began = Instant::now();
    let outcome = release_locked(&host, &claim, &mut lock, Duration::ZERO, Event::Released);
    assert!(matches!(outcome, Ok(Outcome::Quarantined(_))), "{outcome:?}");
    assert!(began.elapsed() >= driver(Some("i40e")).reset_time());
}
