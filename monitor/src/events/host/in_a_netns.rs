//! Tests of the host's events in a network namespace of their own. They need root.

use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::time::timeout;

use super::*;

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Runs `test` on a thread in a new network namespace with the veths `pf0` and `other`.
fn in_a_netns(test: impl AsyncFnOnce(&mut HostEvents, u32, &Path) + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: these tests need root");
            ip("link add pf0 type veth peer name pf1");
            ip("link add other type veth peer name another");
            let pf = nix::net::if_::if_nametoindex("pf0").unwrap();
            let folder = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut events = HostEvents::open(folder.path()).unwrap();
                test(&mut events, pf, folder.path()).await;
            });
        });
    });
}

/// The events until there is none for a moment.
async fn all(events: &mut HostEvents) -> Vec<HostEvent> {
    let mut all = Vec::new();
    while let Ok(found) = timeout(Duration::from_millis(300), events.next()).await {
        all.extend(found.unwrap());
    }
    all
}

fn is_link(event: &HostEvent, index: u32) -> bool {
    matches!(event, HostEvent::Link { ifindex, .. } if *ifindex == index)
}

#[test]
fn a_change_of_a_link_and_of_a_claim_are_events() {
    in_a_netns(async |events, pf, folder| {
        ip("link set pf0 up");
        std::fs::write(folder.join("0000:01:10.0.json"), "{}").unwrap();
        let seen = all(events).await;
        assert!(seen.iter().any(|event| is_link(event, pf)), "{seen:?}");
        let claim = HostEvent::Claim { vf: "0000:01:10.0".to_owned() };
        assert!(seen.contains(&claim), "{seen:?}");
        ip("link del pf0");
        assert!(all(events).await.iter().any(|event| is_link(event, pf)));
    });
}

/// The loop is blocked while a program changes links as fast as it can.
#[test]
fn a_flood_is_an_overrun_and_later_events_arrive() {
    in_a_netns(async |events, pf, _| {
        let commands = "link set dev other mtu 1400\nlink set dev other mtu 1500\n".repeat(2000);
        let batch = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(batch.path(), commands).unwrap();
        ip(&format!("-batch {}", batch.path().display()));
        let seen = all(events).await;
        assert!(seen.contains(&HostEvent::Overrun), "{} events", seen.len());
        ip("link set pf0 up");
        assert!(all(events).await.iter().any(|event| is_link(event, pf)));
    });
}

/// Documents why a returned VF is found by its uevent and its init process, too.
#[test]
fn a_link_with_a_strange_name_does_not_end_the_events() {
    in_a_netns(async |events, pf, _| {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        let status =
            Command::new("ip").args(["link", "set", "other", "alias"]).arg(name).status().unwrap();
        assert!(status.success());
        ip("link set pf0 up");
        assert!(all(events).await.iter().any(|event| is_link(event, pf)));
    });
}
