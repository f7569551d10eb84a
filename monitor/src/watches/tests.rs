use std::process::{Child, Command};

use tokio::time::timeout;

use super::*;

const VF: &str = "0000:01:10.0";

fn claim(state: &str, nonce: &str, (init, worker): (ProcessId, ProcessId)) -> Claim {
    let text = include_str!("../../../tests/corpus/seeds/claim/attached.json");
    let mut claim = serde_json::from_str::<Claim>(text).unwrap();
    claim.state = serde_json::from_str(state).unwrap();
    (claim.nonce, claim.init, claim.worker) = (nonce.to_owned(), init, worker);
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
        assert_eq!(watches.update(claim("\"configured\"", "n", both)), Update::Leave);
        assert!(watches.to_look_at(VF).is_none());
        assert_eq!(watches.update(claim(ATTACHED, "n", both)), Update::Open(1));
        assert_eq!(watches.update(claim(ATTACHED, "n", both)), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        // Its socket could not be opened; the next record tries again.
        watches.closed(VF, 1);
        assert_eq!(watches.update(claim(ATTACHED, "n", both)), Update::Open(1));
        assert_eq!(watches.update(claim("{\"lost\":{\"reason\":\"r\"}}", "n", both)), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        let (mut child, other) = sleeper();
        assert_eq!(watches.update(claim(RELEASING, "n", (own, other))), Update::Leave);
        assert!(watches.to_look_at(VF).is_none());
        // A release of the monitor itself that it could not finish.
        assert_eq!(watches.update(claim(RELEASING, "n", both)), Update::None);
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
        assert_eq!(watches.update(claim(ATTACHED, "one", (own, own))), Update::Open(1));
        assert_eq!(watches.update(claim(ATTACHED, "two", (own, own))), Update::Open(2));
        let why = String::new();
        let event = |watch| {
            let what = VfChange::Unwatched { why: why.clone() };
            VfEvent { vf: VF.to_owned(), watch, what }
        };
        assert!(watches.is_current(&event(2)) && !watches.is_current(&event(1)));
        watches.closed(VF, 1);
        assert_eq!(watches.update(claim(ATTACHED, "two", (own, own))), Update::None);
    });
}

#[test]
fn the_keeper_is_the_init_process_and_then_the_worker() {
    let ((mut init, init_id), (mut worker, worker_id)) = (sleeper(), sleeper());
    on_a_runtime(async {
        let (sender, mut reports) = mpsc::channel(8);
        let mut watches = Watches::new(sender);
        let both = (init_id, worker_id);
        watches.update(claim(ATTACHED, "n", both));
        worker.kill().unwrap();
        let nothing = timeout(std::time::Duration::from_millis(100), reports.recv()).await;
        assert!(nothing.is_err(), "the worker of an attached claim has no task: {nothing:?}");
        init.kill().unwrap();
        let ended = |process| {
            let what = VfChange::KeeperEnded { process };
            Some(VfEvent { vf: VF.to_owned(), watch: 1, what })
        };
        assert_eq!(reports.recv().await, ended(init_id));
        assert!(!watches.abandoned(VF, worker_id), "the worker is not the keeper");
        assert!(watches.abandoned(VF, init_id));
        assert_eq!(watches.update(claim(ATTACHED, "n", both)), Update::None);
        assert!(watches.to_look_at(VF).is_some());
        // A release that was killed, too.
        watches.update(claim(RELEASING, "n", both));
        assert_eq!(reports.recv().await, ended(worker_id));
        assert!(!watches.abandoned(VF, init_id), "an event from before the release");
        assert!(watches.abandoned(VF, worker_id));
        assert!(watches.to_look_at(VF).is_some());
    });
    init.wait().unwrap();
    worker.wait().unwrap();
}
