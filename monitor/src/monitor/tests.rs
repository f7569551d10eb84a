use std::fs;
use std::path::Path;
use std::process::Command;

use tokio::sync::oneshot;
use tokio::time::timeout;
use vf::{Host, ProcessId};

use super::*;
use crate::events::process;

const VF: &str = "0000:01:10.0";

fn host(root: &Path) -> Host {
    Host {
        sysfs: root.join("sys"),
        run: root.join("run/runvf"),
        config: root.join("config.toml"),
        audit: root.join("log/audit.jsonl"),
    }
}

/// Writes an attached claim as `vf` does.
fn attach(host: &Host, init: ProcessId) {
    let text = include_str!("../../../tests/corpus/seeds/claim/attached.json");
    let mut claim = serde_json::from_str::<Claim>(text).unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    (claim.init, claim.boot_id) = (Some(init), boot_id.trim().to_owned());
    let folder = host.run.join("claims");
    fs::write(folder.join(".new"), serde_json::to_vec(&claim).unwrap()).unwrap();
    fs::rename(folder.join(".new"), folder.join(format!("{VF}.json"))).unwrap();
}

/// Runs `test` beside a monitor that is ready.
fn beside_a_monitor(test: impl AsyncFnOnce(&Arc<State>)) {
    let root = tempfile::tempdir().unwrap();
    let state = Arc::new(State::new(host(root.path())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ready, is_ready) = oneshot::channel();
        let run = Monitor::new(state.clone()).run(move || ready.send(()).unwrap());
        let test = async {
            is_ready.await.unwrap();
            timeout(Duration::from_secs(60), test(&state)).await.unwrap();
        };
        tokio::select! {
            result = run => panic!("the monitor has ended: {result:?}"),
            () = test => {}
        }
    });
}

async fn until(state: &State, is_so: impl Fn(&State) -> bool) {
    let mut changes = state.changes();
    while !is_so(state) {
        changes.changed().await.unwrap();
    }
}

/// From the claim's file to the end of the process: inotify, the search for the VF, a look, and then
/// the pidfd and another look.
#[test]
fn a_container_without_its_vf_is_stopped_and_then_released() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let init = ProcessId::of(child.id().cast_signed()).unwrap();
    beside_a_monitor(async |state| {
        attach(&state.host, init);
        process::ended(init).await.unwrap();
        until(state, |state| state.health.lost.get() == 1).await;
        // The VF does not exist, so there is nothing to clean.
        until(state, |state| state.health.looks.get() > 1).await;
        let audit = fs::read_to_string(&state.host.audit).unwrap();
        assert!(audit.contains("\"lost\""), "{audit}");
    });
    child.wait().unwrap();
}

#[test]
fn an_unreadable_claim_is_counted_and_the_next_event_arrives() {
    beside_a_monitor(async |state| {
        let path = state.host.run.join(format!("claims/{VF}.json"));
        fs::write(&path, "{").unwrap();
        until(state, |state| state.health.errors.get() > 0).await;
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        until(state, |state| state.health.events.get() > 1).await;
    });
}

/// A folder that was replaced is watched again.
#[test]
fn a_folder_of_claims_that_was_replaced_is_watched_again() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let init = ProcessId::of(child.id().cast_signed()).unwrap();
    beside_a_monitor(async |state| {
        fs::remove_dir_all(state.host.run.join("claims")).unwrap();
        until(state, |state| state.health.full_looks.get() > 0).await;
        attach(&state.host, init);
        process::ended(init).await.unwrap();
    });
    child.wait().unwrap();
}
