//! Tests of the attach and the release in real network namespaces. They need root and fail without
//! it.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::host::{Container, Host};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, is_host_netns};
use crate::ledger::audit::Event;
use crate::ledger::claim::State;
use crate::ledger::claim::tests::claim;
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf_within;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::{Grant, authorize};
use crate::lifecycle::outcome::Outcome;
use crate::lifecycle::release::{lock_claim, release, release_locked};
use crate::nic::driver::driver;
use crate::policy::request::Request;

fn grant(folder: &std::path::Path) -> Grant {
    let config = folder.join("config.toml");
    std::fs::write(&config, "pool = [{ name = \"p\", pfs = [\"pf0\"] }]").unwrap();
    let (sysfs, run) = (folder.join("sys"), folder.join("run"));
    let host = Host { sysfs, run, config, audit: folder.join("log/audit.jsonl") };
    let request = Request::from_annotations([("io.runvf.vlan.host0", "100")]).unwrap().unwrap();
    authorize(&host, request, "c").unwrap()
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
    let mut child = Command::new("unshare")
        .args(["-n", "sh", "-c", "ip link add host0 type veth peer name x && exec sleep 60"])
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    let path = format!("/proc/{pid}/ns/net");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let links = || Netns::open(path.as_ref())?.inside(|| Netlink::open()?.links());
    while !links().unwrap().iter().any(|link| link.name == "host0")
        || is_host_netns(path.as_ref()).unwrap()
    {
        assert!(std::time::Instant::now() < deadline, "the child has not created its interface");
        thread::yield_now();
    }
    let error = grant(folder.path()).attach(&Container { id: "c".into(), pid });
    child.kill().unwrap();
    child.wait().unwrap();
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
