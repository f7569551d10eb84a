use std::process::{Child, Command};

use tokio::time::timeout;

use super::*;

const VF: &str = "0000:01:10.0";

fn claim(state: &str, nonce: &str, (init, worker): (ProcessId, ProcessId)) -> Claim {
    let text = include_str!("../../../tests/corpus/seeds/claim/attached.json");
    let mut claim = serde_json::from_str::<Claim>(text).unwrap();
    claim.state = serde_json::from_str(state).unwrap();
    (claim.nonce, claim.init, claim.worker) = (nonce.to_owned(), Some(init), worker);
    claim
}

fn sleeper() -> (Child, ProcessId) {
    let child = Command::new("sleep").arg("60").spawn().unwrap();
    let process = ProcessId::of(child.id().cast_signed()).unwrap();
    (child, process)
}

fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

const ATTACHED: &str = "\"attached\"";
const RELEASING: &str = "\"releasing\"";

#[test]
fn an_attached_vf_is_opened_once_and_left_to_its_release() {
    on_a_runtime(async {
        let (sender, _reports) = mpsc::channel(8);
        let (mut watches, own) = (Watches::new(sender), ProcessId::own().unwrap());
        let both = (own, own);
        assert_eq!(
            watches.update(claim("\"configured\"", "n", both), Instant::now()),
            Update::Leave
        );
        assert!(watches.to_look_at(VF).is_none());
        assert_eq!(watches.update(claim(ATTACHED, "n", both), Instant::now()), Update::Open(1));
        assert_eq!(watches.update(claim(ATTACHED, "n", both), Instant::now()), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        // Its socket could not be opened; the next record tries again.
        watches.closed(VF, 1);
        assert_eq!(watches.update(claim(ATTACHED, "n", both), Instant::now()), Update::Open(1));
        assert_eq!(
            watches.update(claim("{\"lost\":{\"reason\":\"r\"}}", "n", both), Instant::now()),
            Update::None
        );
        assert!(watches.to_look_at(VF).is_some());
        let (mut child, other) = sleeper();
        assert_eq!(
            watches.update(claim(RELEASING, "n", (own, other)), Instant::now()),
            Update::Leave
        );
        assert!(watches.to_look_at(VF).is_none());
        // A release of the monitor itself that it could not finish.
        assert_eq!(watches.update(claim(RELEASING, "n", both), Instant::now()), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        watches.forget(VF);
        assert_eq!((watches.claims().count(), watches.complete().len()), (0, 0));
    });
}

#[test]
fn an_event_of_an_earlier_claim_is_ignored() {
    on_a_runtime(async {
        let (sender, _reports) = mpsc::channel(8);
        let (mut watches, own) = (Watches::new(sender), ProcessId::own().unwrap());
        assert_eq!(
            watches.update(claim(ATTACHED, "one", (own, own)), Instant::now()),
            Update::Open(1)
        );
        assert_eq!(
            watches.update(claim(ATTACHED, "two", (own, own)), Instant::now()),
            Update::Open(2)
        );
        let why = String::new();
        let event = |watch| {
            let what = VfChange::Unwatched { why: why.clone() };
            VfEvent { vf: VF.to_owned(), watch, what }
        };
        assert!(watches.is_current(&event(2)) && !watches.is_current(&event(1)));
        watches.closed(VF, 1);
        assert_eq!(
            watches.update(claim(ATTACHED, "two", (own, own)), Instant::now()),
            Update::None
        );
    });
}

#[test]
fn the_keeper_is_the_init_process_and_then_the_worker() {
    let ((mut init, init_id), (mut worker, worker_id)) = (sleeper(), sleeper());
    on_a_runtime(async {
        let (sender, mut reports) = mpsc::channel(8);
        let mut watches = Watches::new(sender);
        let both = (init_id, worker_id);
        watches.update(claim(ATTACHED, "n", both), Instant::now());
        worker.kill().unwrap();
        let nothing = timeout(std::time::Duration::from_millis(100), reports.recv()).await;
        assert!(nothing.is_err(), "the worker of an attached claim has no task: {nothing:?}");
        init.kill().unwrap();
        let ended = |process| {
            let what = VfChange::KeeperEnded { process };
            Some(VfEvent { vf: VF.to_owned(), watch: 1, what })
        };
        assert_eq!(reports.recv().await, ended(init_id));
        assert!(!watches.abandoned(VF, worker_id, Instant::now()), "the worker is not the keeper");
        assert!(watches.abandoned(VF, init_id, Instant::now()));
        assert_eq!(watches.update(claim(ATTACHED, "n", both), Instant::now()), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        // A release that was killed, too.
        watches.update(claim(RELEASING, "n", both), Instant::now());
        assert_eq!(reports.recv().await, ended(worker_id));
        assert!(
            !watches.abandoned(VF, init_id, Instant::now()),
            "an event from before the release"
        );
        assert!(watches.abandoned(VF, worker_id, Instant::now()));
        assert!(watches.to_look_at(VF).is_some());
    });
    init.wait().unwrap();
    worker.wait().unwrap();
}

/// An attached claim that the processes in a network namespace keep.
fn netns_claim(nonce: &str) -> Claim {
    let own = ProcessId::own().unwrap();
    let claim = Claim { init: None, ..claim(ATTACHED, nonce, (own, own)) };
    assert_eq!(claim.keeper(), Some(Keeper::Netns));
    claim
}

#[test]
fn a_netns_is_watched_by_one_process_after_the_other_and_not_opened_without_one() {
    let ((mut one, one_id), (mut two, two_id)) = (sleeper(), sleeper());
    on_a_runtime(async {
        let (sender, mut reports) = mpsc::channel(8);
        let (mut watches, now) = (Watches::new(sender), Instant::now());
        let claim = netns_claim("n");
        // The search for a process comes first.
        assert_eq!(watches.update(claim.clone(), now), Update::None);
        assert_eq!(watches.next_search(), Some(now));
        assert_eq!(watches.take_search(now), Some((claim.clone(), 1)));
        assert_eq!((watches.take_search(now), watches.next_search()), (None, None));
        assert_eq!(watches.update(claim.clone(), now), Update::None, "it is being searched");
        assert_eq!(watches.take_search(now), None);
        assert_eq!(watches.searched(VF, 1, Some(one_id), now), [Update::Open(1)]);
        assert_eq!(watches.searched(VF, 1, Some(one_id), now), [], "no search was running");
        assert_eq!(watches.update(claim.clone(), now), Update::None, "it is watched");
        assert_eq!(watches.take_search(now), None);

        one.kill().unwrap();
        let ended = |process| {
            let what = VfChange::KeeperEnded { process };
            Some(VfEvent { vf: VF.to_owned(), watch: 1, what })
        };
        assert_eq!(reports.recv().await, ended(one_id));
        assert!(!watches.abandoned(VF, one_id, now), "another process may keep the claim");
        assert!(watches.take_search(now).is_some());
        assert_eq!(watches.searched(VF, 1, Some(two_id), now), [Update::None], "it is opening");

        two.kill().unwrap();
        assert_eq!(reports.recv().await, ended(two_id));
        assert!(!watches.abandoned(VF, two_id, now));
        assert!(watches.take_search(now).is_some());
        assert_eq!(watches.searched(VF, 1, None, now), [Update::Look]);
        assert!(watches.to_look_at(VF).is_some());
        // Without a process, there is nothing to watch, and no socket that keeps the namespace alive.
        assert_eq!(watches.complete().len(), 1);
        assert_eq!(watches.update(claim.clone(), now), Update::None);
        let later = now + SEARCH_INTERVAL;
        assert_eq!((watches.take_search(now), watches.next_search()), (None, Some(later)));
        assert!(watches.take_search(later).is_some());
        assert_eq!(watches.searched(VF, 1, None, later), [], "it was looked at");
    });
    one.wait().unwrap();
    two.wait().unwrap();
}

#[test]
fn the_first_process_in_an_idle_netns_asks_for_a_look_that_ends_the_idle_time() {
    on_a_runtime(async {
        let (sender, _reports) = mpsc::channel(8);
        let (mut watches, now) = (Watches::new(sender), Instant::now());
        let idle_since = Some("2026-01-31T12:00:00.000Z".to_owned());
        let claim = Claim { idle_since, ..netns_claim("n") };
        watches.update(claim.clone(), now);
        watches.take_search(now);
        watches.searched(VF, 1, None, now);
        watches.take_search(now + SEARCH_INTERVAL);
        let found = watches.searched(VF, 1, ProcessId::own(), now);
        assert_eq!(found, [Update::Open(1), Update::Look]);
        // A search that could not look everywhere says nothing.
        watches.update(Claim { nonce: "m".to_owned(), ..claim }, now);
        watches.take_search(now);
        assert!(!watches.search_failed(VF, 1, now), "a search of an earlier claim");
        assert!(watches.search_failed(VF, 2, now + SEARCH_INTERVAL));
        assert_eq!(watches.next_search(), Some(now + SEARCH_INTERVAL));
        assert!(watches.complete().is_empty());
    });
}

#[test]
fn a_release_of_a_netns_claim_is_watched_by_its_worker() {
    on_a_runtime(async {
        let (sender, mut reports) = mpsc::channel(8);
        let (mut watches, now) = (Watches::new(sender), Instant::now());
        let (mut child, worker) = sleeper();
        watches.update(netns_claim("n"), now);
        watches.take_search(now);
        let own = ProcessId::own().unwrap();
        let releasing = Claim { init: None, ..claim(RELEASING, "n", (own, worker)) };
        assert_eq!(watches.update(releasing.clone(), now), Update::Leave);
        assert_eq!(
            watches.searched(VF, 1, Some(own), now),
            [],
            "the search is not needed any more"
        );
        child.kill().unwrap();
        let what = VfChange::KeeperEnded { process: worker };
        assert_eq!(reports.recv().await, Some(VfEvent { vf: VF.to_owned(), watch: 1, what }));
        assert!(watches.abandoned(VF, worker, now));
        child.wait().unwrap();
    });
}

/// Its netdev does not exist, so a search for it would be repeated without end.
#[test]
fn a_vf_of_vfio_pci_is_watched_without_a_netdev() {
    on_a_runtime(async {
        let (sender, _reports) = mpsc::channel(8);
        let (mut watches, own) = (Watches::new(sender), ProcessId::own().unwrap());
        let claim = Claim { iommu_group: Some(7), ..claim(ATTACHED, "n", (own, own)) };
        assert_eq!(watches.update(claim, Instant::now()), Update::None);
        assert_eq!(watches.complete().len(), 1);
        assert!(watches.to_look_at(VF).is_some());
    });
}
