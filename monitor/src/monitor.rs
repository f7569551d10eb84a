//! The event loop: each event asks for a look, and each look tells what to watch next.

mod findings;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use vf::{Claim, Error as VfError, Look, Released};

use self::findings::report;
use crate::error::Error;
use crate::events::host::HostEvents;
use crate::events::{HostEvent, VfChange, VfEvent, netdev};
use crate::log;
use crate::pfs::Pfs;
use crate::react::queue::{COLLECT_TIME, Looks};
use crate::react::work::{Done, PfState, Work};
use crate::state::State;
use crate::watches::{Update, Watches};

/// Events of VFs that wait for the loop. A task without room for its event waits, and the kernel
/// drops what its socket cannot hold, which is an event as well.
const WAITING_EVENTS: usize = 1024;

/// How long the engine has for its own release, after its container has ended.
const ENGINE_TIME: Duration = Duration::from_millis(300);

/// Between two looks at everything. A flood of events may ask for one after the other.
const OVERRUN_INTERVAL: Duration = Duration::from_secs(2);

/// How long a VF may be on its way between two network namespaces.
const UNSETTLED_TIME: Duration = Duration::from_millis(200);

/// Between two looks at a VF that cannot be watched. Each look tries to watch it again.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(30);

/// Between two attempts to open the sources of events.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Monitor {
    state: Arc<State>,
    watches: Watches,
    reports: mpsc::Receiver<VfEvent>,
    pfs: Pfs,
    looks: Looks,
    work: Work,
    results: mpsc::UnboundedReceiver<Done>,
    /// When everything is looked at, because events were lost.
    everything: Option<Instant>,
    last_everything: Option<Instant>,
}

impl Monitor {
    pub(crate) fn new(state: Arc<State>) -> Self {
        let (sender, reports) = mpsc::channel(WAITING_EVENTS);
        let (results, done) = mpsc::unbounded_channel();
        Self {
            watches: Watches::new(sender),
            reports,
            pfs: Pfs::default(),
            looks: Looks::default(),
            work: Work { state: state.clone(), results },
            results: done,
            everything: None,
            last_everything: None,
            state,
        }
    }

    /// Reacts to events until the future is dropped. `ready` is called when all sources are open and
    /// all claims were read.
    ///
    /// # Errors
    /// When the sources cannot be opened at the start.
    pub(crate) async fn run(mut self, ready: impl FnOnce()) -> Result<(), Error> {
        // Opened before the claims are read, so that no change falls between both.
        let mut events = Some(self.open().map_err(Error::Events)?);
        if !vf::can_read_kernel_log() {
            let doubt =
                "it does not show whether a driver has told its PF that a VF is promiscuous";
            log::warning(format!("cannot read /dev/kmsg: {doubt}"));
        }
        self.read_claims();
        ready();
        loop {
            self.start_work();
            let next = self.next_time();
            tokio::select! {
                found = next_events(&mut events) => match found {
                    Ok(found) => found.into_iter().for_each(|event| self.on_host_event(event)),
                    Err(error) => {
                        log::warning(format!("a source of events is broken, opened again: {error}"));
                        events = None;
                        self.on_overrun();
                    }
                },
                Some(event) = self.reports.recv() => self.on_vf_event(event),
                Some(done) = self.results.recv() => self.on_done(done),
                () = sleep_until(next) => {}
            }
            if self.everything.is_some_and(|at| at <= Instant::now()) {
                self.everything = None;
                self.last_everything = Some(Instant::now());
                self.look_at_everything(&mut events);
            }
        }
    }

    fn open(&self) -> io::Result<HostEvents> {
        let folder = vf::claims_folder(&self.state.host);
        HostEvents::open(&folder.map_err(|error| io::Error::other(error.line()))?)
    }

    fn next_time(&self) -> Option<Instant> {
        let times = [self.looks.next_time(), self.pfs.next_time(), self.watches.next_search()];
        times.into_iter().chain([self.everything]).flatten().min()
    }

    /// Starts all work that is due.
    fn start_work(&mut self) {
        let now = Instant::now();
        while let Some((pf, looks)) = self.looks.take(now) {
            self.state.health.looks.add(looks.len() as u64);
            self.work.look(pf, looks);
        }
        while let Some((pf, at)) = self.pfs.take(now) {
            let of_pf = self.watches.claims().filter(|claim| claim.pf == pf);
            self.work.read_pf(pf.clone(), of_pf.cloned().collect(), at);
        }
        while let Some((claim, watch)) = self.watches.take_search(now) {
            self.work.search_keeper(claim, watch);
        }
    }

    fn on_host_event(&mut self, event: HostEvent) {
        self.state.health.events.add(1);
        let (now, at) = (Instant::now(), Some(SystemTime::now()));
        match event {
            HostEvent::Link { ifindex, parent } => {
                match self.pfs.by_link(ifindex, parent.as_deref()) {
                    Some(pf) => self.pfs.ask(&pf, at, now),
                    // A VF that came back from its container.
                    None => parent.iter().for_each(|vf| self.ask(vf, at, COLLECT_TIME)),
                }
            }
            HostEvent::Device { pci } if self.pfs.has(&pci) => self.pfs.ask(&pci, at, now),
            HostEvent::Device { pci } => self.ask(&pci, at, COLLECT_TIME),
            HostEvent::Claim { vf } => self.read_claim(&vf),
            HostEvent::Overrun => self.on_overrun(),
        }
    }

    /// Asks for a look at a VF, if its claim is one to look at.
    fn ask(&mut self, vf: &str, since: Option<SystemTime>, after: Duration) {
        if let Some(claim) = self.watches.to_look_at(vf) {
            self.looks.ask(vf, &claim.pf, since, (Instant::now(), after));
        }
    }

    fn on_vf_event(&mut self, event: VfEvent) {
        self.state.health.events.add(1);
        if !self.watches.is_current(&event) {
            return;
        }
        let VfEvent { vf, watch, what } = event;
        match what {
            VfChange::Netdev { at } => self.ask(&vf, Some(at), COLLECT_TIME),
            VfChange::Gone { at } => {
                self.watches.closed(&vf, watch);
                self.show_watched();
                self.ask(&vf, Some(at), COLLECT_TIME);
            }
            VfChange::Unwatched { why } => self.on_unwatched(&vf, watch, &why),
            VfChange::KeeperEnded { process } => {
                if self.watches.abandoned(&vf, process, Instant::now()) {
                    self.ask(&vf, None, ENGINE_TIME);
                }
            }
        }
    }

    fn on_unwatched(&mut self, vf: &str, watch: u64, why: &str) {
        self.watches.closed(vf, watch);
        self.show_watched();
        self.state.health.errors.add(1);
        let seconds = UNWATCHED_INTERVAL.as_secs();
        log::warning(format!("VF {vf} cannot be watched, and is checked in {seconds} s: {why}"));
        self.ask(vf, None, UNWATCHED_INTERVAL);
    }

    fn show_watched(&self) {
        self.state.set_watched(self.watches.complete());
    }

    fn on_overrun(&mut self) {
        self.state.health.overruns.add(1);
        let earliest = self.last_everything.map(|last| last + OVERRUN_INTERVAL);
        let at = earliest.unwrap_or_else(Instant::now).max(Instant::now() + COLLECT_TIME);
        self.everything.get_or_insert(at);
    }

    /// Reads all claims, all PFs and all VFs again.
    fn look_at_everything(&mut self, events: &mut Option<HostEvents>) {
        self.state.health.full_looks.add(1);
        // The folder of the claims may be another one.
        match self.open() {
            Ok(opened) => *events = Some(opened),
            Err(error) => {
                log::warning(format!("cannot open the sources of events: {error}"));
                self.everything.get_or_insert(Instant::now() + REOPEN_INTERVAL);
            }
        }
        self.read_claims();
        for pf in self.pfs.all() {
            self.pfs.ask(&pf, None, Instant::now());
        }
        let vfs: Vec<String> = self.watches.claims().map(|claim| claim.vf.clone()).collect();
        for vf in vfs {
            self.ask(&vf, None, COLLECT_TIME);
        }
    }

    fn read_claims(&mut self) {
        let mut gone: Vec<String> = self.watches.claims().map(|claim| claim.vf.clone()).collect();
        match vf::claims(&self.state.host) {
            Ok(claims) => {
                for claim in claims {
                    if let Ok(claim) = &claim {
                        gone.retain(|vf| *vf != claim.vf);
                    }
                    self.take_claim(claim);
                }
            }
            Err(error) => {
                self.state.health.errors.add(1);
                return log::warning(format!("cannot list the claims: {}", error.line()));
            }
        }
        gone.iter().for_each(|vf| self.forget(vf));
        self.after_claims();
    }

    fn read_claim(&mut self, vf: &str) {
        match vf::claim(&self.state.host, vf) {
            Ok(None) => self.forget(vf),
            Ok(Some(claim)) => self.take_claim(Ok(claim)),
            Err(error) => {
                self.forget(vf);
                self.take_claim(Err(error));
            }
        }
        self.after_claims();
    }

    fn forget(&mut self, vf: &str) {
        self.watches.forget(vf);
        self.looks.forget(vf);
    }

    fn take_claim(&mut self, claim: Result<Claim, VfError>) {
        match claim {
            Err(error) => {
                self.state.health.errors.add(1);
                log::warning(format!("a claim cannot be read: {}", error.line()));
            }
            Ok(claim) => {
                let update = self.watches.update(claim.clone(), Instant::now());
                self.follow(claim, update);
            }
        }
    }

    fn follow(&mut self, claim: Claim, update: Update) {
        match update {
            Update::None => {}
            Update::Open(watch) => self.work.open(claim, watch),
            Update::Leave => self.looks.cancel(&claim.vf),
            Update::Look => self.ask(&claim.vf, None, ENGINE_TIME),
        }
    }

    fn after_claims(&mut self) {
        self.pfs.keep(self.watches.claims().map(|claim| claim.pf.as_str()), Instant::now());
        self.show_watched();
        self.state.has_changed();
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Looked { pf, looks, result } => self.on_looked(&pf, &looks, result),
            Done::ReadPf { pf, at, result: Ok(read) } => self.on_pf(&pf, at, read),
            Done::ReadPf { pf, at, result: Err(error) } => {
                if self.pfs.failed(&pf, at, Instant::now()) {
                    self.state.health.errors.add(1);
                    log::warning(format!("PF {pf} cannot be read, tried again: {error}"));
                }
            }
            Done::Opened { vf, watch, result } => self.on_opened(&vf, watch, result),
            Done::SearchedKeeper { vf, watch, result } => self.on_searched(&vf, watch, result),
        }
    }

    fn on_searched(&mut self, vf: &str, watch: u64, result: Result<Option<vf::ProcessId>, String>) {
        let now = Instant::now();
        match result {
            Ok(found) => {
                let updates = self.watches.searched(vf, watch, found, now);
                let claim = self.watches.to_look_at(vf).cloned();
                for (claim, update) in claim.iter().cycle().zip(updates) {
                    self.follow(claim.clone(), update);
                }
                self.show_watched();
            }
            Err(why) => {
                if self.watches.search_failed(vf, watch, now + UNWATCHED_INTERVAL) {
                    self.on_unwatched(vf, watch, &why);
                }
            }
        }
    }

    fn on_opened(&mut self, vf: &str, watch: u64, result: Result<Option<vf::VfEvents>, String>) {
        match result {
            Ok(Some(events)) => {
                let first = events.first;
                let opened = self.watches.opened(vf, watch, events);
                if opened.is_some_and(|claim| netdev::needs_look(first, claim.carrier)) {
                    self.ask(vf, None, COLLECT_TIME);
                }
                self.show_watched();
                self.state.has_changed();
            }
            Ok(None) => {
                self.watches.closed(vf, watch);
                self.ask(vf, None, UNSETTLED_TIME);
            }
            Err(why) => self.on_unwatched(vf, watch, &why),
        }
    }

    fn on_pf(&mut self, pf: &str, at: Option<SystemTime>, read: PfState) {
        if let Some(before) = self.pfs.read(pf, read.link.clone()) {
            findings::report_pf(pf, before.as_ref(), read.link.as_ref());
            self.state.set_pf(pf, read.link);
        }
        for vf in read.changed {
            self.ask(&vf, at, Duration::ZERO);
        }
    }

    fn on_looked(&mut self, pf: &str, looks: &[Look], result: Result<Vec<Released>, String>) {
        let now = Instant::now();
        self.looks.ended(pf);
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                let failures = looks.iter().map(|look| self.looks.failed(look, pf, now)).max();
                // A lock that is held for a second is no problem.
                if failures == Some(3) {
                    self.state.health.errors.add(1);
                    log::warning(format!("PF {pf} cannot be checked, tried again: {error}"));
                }
                return;
            }
        };
        for look in looks {
            let of_vf = found.iter().filter(|found| found.vf == look.vf);
            let next: Vec<_> = of_vf.map(|found| report(&self.state.health, found)).collect();
            if next.contains(&findings::Next::Retry) {
                self.looks.failed(look, pf, now);
            } else {
                let counts = next.contains(&findings::Next::Limit);
                self.looks.succeeded(&look.vf, counts, now);
            }
            // The watch of a netdev that is in another namespace now begins again.
            self.read_claim(&look.vf);
        }
        if !found.is_empty() {
            self.state.has_changed();
        }
    }
}

/// Without sources, waits until they are opened again.
async fn next_events(events: &mut Option<HostEvents>) -> io::Result<Vec<HostEvent>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
