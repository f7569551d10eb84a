//! The work on blocking threads. It calls `vf`, which changes things under its locks.
//!
//! A call may hang in the kernel. Each PF has at most one call of each kind at a time, and the
//! number of threads is limited, so a PF that hangs costs two threads and delays no other PF.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use vf::{Claim, Host, Look, PfLink, ProcessId, Released, VfEvents};

use crate::state::State;

/// How long a look waits for the lock of its PF. An attach or a release holds it for a second, and a
/// look that did not get it is tried again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The result of work.
#[derive(Debug)]
pub(crate) enum Done {
    Looked {
        pf: String,
        looks: Vec<Look>,
        /// The error of all looks is one line.
        result: Result<Vec<Released>, String>,
    },
    ReadPf {
        pf: String,
        at: Option<SystemTime>,
        result: Result<PfState, String>,
    },
    Opened {
        vf: String,
        watch: u64,
        /// `None`: the VF is in no container's network namespace.
        result: Result<Option<VfEvents>, String>,
    },
    SearchedKeeper {
        vf: String,
        watch: u64,
        /// `None`: no process keeps the claim.
        result: Result<Option<ProcessId>, String>,
    },
}

/// The link of a PF, and its VFs that another tool has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PfState {
    /// `None`: the PF has no netdev.
    pub(crate) link: Option<PfLink>,
    pub(crate) changed: Vec<String>,
}

/// Starts the work and sends its results.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) state: Arc<State>,
    pub(crate) results: mpsc::UnboundedSender<Done>,
}

impl Work {
    fn run(&self, work: impl FnOnce(&Host) -> Done + Send + 'static) {
        let Self { state, results } = self.clone();
        tokio::task::spawn_blocking(move || {
            // An error means that the monitor ends. Each caller has one result in flight at most, so
            // the channel needs no bound.
            let _ = results.send(work(&state.host));
        });
    }

    pub(crate) fn look(&self, pf: String, looks: Vec<Look>) {
        self.state.look_begins(&pf);
        let state = Arc::clone(&self.state);
        self.run(move |host| {
            let result = vf::check(host, &pf, &looks, LOCK_TIMEOUT).map_err(|error| error.line());
            state.look_ended(&pf);
            Done::Looked { pf, looks, result }
        });
    }

    /// `at`: when the event happened.
    pub(crate) fn read_pf(&self, pf: String, claims: Vec<Claim>, at: Option<SystemTime>) {
        self.run(move |host| {
            let read = || -> Result<PfState, vf::Error> {
                let link = vf::pf_link(host, &pf)?;
                let changed = match &link {
                    // Without a PF, its VFs have vanished, which other events tell.
                    None => Vec::new(),
                    Some(_) => vf::changed_vfs(host, &pf, &claims)?,
                };
                Ok(PfState { link, changed })
            };
            let result = read().map_err(|error| error.line());
            Done::ReadPf { pf, at, result }
        });
    }

    pub(crate) fn open(&self, claim: Claim, watch: u64) {
        self.run(move |host| {
            let result = VfEvents::open(host, &claim).map_err(|error| error.line());
            Done::Opened { vf: claim.vf, watch, result }
        });
    }

    pub(crate) fn search_keeper(&self, claim: Claim, watch: u64) {
        self.run(move |_| {
            let result = vf::keeper_in_netns(&claim).map_err(|error| error.line());
            Done::SearchedKeeper { vf: claim.vf, watch, result }
        });
    }
}
