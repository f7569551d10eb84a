//! The programs of the processes, step by step.

use super::Flaw;
use super::world::{Life, Netdev, Owner, Process, Record, Run, Step, Worker, World};
use crate::ledger::claim::{Liveness, State};

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The kernel refuses the call.
    Refused,
    /// The kernel reports success but changed nothing.
    FalseSuccess,
}

impl Step {
    pub(super) fn may_be_refused(self) -> bool {
        matches!(
            self,
            Self::SetVlan
                | Self::SetTrust
                | Self::BindToMove
                | Self::Move
                | Self::SetUpInside
                | Self::Rearm
                | Self::Unbind
                | Self::Clear
                | Self::Bind
        )
    }

    pub(super) fn may_report_false_success(self) -> bool {
        matches!(self, Self::SetVlan | Self::SetTrust | Self::Clear | Self::Disarm)
    }

    /// The next step after success. `None` after the last step.
    fn next(self, flaw: Option<Flaw>) -> Option<Self> {
        let Some(flaw) = flaw else { return self.next_without_flaw() };
        let flawed = match (flaw, self) {
            (Flaw::SettingBeforeRecord, Self::LockToClaim) => Self::SetVlan,
            (Flaw::SettingBeforeRecord, Self::SetVlan) => Self::Claim,
            (Flaw::SettingBeforeRecord, Self::Claim) => Self::SetTrust,
            (Flaw::RemovedBeforeBind, Self::Clear) | (Flaw::RemovedBeforeVerify, Self::Bind) => {
                Self::Remove
            }
            (Flaw::RemovedBeforeBind, Self::Remove) => Self::Bind,
            (Flaw::RemovedBeforeVerify, Self::Remove) => Self::Verify,
            (Flaw::RemovedBeforeBind | Flaw::RemovedBeforeVerify, Self::Verify) => return None,
            (Flaw::ClosedBeforeAudit, Self::Rearm) => Self::CloseGap,
            (Flaw::ClosedBeforeAudit, Self::CloseGap) => Self::AuditGap,
            (Flaw::ClosedBeforeAudit, Self::AuditGap) => return None,
            (Flaw::CountedAfterRearm, Self::OpenGap) => Self::Rearm,
            (Flaw::CountedAfterRearm, Self::Rearm) => Self::ReadCounters,
            (Flaw::CountedAfterRearm, Self::ReadCounters) => Self::AuditGap,
            _ => return self.next_without_flaw(),
        };
        Some(flawed)
    }

    fn next_without_flaw(self) -> Option<Self> {
        Some(match self {
            Self::LockToClaim => Self::Claim,
            Self::Claim => Self::SetVlan,
            Self::SetVlan => Self::SetTrust,
            Self::SetTrust => Self::ReadBack,
            Self::ReadBack => Self::BindToMove,
            Self::BindToMove => Self::LockToMove,
            Self::LockToMove => Self::Configured,
            Self::Configured => Self::Move,
            Self::Move => Self::SetUpInside,
            Self::SetUpInside => Self::TellPf,
            Self::TellPf => Self::ReadBackInside,
            Self::ReadBackInside => Self::LockToAttach,
            Self::LockToAttach => Self::Attached,
            Self::OpenGap => Self::ReadCounters,
            Self::ReadCounters => Self::Rearm,
            Self::Rearm => Self::AuditGap,
            Self::AuditGap => Self::CloseGap,
            Self::CheckAbandoned => Self::LockToRelease,
            Self::LockToRelease | Self::CheckAbandonedUnderLock => Self::Releasing,
            Self::Releasing => Self::Unbind,
            Self::Unbind => Self::LockToClear,
            Self::LockToClear => Self::Clear,
            Self::LockToDisarm => Self::Disarm,
            Self::Clear => Self::Bind,
            Self::Bind => Self::Verify,
            Self::Verify => Self::Remove,
            Self::Disarm => Self::Quarantined,
            Self::Attached | Self::Lost | Self::CloseGap | Self::Remove | Self::Quarantined => {
                return None;
            }
        })
    }
}

/// What a process does after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    To(Step),
    /// Release the claims of this attach.
    Undo,
    End,
}

impl World {
    /// Creates a container and begins its attach.
    pub(super) fn begin_attach(&mut self, owner: Owner) {
        *self.life_mut(owner) = Life::Waiting;
        self.begin(Worker::Attach(owner), Step::LockToClaim, 0, owner);
    }

    pub(super) fn begin_release(&mut self, owner: Owner, vf: usize) {
        self.begin(Worker::Release(owner), Step::LockToRelease, vf, owner);
    }

    /// Reads a record without the lock.
    pub(super) fn begin_reconcile(&mut self, vf: usize) {
        let Some(read) = self.vfs[vf].record.clone() else { return };
        let owner = read.owner;
        let run = Run { step: Step::CheckAbandoned, vf, owner, read: Some(read), resets: None };
        *self.process_mut(Worker::Reconcile) = Process::Running(run);
    }

    /// Begins with the lock held and a quarantined record.
    pub(super) fn begin_repair(&mut self, vf: usize) {
        let Some(owner) = self.vfs[vf].record.as_ref().map(|record| record.owner) else { return };
        self.begin(Worker::Repair, Step::Releasing, vf, owner);
    }

    fn begin(&mut self, worker: Worker, step: Step, vf: usize, owner: Owner) {
        let run = Run { step, vf, owner, read: None, resets: None };
        *self.process_mut(worker) = Process::Running(run);
    }

    pub(super) fn is_quarantined(&self, vf: usize) -> bool {
        let record = self.vfs[vf].record.as_ref();
        record.is_some_and(|record| matches!(record.state, State::Quarantined { .. }))
    }

    pub(super) fn is_abandoned(&self, record: &Record) -> bool {
        record.state.is_abandoned(Liveness {
            same_boot: true,
            init: self.life(record.owner).is_alive(),
            worker: record.worker.is_some_and(|worker| self.run(worker).is_some()),
        })
    }

    /// Takes one step of a process. The caller has checked that no other process holds the lock
    /// that the step needs.
    pub(super) fn step(&mut self, worker: Worker, outcome: Outcome) {
        let Process::Running(mut run) = self.process(worker).clone() else { return };
        let then = match outcome {
            Outcome::Done => self.succeed(worker, &mut run),
            Outcome::FalseSuccess => Then::Next,
            Outcome::Refused if run.step.is_of_attach() => Then::Undo,
            Outcome::Refused if run.step == Step::Rearm => Then::To(Step::Lost),
            Outcome::Refused if run.step == Step::Unbind => Then::To(Step::LockToDisarm),
            Outcome::Refused => Then::To(Step::Disarm),
        };
        let (step, owner) = (Step::LockToRelease, run.owner);
        let undo = |vf| Run { step, vf, owner, read: None, resets: None };
        let next = match then {
            Then::Next => run.step.next(self.flaw).map(|step| Run { step, ..run }),
            Then::To(step) => Some(Run { step, ..run }),
            Then::Undo => self.vf_of(run.owner).map(undo),
            Then::End => None,
        };
        match next {
            Some(run) => *self.process_mut(worker) = Process::Running(run),
            None => self.end(worker, Process::Idle),
        }
    }

    fn succeed(&mut self, worker: Worker, run: &mut Run) -> Then {
        let owner = run.owner;
        let record =
            |state| Some(Record { owner, state, worker: Some(worker), resets: None, gap: false });
        let next_if =
            |condition: bool, otherwise: Then| if condition { Then::Next } else { otherwise };
        let moves_without_check = self.has(Flaw::MovedWithoutCheck);
        let attaches_without_check = self.has(Flaw::AttachedWithoutCheck);
        let rearms_before_gap = self.has(Flaw::RearmedBeforeGap);
        let parked = self.parked;
        let vf = &mut self.vfs[run.vf];
        let has_claim_as = |state| vf.record == record(state);
        let (is_claiming, is_configured) =
            (has_claim_as(State::Claiming), has_claim_as(State::Configured));
        match run.step {
            Step::LockToClaim => {
                let ignores_record = self.has(Flaw::IgnoredRecord);
                let free = self.vfs.iter().position(|vf| vf.record.is_none() || ignores_record);
                run.vf = free.unwrap_or_default();
                return next_if(free.is_some(), Then::End);
            }
            Step::Claim => vf.record = record(State::Claiming),
            Step::SetVlan => vf.vlan = Some(owner),
            Step::SetTrust => vf.trust = true,
            Step::ReadBack | Step::ReadBackInside => {
                return next_if(vf.is_set_for(owner), Then::Undo);
            }
            Step::BindToMove => vf.bind(),
            Step::LockToMove if moves_without_check => return Then::To(Step::Move),
            Step::LockToMove => return next_if(is_claiming, Then::Undo),
            Step::Move if vf.netdev == Netdev::HostNetns => vf.netdev = Netdev::Container(owner),
            Step::SetUpInside if vf.netdev == Netdev::Container(owner) => {
                (vf.dirty, vf.flag) = (true, true);
                run.resets = Some(vf.resets);
            }
            Step::TellPf if vf.netdev == Netdev::Container(owner) => vf.promisc = vf.flag,
            Step::Move | Step::SetUpInside | Step::TellPf => return Then::Undo,
            Step::LockToAttach => {
                return next_if(is_configured || attaches_without_check, Then::Undo);
            }
            Step::Attached if attaches_without_check => vf.record = record(State::Attached),
            Step::CheckAbandoned | Step::CheckAbandonedUnderLock => {
                return self.check_abandoned(run);
            }
            Step::LockToRelease => return self.recheck_claim(worker, run),
            Step::Configured => self.advance(run.vf, worker, State::Configured),
            Step::Attached => {
                self.advance(run.vf, worker, State::Attached);
                self.keep_counters(run);
            }
            Step::OpenGap if rearms_before_gap => {}
            Step::OpenGap => self.record_gap(run.vf, worker, true),
            Step::ReadCounters => run.resets = Some(vf.resets),
            // The container may have moved its netdev away.
            Step::Rearm if vf.netdev != Netdev::Container(owner) => return Then::End,
            Step::Rearm => (vf.promisc, vf.flag) = (true, true),
            Step::AuditGap => vf.unrecorded = false,
            Step::CloseGap => {
                self.record_gap(run.vf, worker, false);
                self.keep_counters(run);
            }
            Step::Lost => self.advance(run.vf, worker, State::Lost { reason: String::new() }),
            Step::Releasing => self.advance(run.vf, worker, State::Releasing),
            Step::Quarantined => {
                let reason = String::new();
                self.advance(run.vf, worker, State::Quarantined { reason });
            }
            Step::Unbind => vf.unbind(),
            // The VF's lock is held since the claim was checked, so it has not changed.
            Step::LockToClear | Step::LockToDisarm => {}
            Step::Clear | Step::Disarm => {
                vf.vlan = None;
                vf.trust = false;
            }
            Step::Bind if parked => {}
            Step::Bind => vf.bind(),
            Step::Verify => return next_if(vf.is_clean(parked), Then::To(Step::Disarm)),
            Step::Remove => vf.record = None,
        }
        Then::Next
    }

    /// Checks whether the record that was read is abandoned, or its container has lost the VF. `gc`
    /// takes the lock for every record; the model skips the lock when nothing would follow.
    fn check_abandoned(&self, run: &mut Run) -> Then {
        let Some(read) = run.read.take() else { return Then::End };
        let vf = &self.vfs[run.vf];
        let lost = read.state == State::Attached && vf.netdev == Netdev::HostNetns;
        let blind = vf.is_in_use() && vf.seems_blind(&read);
        match run.step {
            _ if self.is_abandoned(&read) => Then::Next,
            Step::CheckAbandonedUnderLock if lost => Then::To(Step::Lost),
            Step::CheckAbandonedUnderLock if blind => Then::To(Step::OpenGap),
            Step::CheckAbandoned if lost || blind => Then::Next,
            _ => Then::End,
        }
    }

    fn record_gap(&mut self, vf: usize, worker: Worker, is_open: bool) {
        self.advance(vf, worker, State::Attached);
        if let Some(record) = &mut self.vfs[vf].record {
            record.gap = is_open;
        }
    }

    fn keep_counters(&mut self, run: &Run) {
        if let Some(record) = &mut self.vfs[run.vf].record {
            record.resets = run.resets;
        }
    }

    /// Checks under the lock that the claim is still the same. A reconcile also reads the record
    /// again.
    fn recheck_claim(&self, worker: Worker, run: &mut Run) -> Then {
        let Some(now) = &self.vfs[run.vf].record else { return Then::End };
        let is_same_claim = now.owner == run.owner || self.has(Flaw::NonceNotCompared);
        if !is_same_claim || self.is_quarantined(run.vf) {
            return Then::End;
        }
        run.owner = now.owner;
        if worker == Worker::Reconcile && !self.has(Flaw::NotRereadUnderLock) {
            run.read = Some(now.clone());
            return Then::To(Step::CheckAbandonedUnderLock);
        }
        Then::Next
    }

    /// As [`crate::ledger::claims::Claims::advance`].
    fn advance(&mut self, vf: usize, worker: Worker, next: State) {
        let Some(record) = &mut self.vfs[vf].record else { return };
        let before = &record.state;
        assert!(before.may_become(&next), "{worker:?}: from {before:?} to {next:?}");
        // The process that records a loss or a gap does not become the claim's worker.
        let is_check = *before == State::Attached && next == State::Attached;
        if !matches!(next, State::Lost { .. }) && !is_check {
            record.worker = Some(worker);
        }
        record.state = next;
    }
}
