//! What there is: VFs with their records, containers, processes, and what the kernel does of itself.

use super::Flaw;
use crate::ledger::claim::State;

/// A container, which is also the name of the VLAN that it wants. It is attached once, so that it stands for the claim's nonce,
/// too.
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
    /// In the host's namespace.
    Home,
    Inside(Owner),
    /// There is none: the VF's driver is unbound.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Vf {
    pub(super) vlan: Option<Owner>,
    pub(super) trust: bool,
    pub(super) netdev: Netdev,
    /// The netdev is promiscuous, renamed or carries a program.
    pub(super) dirty: bool,
    pub(super) record: Option<Record>,
}

impl Vf {
    pub(super) const CLEAN: Self =
        Self { vlan: None, trust: false, netdev: Netdev::Home, dirty: false, record: None };

    pub(super) fn is_clean(&self) -> bool {
        Self { record: None, ..self.clone() } == Self::CLEAN
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
        self.netdev = Netdev::Gone;
        self.dirty = false;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) owner: Owner,
    pub(super) state: State,
    /// `None`: it is no more. Whoever takes its place later is another process.
    pub(super) worker: Option<Worker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Absent,
    /// Its init process is there and waits.
    Waiting,
    /// The runtime has found its VF attached and is about to start it.
    Checked,
    Started,
    /// Started, and it has sent its netdev to the host's namespace.
    Bereft,
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
    /// Not begun, or ended by itself.
    Idle,
    Running(Run),
    Killed,
}

/// Where a process is in its program, and what it remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    /// To be taken next.
    pub(super) step: Step,
    pub(super) vf: usize,
    /// Of the claim that it is about.
    pub(super) owner: Owner,
    /// The record as it was read, until it has been judged.
    pub(super) read: Option<Record>,
}

/// Taking a lock includes what is then read of the records, since they do not change under it; the last step under a lock
/// includes giving it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    LockToClaim,
    Claim,
    SetVlan,
    SetTrust,
    ReadBack,
    Configured,
    LockToMove,
    Move,
    SetUpInside,
    ReadBackInside,
    LockToAttach,
    Attached,
    /// Whether a record that was read without the lock looks abandoned.
    Judge,
    LockToRelease,
    JudgeUnderLock,
    Lost,
    Releasing,
    Unbind,
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
            Self::LockToClaim | Self::LockToMove | Self::LockToAttach | Self::LockToRelease
        )
    }

    pub(super) fn is_of_attach(self) -> bool {
        self < Self::Judge
    }

    pub(super) fn is_under_lock(self) -> bool {
        !self.takes_lock()
            && !matches!(self, Self::SetUpInside | Self::ReadBackInside | Self::Judge)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) vfs: [Vf; 2],
    pub(super) containers: [Life; 2],
    pub(super) processes: [Process; 6],
    /// How much may still go wrong.
    pub(super) kills: u8,
    pub(super) faults: u8,
    /// The same all the way.
    pub(super) flaw: Option<Flaw>,
}

impl World {
    pub(super) fn new(kills: u8, faults: u8, flaw: Option<Flaw>) -> Self {
        Self {
            vfs: [const { Vf::CLEAN }; 2],
            containers: [Life::Absent; 2],
            processes: [const { Process::Idle }; 6],
            kills,
            faults,
            flaw,
        }
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

    /// The process ends by itself or is killed.
    pub(super) fn end(&mut self, worker: Worker, how: Process) {
        *self.process_mut(worker) = how;
        if self.has(Flaw::PidAlone) {
            return;
        }
        let on_disk = self.vfs.iter_mut().filter_map(|vf| vf.record.as_mut());
        let in_mind = self.processes.iter_mut().filter_map(|process| match process {
            Process::Running(run) => run.read.as_mut(),
            _ => None,
        });
        for record in on_disk.chain(in_mind) {
            record.worker = record.worker.filter(|named| *named != worker);
        }
    }

    pub(super) fn life(&self, owner: Owner) -> Life {
        self.containers[owner as usize]
    }

    pub(super) fn life_mut(&mut self, owner: Owner) -> &mut Life {
        &mut self.containers[owner as usize]
    }

    /// The file lock goes with its process, so it is held as long as somebody is where it is needed.
    pub(super) fn is_locked(&self) -> bool {
        Worker::ALL
            .into_iter()
            .filter_map(|worker| self.run(worker))
            .any(|run| run.step.is_under_lock())
    }

    pub(super) fn vf_of(&self, owner: Owner) -> Option<usize> {
        self.vfs.iter().position(|vf| vf.belongs_to(owner))
    }

    /// The runtime's question right before the start, see `check_attached`.
    pub(super) fn is_attached(&self, owner: Owner) -> bool {
        self.vfs.iter().any(|vf| {
            vf.belongs_to(owner)
                && vf.is(&State::Attached)
                && vf.is_set_for(owner)
                && vf.netdev == Netdev::Inside(owner)
        })
    }

    /// Whether the kernel may take a container's namespace down. An attach that has it open keeps it.
    pub(super) fn may_lose_netns(&self, owner: Owner) -> bool {
        self.life(owner) == Life::Dead
            && self.run(Worker::Attach(owner)).is_none()
            && self.vfs.iter().any(|vf| vf.netdev == Netdev::Inside(owner))
    }

    /// Netdevs of a namespace that ends come home as they are.
    pub(super) fn lose_netns(&mut self, owner: Owner) {
        for vf in &mut self.vfs {
            if vf.netdev == Netdev::Inside(owner) {
                vf.netdev = Netdev::Home;
            }
        }
    }
}
