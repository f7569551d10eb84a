//! What the processes do, step by step.

use super::Flaw;
use super::world::{Life, Netdev, Owner, Process, Record, Run, Step, Worker, World};
use crate::ledger::claim::{Alive, State};

/// What comes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Done,
    /// The kernel refuses.
    Fails,
    /// The kernel says that it is done, and it is not.
    Lies,
}

impl Step {
    pub(super) fn may_fail(self) -> bool {
        matches!(
            self,
            Self::SetVlan
                | Self::SetTrust
                | Self::Move
                | Self::SetUpInside
                | Self::Unbind
                | Self::Clear
                | Self::Bind
        )
    }

    pub(super) fn may_lie(self) -> bool {
        matches!(self, Self::SetVlan | Self::SetTrust | Self::Clear | Self::Disarm)
    }

    /// What comes after it if all goes well; `None` after the last.
    fn next(self, flaw: Option<Flaw>) -> Option<Self> {
        let Some(flaw) = flaw else { return self.rightly_next() };
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
            _ => return self.rightly_next(),
        };
        Some(flawed)
    }

    fn rightly_next(self) -> Option<Self> {
        Some(match self {
            Self::LockToClaim => Self::Claim,
            Self::Claim => Self::SetVlan,
            Self::SetVlan => Self::SetTrust,
            Self::SetTrust => Self::ReadBack,
            Self::ReadBack => Self::Configured,
            Self::Configured => Self::LockToMove,
            Self::LockToMove => Self::Move,
            Self::Move => Self::SetUpInside,
            Self::SetUpInside => Self::ReadBackInside,
            Self::ReadBackInside => Self::LockToAttach,
            Self::LockToAttach => Self::Attached,
            Self::Judge => Self::LockToRelease,
            Self::LockToRelease | Self::JudgeUnderLock => Self::Releasing,
            Self::Releasing => Self::Unbind,
            Self::Unbind => Self::Clear,
            Self::Clear => Self::Bind,
            Self::Bind => Self::Verify,
            Self::Verify => Self::Remove,
            Self::Disarm => Self::Quarantined,
            Self::Attached | Self::Lost | Self::Remove | Self::Quarantined => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    To(Step),
    /// Release what is on record as this attach's.
    Undo,
    End,
}

impl World {
    /// A container is made, and its attach begins.
    pub(super) fn begin_attach(&mut self, owner: Owner) {
        *self.life_mut(owner) = Life::Waiting;
        self.begin(Worker::Attach(owner), Step::LockToClaim, 0, owner);
    }

    pub(super) fn begin_release(&mut self, owner: Owner, vf: usize) {
        self.begin(Worker::Release(owner), Step::LockToRelease, vf, owner);
    }

    /// A record is read without the lock.
    pub(super) fn begin_reconcile(&mut self, vf: usize) {
        let Some(read) = self.vfs[vf].record.clone() else { return };
        let owner = read.owner;
        let run = Run { step: Step::Judge, vf, owner, read: Some(read) };
        *self.process_mut(Worker::Reconcile) = Process::Running(run);
    }

    /// The lock is taken and the record is found in quarantine.
    pub(super) fn begin_repair(&mut self, vf: usize) {
        let Some(owner) = self.vfs[vf].record.as_ref().map(|record| record.owner) else { return };
        self.begin(Worker::Repair, Step::Releasing, vf, owner);
    }

    fn begin(&mut self, worker: Worker, step: Step, vf: usize, owner: Owner) {
        *self.process_mut(worker) = Process::Running(Run { step, vf, owner, read: None });
    }

    pub(super) fn is_quarantined(&self, vf: usize) -> bool {
        let record = self.vfs[vf].record.as_ref();
        record.is_some_and(|record| matches!(record.state, State::Quarantined { .. }))
    }

    pub(super) fn is_abandoned(&self, record: &Record) -> bool {
        record.state.is_abandoned(Alive {
            boot: true,
            init: self.life(record.owner).is_alive(),
            worker: record.worker.is_some_and(|worker| self.run(worker).is_some()),
        })
    }

    /// One step of a process that is not kept from it by the lock.
    pub(super) fn step(&mut self, worker: Worker, how: How) {
        let Process::Running(mut run) = self.process(worker).clone() else { return };
        let then = match how {
            How::Done => self.done(worker, &mut run),
            How::Lies => Then::Next,
            How::Fails if run.step.is_of_attach() => Then::Undo,
            How::Fails => Then::To(Step::Disarm),
        };
        let undo = |vf| Run { step: Step::LockToRelease, vf, owner: run.owner, read: None };
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

    fn done(&mut self, worker: Worker, run: &mut Run) -> Then {
        let owner = run.owner;
        let record = |state| Some(Record { owner, state, worker: Some(worker) });
        let next_if = |fine: bool, otherwise: Then| if fine { Then::Next } else { otherwise };
        let moves_unseen = self.has(Flaw::MovedUnseen);
        let attaches_unseen = self.has(Flaw::AttachedUnseen);
        let vf = &mut self.vfs[run.vf];
        let is_ours = vf.record == record(State::Configured);
        match run.step {
            Step::LockToClaim => {
                let overwrite = self.has(Flaw::RecordOverwritten);
                let free = self.vfs.iter().position(|vf| vf.record.is_none() || overwrite);
                run.vf = free.unwrap_or_default();
                return next_if(free.is_some(), Then::End);
            }
            Step::Claim => vf.record = record(State::Claiming),
            Step::SetVlan => vf.vlan = Some(owner),
            Step::SetTrust => vf.trust = true,
            Step::ReadBack | Step::ReadBackInside => {
                return next_if(vf.is_set_for(owner), Then::Undo);
            }
            Step::LockToMove => return next_if(is_ours || moves_unseen, Then::Undo),
            Step::Move if vf.netdev == Netdev::Home => vf.netdev = Netdev::Inside(owner),
            Step::SetUpInside if vf.netdev == Netdev::Inside(owner) => vf.dirty = true,
            Step::Move | Step::SetUpInside => return Then::Undo,
            Step::LockToAttach => return next_if(is_ours || attaches_unseen, Then::Undo),
            Step::Attached if attaches_unseen => vf.record = record(State::Attached),
            Step::Judge | Step::JudgeUnderLock => return self.judge(run),
            Step::LockToRelease => return self.look_again(worker, run),
            Step::Configured => self.advance(run.vf, worker, State::Configured),
            Step::Attached => self.advance(run.vf, worker, State::Attached),
            Step::Lost => self.advance(run.vf, worker, State::Lost { reason: String::new() }),
            Step::Releasing => self.advance(run.vf, worker, State::Releasing),
            Step::Quarantined => {
                let reason = String::new();
                self.advance(run.vf, worker, State::Quarantined { reason });
            }
            Step::Unbind => vf.unbind(),
            Step::Clear | Step::Disarm => {
                vf.vlan = None;
                vf.trust = false;
            }
            Step::Bind if vf.netdev == Netdev::Gone => vf.netdev = Netdev::Home,
            Step::Bind => {}
            Step::Verify => return next_if(vf.is_clean(), Then::To(Step::Disarm)),
            Step::Remove => vf.record = None,
        }
        Then::Next
    }

    /// Whether the record that was read is abandoned, or its container has lost the VF. `gc` takes the lock for every record;
    /// where that leads to nothing, the model does without.
    fn judge(&self, run: &mut Run) -> Then {
        let Some(read) = run.read.take() else { return Then::End };
        let lost = read.state == State::Attached && self.vfs[run.vf].netdev == Netdev::Home;
        match run.step {
            _ if self.is_abandoned(&read) => Then::Next,
            Step::JudgeUnderLock if lost => Then::To(Step::Lost),
            Step::Judge if lost => Then::Next,
            _ => Then::End,
        }
    }

    /// With the lock at last: whether the claim is still the one that was seen, and for a reconciliation what it is like now.
    fn look_again(&self, worker: Worker, run: &mut Run) -> Then {
        let Some(now) = &self.vfs[run.vf].record else { return Then::End };
        let is_seen = now.owner == run.owner || self.has(Flaw::NonceNotCompared);
        if !is_seen || self.is_quarantined(run.vf) {
            return Then::End;
        }
        run.owner = now.owner;
        if worker == Worker::Reconcile && !self.has(Flaw::NotReadAgain) {
            run.read = Some(now.clone());
            return Then::To(Step::JudgeUnderLock);
        }
        Then::Next
    }

    /// As [`crate::ledger::claim::Claims::advance`].
    fn advance(&mut self, vf: usize, worker: Worker, next: State) {
        let Some(record) = &mut self.vfs[vf].record else { return };
        let before = &record.state;
        assert!(before.may_become(&next), "{worker:?}: from {before:?} to {next:?}");
        // A loss is put down by a bystander, who does not take the claim over.
        if !matches!(next, State::Lost { .. }) {
            record.worker = Some(worker);
        }
        record.state = next;
    }
}
