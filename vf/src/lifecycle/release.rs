//! A VF on its way back: claimed by nobody living, scrubbed, looked at, and only then free.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fault;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, Claims, State};
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, lock_pf_within};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::ownership::foreign_owner;
use crate::lifecycle::scrub::{disarm, scrub};
use crate::policy::config::Scrub;

/// What became of one VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// PCI address.
    pub vf: String,
    /// Its name inside the container.
    pub interface: String,
    /// Who had it, as the engine names it. Empty when nobody knows.
    pub container: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Free and read back clean, or gone from this machine together with all that was set on it.
    Clean,
    /// The same, but the audit file does not say so, for this reason.
    Unrecorded(String),
    /// Not touched, for this reason: it is another's, or its container still runs.
    Left(String),
    /// Its container has it, and another tool had changed what is named here.
    SetBack(String),
    /// Its container runs on without it, or was stopped for that.
    Lost(String),
    /// It could not be cleaned and will not be claimed again before it is repaired.
    Quarantined(String),
    /// What stands in its claim's place is no claim. The VF stays as it is, and out of use.
    Unreadable(String),
}

impl Outcome {
    /// One word, and why.
    pub fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Clean => ("clean", None),
            Self::Unrecorded(why) => ("clean", Some(why)),
            Self::Left(why) => ("left", Some(why)),
            Self::SetBack(why) => ("set back", Some(why)),
            Self::Lost(why) => ("lost", Some(why)),
            Self::Quarantined(why) => ("quarantined", Some(why)),
            Self::Unreadable(why) => ("unreadable", Some(why)),
        }
    }
}

impl Released {
    /// For whoever removes the container: what is wrong with the VF, if anything, and what is to be done.
    pub fn complaint(&self) -> Option<String> {
        let Self { vf, interface, container, outcome } = self;
        let (what, why) = outcome.parts();
        let mend = match outcome {
            Outcome::Quarantined(_) => format!("; `runvfctl repair {vf}` may clean it"),
            Outcome::Left(_) => "; `runvfctl gc` tries again".to_owned(),
            _ => String::new(),
        };
        Some(format!("VF {vf} ({interface} of {container}) is {what}: {}{mend}", why?))
    }

    pub(crate) fn of(claim: &Claim, outcome: Outcome) -> Self {
        let Claim { vf, interface, container, .. } = claim.clone();
        Self { vf, interface, container, outcome }
    }
}

/// How long a container's processes may take to die. They have been killed before anybody asks for its VFs.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Takes back every VF of a container. To be called when it is gone; for a container that has none, or has been released
/// already, nothing happens. What goes wrong with one VF is that one's outcome and does not keep the others.
///
/// # Errors
/// Only when the claims cannot be listed at all.
pub fn release(host: &Host, container: &str) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    let mut stuck: Vec<String> = Vec::new();
    for claim in Claims::open(&host.run)?.of_container(container)? {
        // A PF that was locked all the while for one VF is so for the next.
        let timeout = if stuck.contains(&claim.pf) { Duration::ZERO } else { LOCK_TIMEOUT };
        let outcome = match wait_for_end(claim.init) {
            true => release_claim(host, &claim, timeout, Event::Released),
            false => {
                Ok(Outcome::Left(format!("process {} of the container lives", claim.init.pid)))
            }
        };
        if matches!(outcome, Err(Error::Ledger(LedgerError::Locked { .. }))) {
            stuck.push(claim.pf.clone());
        }
        let outcome = outcome.unwrap_or_else(|error| Outcome::Left(error.line()));
        released.push(Released::of(&claim, outcome));
    }
    Ok(released)
}

/// As [`release`], for one VF, and even from a container that runs: that one loses it.
///
/// # Errors
/// [`LifecycleError::NoClaim`]; as [`release`].
pub fn release_vf(host: &Host, vf: &str, force: bool) -> Result<Released, Error> {
    let none = || Error::Lifecycle(LifecycleError::NoClaim { vf: vf.to_owned() });
    let claim = Claims::open(&host.run)?.get(vf)?.ok_or_else(none)?;
    let outcome = match (claim.init.is_alive(), force) {
        (true, false) => {
            Outcome::Left(format!("process {} of its container lives", claim.init.pid))
        }
        (true, true) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Forced)?,
        (false, _) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Released)?,
    };
    Ok(Released::of(&claim, outcome))
}

fn wait_for_end(init: ProcessId) -> bool {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while init.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// Releases the VF if its claim is still the one that was seen. What is in quarantine stays there. `event` is how the audit file
/// calls it if all goes well.
pub(crate) fn release_claim(
    host: &Host,
    seen: &Claim,
    timeout: Duration,
    event: Event,
) -> Result<Outcome, Error> {
    let _lock = lock_pf_within(&host.run, &seen.pf, timeout)?;
    release_locked(host, seen, EXIT_TIMEOUT, event)
}

/// The same, under the PF's lock. `exit_timeout` is how long it may take for foreign_netns to leave the VF's namespace.
pub(crate) fn release_locked(
    host: &Host,
    seen: &Claim,
    exit_timeout: Duration,
    event: Event,
) -> Result<Outcome, Error> {
    let claim = match Claims::open(&host.run)?.get(&seen.vf) {
        Ok(Some(claim)) if claim.nonce == seen.nonce => claim,
        _ => return Ok(Outcome::Left("it has changed hands".to_owned())),
    };
    if let State::Quarantined { reason } = claim.state {
        return Ok(Outcome::Quarantined(reason));
    }
    if let Some(why) = foreign_owner(&Sysfs(host.sysfs.clone()), &claim, exit_timeout)? {
        return Ok(Outcome::Left(why));
    }
    let how = claim.scrub;
    give_back(host, claim, how, event)
}

/// Scrubs a VF that is nobody's any more, and frees it or puts it in quarantine. Under the PF's lock.
pub(crate) fn give_back(
    host: &Host,
    mut claim: Claim,
    how: Scrub,
    event: Event,
) -> Result<Outcome, Error> {
    let mut entry = Entry::end(event, &claim);
    let claims = Claims::open(&host.run)?;
    if let Some(worker) = ProcessId::own() {
        claim.worker = worker;
    }
    // Whoever has to go on with this if we are killed cleans no less than we would have.
    claim.scrub = how;
    claims.advance(&mut claim, State::Releasing)?;
    let sysfs = Sysfs(host.sysfs.clone());
    match scrub(&sysfs, &claim, how) {
        Ok(()) => {
            // Before the claim is gone: whoever has to do this again says it again, and an end that nobody wrote down would look
            // as if the container still had the VF. That it cannot be written keeps nobody's VF.
            let unrecorded = audit::record(host, &entry).err();
            claims.remove(&claim.vf)?;
            fault::point("released").map_err(Error::errno("leave", &claim.vf))?;
            Ok(unrecorded.map_or(Outcome::Clean, |error| Outcome::Unrecorded(error.line())))
        }
        Err(error) => {
            let mut reason = error.line();
            // After a write that hangs, the kernel may hold its network lock, and the next request would hang with it. The
            // writer has inherited the PF's lock; once that can be had again, `gc` does this.
            if !matches!(error, Error::Kernel(KernelError::Timeout { .. }))
                && let Some(armed) = disarm(&sysfs, &claim)
            {
                let _ = write!(reason, "; it still has {armed}");
            }
            (entry.event, entry.reason) = (Event::Quarantined, Some(reason.clone()));
            // If it cannot be written, the claim has it all the same.
            let _ = audit::record(host, &entry);
            claims.advance(&mut claim, State::Quarantined { reason: reason.clone() })?;
            Ok(Outcome::Quarantined(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_removes_a_container_is_told_what_to_do_about_its_vf() {
        let complaint = |outcome| {
            let (vf, interface, container) = ("0000:01:10.0".into(), "mon0".into(), "c".into());
            Released { vf, interface, container, outcome }.complaint()
        };
        assert_eq!(complaint(Outcome::Clean), None);
        let left = complaint(Outcome::Left("process 7 of the container lives".into())).unwrap();
        assert_eq!(
            left,
            "VF 0000:01:10.0 (mon0 of c) is left: process 7 of the container lives; `runvfctl gc` tries again"
        );
        let quarantined = complaint(Outcome::Quarantined("it has no driver".into())).unwrap();
        let told = "VF 0000:01:10.0 (mon0 of c) is quarantined: it has no driver; \
                    `runvfctl repair 0000:01:10.0` may clean it";
        assert_eq!(quarantined, told);
    }
}
