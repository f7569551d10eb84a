//! Tests of the attach in real network namespaces. They need root and fail without it.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::error::Error;
use crate::host::{Container, Host};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsRecord, cookie, is_host_netns};
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::vf_settings::Settings;
use crate::ledger::claim::tests::claim;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::{Grant, authorize};
use crate::lifecycle::outcome::Outcome;
use crate::lifecycle::release::release;
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

/// A process in a network namespace of its own, which ends with this value.
struct Child(std::process::Child);

impl Child {
    /// The namespace has a link with this name.
    fn with_link(name: &str) -> Self {
        let script = format!("ip link add {name} type veth peer name x && exec sleep 60");
        let child = Command::new("unshare").args(["-n", "sh", "-c", &script]).spawn().unwrap();
        let child = Self(child);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let links = || Netns::open(&child.netns())?.inside(|| Netlink::open()?.links());
        while !links().unwrap().iter().any(|link| link.name == name)
            || is_host_netns(&child.netns()).unwrap()
        {
            assert!(std::time::Instant::now() < deadline, "the child has not created its link");
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
        let netns = Netns::open(&self.netns()).unwrap();
        let netns = NetnsRecord { id: netns.id, cookie: netns.inside(cookie).unwrap() };
        let (boot_id, init) = (boot_id().unwrap(), ProcessId::of(self.0.id() as i32).unwrap());
        let container = container.to_owned();
        let base = claim("0000:01:10.0", "n");
        let want = Settings { vlan: 100, ..base.want };
        Claim { state: State::Attached, boot_id, container, netns, init, want, ..base }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_device_takes_the_next_free_name_unless_the_container_has_its_vlan() {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::with_link("mon0");
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
    assert!(claims.create(&child.claim("c")).unwrap());
    assert_eq!(name(), None);
}

#[test]
fn a_container_of_a_pod_needs_a_vf_of_its_sandbox_in_its_netns() {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::with_link("eth0");
    let attach = |sandbox: &str| {
        let (namespace, name) = ("acme".to_owned(), "sensor".to_owned());
        let pod = Pod { namespace, name, sandbox: sandbox.to_owned() };
        let mut grant = grant(folder.path());
        grant.pod = Some(PodRole::Member(pod));
        grant.attach(&child.container()).unwrap_err()
    };
    let not_in_pod =
        |error: Error| matches!(error, Error::Lifecycle(LifecycleError::NotInPod { .. }));
    assert!(not_in_pod(attach("5a")), "no claim");
    let claims = Claims::open(&folder.path().join("run")).unwrap();
    let mut claim = child.claim("5a");
    claim.interface = "host0".to_owned();
    let elsewhere = NetnsRecord { cookie: 1, ..claim.netns };
    let other_vlan = Settings { vlan: 200, ..claim.want };
    for (wrong, why) in [
        (Claim { container: "another".to_owned(), ..claim.clone() }, "of another sandbox"),
        (Claim { netns: elsewhere, ..claim.clone() }, "in another network namespace"),
        (Claim { want: other_vlan, ..claim.clone() }, "on another VLAN"),
        (Claim { state: State::Configured, ..claim.clone() }, "not attached"),
        // There is no such netdev.
        (claim, "not up"),
    ] {
        assert!(claims.create(&wrong).unwrap());
        assert!(not_in_pod(attach("5a")), "{why}");
        claims.remove(&wrong.vf).unwrap();
    }
    let host = grant(folder.path()).host;
    let refused = crate::ledger::audit::audit(&host).unwrap().entries;
    assert!(refused.iter().all(|entry| entry.pod.as_deref() == Some("sensor")), "{refused:?}");
    assert_eq!(refused.len(), 6);
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
    let child = Child::with_link("host0");
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
