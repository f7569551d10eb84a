//! What is watched: the claims, and for each of them the process that keeps it and its netdev.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vf::{Claim, ProcessId, State as ClaimState, VfEvents};

use crate::events::{VfChange, VfEvent, netdev, process};

/// A task that ends with this value, so that its descriptors are closed.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The netdev of an attached VF.
#[derive(Debug)]
enum Netdev {
    /// Not watched.
    None,
    /// Its socket is being opened.
    Opening,
    Watched(Task),
}

#[derive(Debug)]
struct Watched {
    claim: Claim,
    /// Tells the events of this watch from the events of an earlier one.
    number: u64,
    keeper: Option<(ProcessId, Task)>,
    /// The keeper has ended, so the claim is abandoned.
    is_abandoned: bool,
    netdev: Netdev,
}

/// By the PCI address of the VF.
#[derive(Debug)]
pub(crate) struct Watches {
    watched: BTreeMap<String, Watched>,
    reports: mpsc::Sender<VfEvent>,
    last_number: u64,
    /// This process.
    own: Option<ProcessId>,
}

/// What a new record of a claim asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Nothing.
    None,
    /// The netdev's socket must be opened, for the watch with this number.
    Open(u64),
    /// Another process works on the claim: looks at the VF would only wait for it.
    Leave,
}

impl Watches {
    pub(crate) fn new(reports: mpsc::Sender<VfEvent>) -> Self {
        Self { watched: BTreeMap::new(), reports, last_number: 0, own: ProcessId::own() }
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.watched.values().map(|watched| &watched.claim)
    }

    /// The claim of a VF that may be looked at: its container has it, or has lost it, or the process
    /// that worked on it has ended, or this process has to finish its release.
    pub(crate) fn to_look_at(&self, vf: &str) -> Option<&Claim> {
        let watched = self.watched.get(vf)?;
        let is_settled =
            matches!(watched.claim.state, ClaimState::Attached | ClaimState::Lost { .. });
        let is_open = is_settled || watched.is_abandoned || self.is_own_release(&watched.claim);
        is_open.then_some(&watched.claim)
    }

    /// Whether this process releases the VF. If it does not get the PF's lock again, the release is
    /// tried again.
    fn is_own_release(&self, claim: &Claim) -> bool {
        claim.state == ClaimState::Releasing && Some(claim.worker) == self.own
    }

    pub(crate) fn is_current(&self, event: &VfEvent) -> bool {
        self.watched.get(&event.vf).is_some_and(|watched| watched.number == event.watch)
    }

    /// The VFs with a watched netdev and a watched init process.
    pub(crate) fn complete(&self) -> BTreeSet<String> {
        let is_complete = |(_, watched): &(&String, &Watched)| {
            // A task that has ended watches nothing, even if its report still waits.
            let netdev = matches!(&watched.netdev, Netdev::Watched(task) if !task.0.is_finished());
            netdev && watched.keeper.as_ref().is_some_and(|(_, task)| !task.0.is_finished())
        };
        self.watched.iter().filter(is_complete).map(|(vf, _)| vf.clone()).collect()
    }

    pub(crate) fn forget(&mut self, vf: &str) {
        self.watched.remove(vf);
    }

    /// Takes a record of a claim, which may be new.
    pub(crate) fn update(&mut self, claim: Claim) -> Update {
        let number = self.last_number + 1;
        let is_same = self.watched.get(&claim.vf).is_some_and(|old| old.claim.nonce == claim.nonce);
        if !is_same {
            self.last_number = number;
            let new = Watched {
                claim: claim.clone(),
                number,
                keeper: None,
                is_abandoned: false,
                netdev: Netdev::None,
            };
            self.watched.insert(claim.vf.clone(), new);
        }
        let is_own = self.is_own_release(&claim);
        let Some(watched) = self.watched.get_mut(&claim.vf) else { return Update::None };
        let keeper = claim.keeper();
        // A task that ended without a report of the keeper's end could not watch it.
        let is_watched = |(_, task): &(_, Task)| watched.is_abandoned || !task.0.is_finished();
        let watched_now = watched.keeper.as_ref().filter(|keeper| is_watched(keeper));
        if watched_now.map(|(process, _)| *process) != keeper {
            watched.is_abandoned = false;
            let (vf, number) = (claim.vf.clone(), watched.number);
            let watch =
                |process| (process, watch_keeper(process, vf, number, self.reports.clone()));
            watched.keeper = keeper.map(watch);
        }
        let is_attached = claim.state == ClaimState::Attached;
        let is_settled = is_attached || is_own || matches!(claim.state, ClaimState::Lost { .. });
        watched.claim = claim;
        if !is_attached || watched.is_abandoned {
            // Dropped, because its socket keeps the network namespace alive.
            watched.netdev = Netdev::None;
            return if is_settled || watched.is_abandoned { Update::None } else { Update::Leave };
        }
        match watched.netdev {
            Netdev::None => {
                watched.netdev = Netdev::Opening;
                Update::Open(watched.number)
            }
            _ => Update::None,
        }
    }

    /// Begins to report the changes of a netdev. `None`: the watch is over.
    pub(crate) fn opened(&mut self, vf: &str, number: u64, events: VfEvents) -> Option<&Claim> {
        let watched = self.watched.get_mut(vf).filter(|watched| watched.number == number)?;
        if !matches!(watched.netdev, Netdev::Opening) {
            return None;
        }
        let watch = netdev::watch(events, vf.to_owned(), number, self.reports.clone());
        watched.netdev = Netdev::Watched(Task(tokio::spawn(watch)));
        Some(&watched.claim)
    }

    /// The netdev is not watched any more, or could not be.
    pub(crate) fn closed(&mut self, vf: &str, number: u64) {
        if let Some(watched) = self.watched.get_mut(vf).filter(|it| it.number == number) {
            watched.netdev = Netdev::None;
        }
    }

    /// A keeper of a claim has ended. Returns whether it still was the keeper: a release may have
    /// begun meanwhile.
    pub(crate) fn abandoned(&mut self, vf: &str, process: ProcessId) -> bool {
        let Some(watched) = self.watched.get_mut(vf) else { return false };
        let is_keeper = watched.keeper.as_ref().is_some_and(|(keeper, _)| *keeper == process);
        if is_keeper {
            // The socket is closed, because it keeps the network namespace alive.
            (watched.is_abandoned, watched.netdev) = (true, Netdev::None);
        }
        is_keeper
    }
}

fn watch_keeper(
    process: ProcessId,
    vf: String,
    watch: u64,
    reports: mpsc::Sender<VfEvent>,
) -> Task {
    Task(tokio::spawn(async move {
        let what = match process::ended(process).await {
            Ok(()) => VfChange::KeeperEnded { process },
            Err(error) => VfChange::Unwatched { why: no_pidfd(process, &error) },
        };
        // An error means that the monitor ends.
        let _ = reports.send(VfEvent { vf, watch, what }).await;
    }))
}

fn no_pidfd(process: ProcessId, error: &io::Error) -> String {
    format!("cannot watch process {}: {error}", process.pid)
}

#[cfg(test)]
mod tests;
