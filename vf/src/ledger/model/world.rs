//! The state of the model: VFs with their records, containers, processes, and what the kernel does
//! by itself.

use super::Flaw;
use crate::ledger::claim::State;

/// A container. It also stands for the VLAN that the container wants, and for the claim's nonce,
/// because each container is attached once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    A,
    B,
}

impl Owner {
    pub(super) const ALL: [Self; 2] = [Self::A, Self::B];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Netdev {
    HostNetns,
    /// In the network namespace of this container.
    Container(Owner),
    /// The VF driver is unbound, so there is no netdev.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Vf {
    pub(super) vlan: Option<Owner>,
    pub(super) trust: bool,
    pub(super) netdev: Netdev,
    /// The netdev is promiscuous, is renamed or has an XDP program.
    pub(super) dirty: bool,
    /// The PF treats the VF as promiscuous.
    pub(super) promisc: bool,
    /// The promiscuous flag of the netdev, which a reset does not change.
    pub(super) flag: bool,
    /// The carrier counters of the netdev: how often the VF was reset.
    pub(super) resets: u8,
    /// The VF was blind, and no audit entry says so.
    pub(super) unrecorded: bool,
    pub(super) record: Option<Record>,
}

impl Vf {
    /// A free VF. `parked`: VFs rest without a driver.
    pub(super) const fn clean(parked: bool) -> Self {
        Self {
            vlan: None,
            trust: false,
            netdev: if parked { Netdev::Missing } else { Netdev::HostNetns },
            dirty: false,
            promisc: false,
            flag: false,
            resets: 0,
            unrecorded: false,
            record: None,
        }
    }

    pub(super) fn is_clean(&self, parked: bool) -> bool {
        Self { record: None, ..self.clone() } == Self::clean(parked)
    }

    pub(super) fn is_set_for(&self, owner: Owner) -> bool {
        self.vlan == Some(owner) && self.trust
    }

    pub(super) fn is(&self, state: &State) -> bool {
        self.record.as_ref().is_some_and(|record| record.state == *state)
    }

    pub(super) fn belongs_to(&self, owner: Owner) -> bool {
        self.record.as_ref().is_some_and(|record| record.owner == owner)
    }

    pub(super) fn unbind(&mut self) {
        self.netdev = Netdev::Missing;
        self.dirty = false;
        self.forget();
    }

    pub(super) fn bind(&mut self) {
        if self.netdev == Netdev::Missing {
            self.netdev = Netdev::HostNetns;
        }
    }

    /// Binding the driver creates a new netdev.
    fn forget(&mut self) {
        (self.promisc, self.flag, self.resets, self.unrecorded) = (false, false, 0, false);
    }

    /// Whether the VF is attached and in the netns of its container.
    pub(super) fn is_in_use(&self) -> bool {
        let is_own = |record: &Record| {
            record.state == State::Attached && self.netdev == Netdev::Container(record.owner)
        };
        self.record.as_ref().is_some_and(is_own)
    }

    /// Whether a check finds that the VF may be blind: see `blindness::cause`.
    pub(super) fn seems_blind(&self, record: &Record) -> bool {
        record.gap || !self.flag || record.resets != Some(self.resets)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) owner: Owner,
    pub(super) state: State,
    /// `None`: that process has ended. A later process of the same kind is another process.
    pub(super) worker: Option<Worker>,
    /// The counters when the PF was last told. `None`: it was not yet.
    pub(super) resets: Option<u8>,
    /// A gap that has not ended.
    pub(super) gap: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Absent,
    /// The init process exists and waits.
    Waiting,
    /// The runtime has checked that the VF is attached, and is about to start the container.
    Checked,
    Started,
    /// The container was started and has moved its netdev to the host netns.
    WithoutVf,
    Dead,
}

impl Life {
    pub(super) fn is_alive(self) -> bool {
        !matches!(self, Self::Absent | Self::Dead)
    }
}

/// A process that changes VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    Attach(Owner),
    Release(Owner),
    Reconcile,
    Repair,
}

impl Worker {
    pub(super) const ALL: [Self; 6] = [
        Self::Attach(Owner::A),
        Self::Attach(Owner::B),
        Self::Release(Owner::A),
        Self::Release(Owner::B),
        Self::Reconcile,
        Self::Repair,
    ];

    fn index(self) -> usize {
        match self {
            Self::Attach(owner) => owner as usize,
            Self::Release(owner) => 2 + owner as usize,
            Self::Reconcile => 4,
            Self::Repair => 5,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Process {
    /// Not begun, or ended regularly.
    Idle,
    Running(Run),
    Killed,
}

/// The position of a process in its program, and its memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    /// The next step.
    pub(super) step: Step,
    pub(super) vf: usize,
    /// The owner of the claim that the process works on.
    pub(super) owner: Owner,
    /// The record that was read, until it has been checked.
    pub(super) read: Option<Record>,
    /// The counters that were read before the PF was told.
    pub(super) resets: Option<u8>,
}

/// A step of a program. A step that takes a lock includes the reads of records that follow, because
/// records do not change while the lock is held. The last step under a lock includes its release.
/// The lock is the PF's, unless a method says VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    LockToClaim,
    Claim,
    SetVlan,
    SetTrust,
    ReadBack,
    BindToMove,
    LockToMove,
    Configured,
    Move,
    /// Sets the flags, and reads the counters.
    SetUpInside,
    /// The VF driver tells the PF about promiscuity.
    TellPf,
    ReadBackInside,
    LockToAttach,
    Attached,
    /// Checks without the lock whether the record is abandoned.
    CheckAbandoned,
    LockToRelease,
    CheckAbandonedUnderLock,
    Lost,
    OpenGap,
    ReadCounters,
    Rearm,
    AuditGap,
    CloseGap,
    Releasing,
    Unbind,
    LockToClear,
    LockToDisarm,
    Clear,
    Bind,
    Verify,
    Remove,
    Disarm,
    Quarantined,
}

impl Step {
    pub(super) fn takes_lock(self) -> bool {
        matches!(
            self,
            Self::LockToClaim
                | Self::LockToMove
                | Self::LockToAttach
                | Self::LockToRelease
                | Self::LockToClear
                | Self::LockToDisarm
        )
    }

    /// Whether the process has the VF's lock, but not the PF's.
    pub(super) fn is_under_vf_lock_only(self) -> bool {
        matches!(self, Self::BindToMove | Self::Unbind | Self::LockToClear | Self::LockToDisarm)
    }

    pub(super) fn is_of_attach(self) -> bool {
        self < Self::CheckAbandoned
    }

    pub(super) fn is_under_lock(self) -> bool {
        !self.takes_lock()
            && !self.is_under_vf_lock_only()
            && !matches!(
                self,
                Self::SetUpInside | Self::TellPf | Self::ReadBackInside | Self::CheckAbandoned
            )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) vfs: [Vf; 2],
    pub(super) containers: [Life; 2],
    pub(super) processes: [Process; 6],
    /// The number of processes that may still be killed.
    pub(super) kills: u8,
    /// The number of kernel calls that may still fail.
    pub(super) faults: u8,
    /// How often a VF may still become blind.
    pub(super) blinds: u8,
    /// VFs rest without a driver. Does not change during a run, nor does the flaw.
    pub(super) parked: bool,
    pub(super) flaw: Option<Flaw>,
}

impl World {
    pub(super) fn new(kills: u8, faults: u8, blinds: u8, flaw: Option<Flaw>) -> Self {
        Self {
            vfs: [const { Vf::clean(false) }; 2],
            containers: [Life::Absent; 2],
            processes: [const { Process::Idle }; 6],
            kills,
            faults,
            blinds,
            parked: false,
            flaw,
        }
    }

    /// The same world with VFs that rest without a driver.
    pub(super) fn with_parked_vfs(self) -> Self {
        Self { vfs: [const { Vf::clean(true) }; 2], parked: true, ..self }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(super) fn process(&self, worker: Worker) -> &Process {
        &self.processes[worker.index()]
    }

    pub(super) fn process_mut(&mut self, worker: Worker) -> &mut Process {
        &mut self.processes[worker.index()]
    }

    pub(super) fn run(&self, worker: Worker) -> Option<&Run> {
        match self.process(worker) {
            Process::Running(run) => Some(run),
            _ => None,
        }
    }

    /// Ends a process: `state` is [`Process::Idle`] or [`Process::Killed`].
    pub(super) fn end(&mut self, worker: Worker, state: Process) {
        *self.process_mut(worker) = state;
        if self.has(Flaw::WithoutStartTime) {
            return;
        }
        let on_disk = self.vfs.iter_mut().filter_map(|vf| vf.record.as_mut());
        let in_memory = self.processes.iter_mut().filter_map(|process| match process {
            Process::Running(run) => run.read.as_mut(),
            _ => None,
        });
        for record in on_disk.chain(in_memory) {
            record.worker = record.worker.filter(|recorded| *recorded != worker);
        }
    }

    pub(super) fn life(&self, owner: Owner) -> Life {
        self.containers[owner as usize]
    }

    pub(super) fn life_mut(&mut self, owner: Owner) -> &mut Life {
        &mut self.containers[owner as usize]
    }

    /// A file lock ends with its process, so the lock is held exactly while a process is at a step
    /// that needs it.
    pub(super) fn is_locked(&self) -> bool {
        Worker::ALL
            .into_iter()
            .filter_map(|worker| self.run(worker))
            .any(|run| run.step.is_under_lock())
    }

    /// Whether a process works on the VF without the PF's lock.
    pub(super) fn is_vf_locked(&self, vf: usize) -> bool {
        Worker::ALL.into_iter().filter_map(|worker| self.run(worker)).any(|run| {
            let is_without_lock = run.step == Step::BindToMove && self.has(Flaw::BoundWithoutLock);
            run.vf == vf && run.step.is_under_vf_lock_only() && !is_without_lock
        })
    }

    /// A VF in a container becomes blind: the PF resets it, or a process in the container turns
    /// promiscuity off. During an attach that is no gap, because the container does not run yet.
    pub(super) fn make_blind(&mut self, vf: usize, by_reset: bool) {
        let vf = &mut self.vfs[vf];
        vf.promisc = false;
        vf.unrecorded |= vf.is_in_use();
        match by_reset {
            true => vf.resets += 1,
            false => vf.flag = false,
        }
    }

    pub(super) fn vf_of(&self, owner: Owner) -> Option<usize> {
        self.vfs.iter().position(|vf| vf.belongs_to(owner))
    }

    /// The check of the runtime right before the start: see `check_attached`.
    pub(super) fn is_attached(&self, owner: Owner) -> bool {
        self.vfs.iter().any(|vf| {
            vf.belongs_to(owner)
                && vf.is(&State::Attached)
                && vf.is_set_for(owner)
                && vf.netdev == Netdev::Container(owner)
        })
    }

    /// Whether a container's network namespace may end. A running attach keeps it open.
    pub(super) fn netns_may_end(&self, owner: Owner) -> bool {
        self.life(owner) == Life::Dead
            && self.run(Worker::Attach(owner)).is_none()
            && self.vfs.iter().any(|vf| vf.netdev == Netdev::Container(owner))
    }

    /// Ends a network namespace: its netdevs move to the host netns with their settings.
    pub(super) fn end_netns(&mut self, owner: Owner) {
        for vf in &mut self.vfs {
            if vf.netdev == Netdev::Container(owner) {
                vf.netdev = Netdev::HostNetns;
            }
        }
    }
}
