//! The locks of a process that works on a claim: the PF's and the VF's.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{
    POLL_INTERVAL, PfLock, SHORT_LOCK_TIMEOUT, UnbindLock, VfLock, lock_pf_within, lock_unbind,
    try_lock_vf,
};

/// The locks of a VF and of its PF. The VF's lock is dropped first, so that a process that gets the
/// PF's lock can get it, too.
pub(crate) struct ClaimLock<'a> {
    _vf: VfLock,
    held: Held<'a>,
    run: PathBuf,
    pf: String,
    relock_by: Instant,
}

/// The PF's lock.
enum Held<'a> {
    /// `None`: it has been released for a moment, or could not be acquired again.
    Own(Option<PfLock>),
    /// The caller needs it for longer, so it is never released here.
    Callers(#[expect(dead_code, reason = "held, not read")] &'a PfLock),
}

impl ClaimLock<'_> {
    /// Locks a VF and its PF, given their PCI addresses. `relock_by` limits a later wait for the
    /// PF's lock: see [`ClaimLock::without_pf`].
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process holds one of the locks for longer than
    /// `timeout`.
    pub(crate) fn take(
        run: &Path,
        (vf, pf): (&str, &str),
        timeout: Duration,
        relock_by: Instant,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let lock = lock_pf_within(run, pf, left())?;
            match try_lock_vf(run, vf) {
                Err(Error::Ledger(LedgerError::Locked { .. })) if !left().is_zero() => {}
                locked => {
                    let (held, run, pf) = (Held::Own(Some(lock)), run.to_owned(), pf.to_owned());
                    return Ok(Self { _vf: locked?, held, run, pf, relock_by });
                }
            }
            // The process that has the VF's lock may need the PF's to go on.
            drop(lock);
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Runs `work` without the PF's lock, and acquires this lock again after it, also if `work` has
    /// failed. The VF's lock stays held, so no other process changes the claim.
    ///
    /// # Errors
    /// An error of `work`; [`LedgerError::Locked`] or an error of the file system when the PF's lock
    /// cannot be acquired again. Then [`ClaimLock::has_pf`] is false, and the caller must change
    /// nothing more: the claim on disk tells the next process what to do.
    pub(crate) fn without_pf<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let is_own = match &mut self.held {
            Held::Own(lock) => lock.take().is_some(),
            Held::Callers(_) => false,
        };
        let done = work(self);
        if is_own {
            self.held = Held::Own(Some(lock_pf_within(&self.run, &self.pf, self.time_left())?));
        }
        done
    }

    /// Whether the PF is locked: not after [`ClaimLock::without_pf`] could not lock it again.
    pub(crate) fn has_pf(&self) -> bool {
        !matches!(self.held, Held::Own(None))
    }

    /// Locks the unbinding of the PF's VFs.
    ///
    /// # Errors
    /// [`LedgerError::Locked`].
    pub(crate) fn lock_unbind(&self) -> Result<UnbindLock, Error> {
        lock_unbind(&self.run, &self.pf, self.time_left())
    }

    fn time_left(&self) -> Duration {
        self.relock_by.saturating_duration_since(Instant::now())
    }
}

impl<'a> ClaimLock<'a> {
    /// As [`ClaimLock::take`], for a caller that has the lock of the PF and keeps it.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process holds the VF's lock.
    pub(crate) fn under(
        run: &Path,
        (vf, pf): (&str, &str),
        lock: &'a PfLock,
    ) -> Result<Self, Error> {
        let (_vf, held) = (try_lock_vf(run, vf)?, Held::Callers(lock));
        let relock_by = Instant::now() + SHORT_LOCK_TIMEOUT;
        Ok(Self { _vf, held, run: run.to_owned(), pf: pf.to_owned(), relock_by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VF: &str = "0000:01:10.0";
    const PF: &str = "0000:01:00.0";
    /// For a lock that is free. A child that another test has forked may hold it for a moment.
    const LONG: Duration = Duration::from_secs(60);

    fn take(run: &Path, timeout: Duration) -> Result<ClaimLock<'static>, Error> {
        ClaimLock::take(run, (VF, PF), timeout, Instant::now() + Duration::from_millis(50))
    }

    fn is_locked<T>(result: Result<T, Error>) -> bool {
        matches!(result, Err(Error::Ledger(LedgerError::Locked { .. })))
    }

    #[test]
    fn other_vfs_of_the_pf_are_served_while_one_is_unbound() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut lock = take(run, Duration::ZERO).unwrap();
        let relock_by = Instant::now();
        let other = |timeout| ClaimLock::take(run, ("0000:01:10.2", PF), timeout, relock_by);
        assert!(is_locked(other(Duration::ZERO)));
        lock.relock_by = Instant::now() + LONG;
        let inside = lock.without_pf(|_| {
            assert!(is_locked(take(run, Duration::from_millis(30))), "its VF is still locked");
            other(LONG).map(drop)
        });
        inside.unwrap();
        assert!(is_locked(other(Duration::ZERO)), "the PF is locked again");
        drop(lock);
        take(run, LONG).unwrap();
    }

    /// A process that waits for both locks holds neither, so the other process can finish.
    #[test]
    fn a_process_waits_for_both_locks_without_holding_one() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut lock = take(run, Duration::ZERO).unwrap();
        lock.relock_by = Instant::now() + LONG;
        thread::scope(|scope| {
            let waiting = lock.without_pf(|_| {
                let waiting = scope.spawn(|| take(run, LONG).map(drop));
                thread::sleep(POLL_INTERVAL * 5);
                assert!(!waiting.is_finished(), "the VF is locked");
                Ok(waiting)
            });
            let waiting = waiting.unwrap();
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_pf_that_stays_locked_ends_the_work_with_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut lock = take(run, Duration::ZERO).unwrap();
        let mut other = None;
        let done = lock.without_pf(|_| {
            other = Some(lock_pf_within(run, PF, LONG)?);
            Ok(())
        });
        assert!(is_locked(done));
        assert!(!lock.has_pf());
        drop(other);
        assert!(is_locked(take(run, Duration::ZERO)), "its VF is still locked");
    }

    #[test]
    fn a_lock_file_that_cannot_be_opened_again_leaves_the_pf_unlocked() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut lock = take(run, Duration::ZERO).unwrap();
        assert!(lock.has_pf());
        let done = lock.without_pf(|_| {
            let file = run.join(format!("locks/{PF}.lock"));
            std::fs::remove_file(&file).and_then(|()| std::fs::create_dir(&file)).unwrap();
            Ok(())
        });
        assert!(matches!(done, Err(Error::Kernel(_))), "{:?}", done.map_err(|error| error.line()));
        assert!(!lock.has_pf());
    }

    #[test]
    fn a_lock_of_the_caller_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let pf_lock = lock_pf_within(run, PF, Duration::ZERO).unwrap();
        let mut lock = ClaimLock::under(run, (VF, PF), &pf_lock).unwrap();
        lock.without_pf(|_| {
            assert!(is_locked(lock_pf_within(run, PF, Duration::ZERO)));
            Ok(())
        })
        .unwrap();
        assert!(lock.has_pf());
        assert!(is_locked(ClaimLock::under(run, (VF, PF), &pf_lock)));
    }
}
