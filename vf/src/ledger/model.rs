//! A model of claims, checked exhaustively: two containers, two VFs of one PF, and the processes
//! that attach, release, reconcile and repair, in every order of their steps and with a crash
//! between any two steps.
//!
//! - `world` models the state: each VF's VLAN, trust, promiscuity, netdev and record, each
//!   container's life, and each process that changes VFs.
//! - `program` models the steps of these processes, in the order of `attach`, `release`,
//!   `reconcile` and `repair`. Taking a lock, a kernel call and a change of a record are one step
//!   each.
//!
//! The model uses the real states, [`State::may_become`] and [`State::is_abandoned`].
//!
//! Bounds of the model:
//!
//! - Each container is created once, with one interface; A before B. In a world with one pod, another
//!   container joins this pod later.
//! - A container may exit at any moment. Its network namespace ends at any later time.
//! - The owners are all init processes, all network namespaces, or all pods. For a network namespace
//!   the engine starts a container as soon as the attach has answered, and without a check. A pod
//!   has a sandbox and one more container.
//! - At a time there is at most one release of each exited container, one reconcile (or `gc`) of
//!   one record, and one repair. Each may run any number of times.
//! - The tests set how many processes are killed, how many kernel calls fail or report success
//!   without effect, and how often a VF becomes blind in its container.
//!
//! Not modelled:
//!
//! - reboots, because claims and VF settings do not outlive one,
//! - several PFs, and several interfaces of a container,
//! - unreadable records and records of a newer runvf, which every process leaves alone, except that
//!   a repair replaces an unreadable record; failed writes of records,
//! - VFs that vanish, and VFs in foreign use,
//! - `runvfctl release --force`, and a network that is disconnected from a running container,
//! - the check of an attach for signs of use on a VF without a record: in the model only the record
//!   protects a VF.

mod program;
mod world;

use stateright::{Model, Property};

use crate::ledger::claim::State;
use program::Outcome;
use world::{Life, Netdev, Owner, Owners, Process, Record, Step, Vf, Worker, World};

/// A flaw that a test adds to the programs, to prove that the model finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Flaw {
    /// An attach claims a VF that has a record already.
    IgnoredRecord,
    /// An attach changes the first setting before it writes the record.
    SettingBeforeRecord,
    /// An attach moves the netdev without checking that it still has the claim.
    MovedWithoutCheck,
    /// An attach writes `attached` without checking that it still has the claim.
    AttachedWithoutCheck,
    /// The runtime starts the container without checking its claim.
    StartedWithoutCheck,
    /// A reconcile acts on the record that it read before it took the lock.
    NotRereadUnderLock,
    /// A release does not compare the nonce, so it may release another claim on the VF.
    NonceNotCompared,
    /// A record names a process by pid without start time, so a later process with the same pid
    /// counts as the same.
    WithoutStartTime,
    /// An attach binds the VF's driver without the VF's lock, so a release may free the VF before.
    BoundWithoutLock,
    /// A release removes the record while the VF has no driver.
    RemovedBeforeBind,
    /// A release removes the record before the VF has read back clean.
    RemovedBeforeVerify,
    /// A re-arm begins before the gap is on disk.
    RearmedBeforeGap,
    /// A re-arm records the counters from after it told the PF.
    CountedAfterRearm,
    /// The end of a gap is on disk before its audit entry is written.
    ClosedBeforeAudit,
    /// A network namespace that is the owner counts as gone when its processes have ended.
    NetnsJudgedByProcess,
    /// An attach for a network namespace answers before it has moved the netdev.
    AnsweredBeforeMove,
    /// A pod counts as ended when its sandbox has ended.
    PodJudgedBySandbox,
    /// The release of a pod looks for the pod's processes only before it takes the lock.
    PodNotRecheckedUnderLock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create(Owner),
    /// Another container joins the pod.
    Join(Owner),
    Check(Owner),
    Start(Owner),
    /// The container moves its netdev to the host netns.
    MoveNetdevToHost(Owner),
    InitExits(Owner),
    SandboxExits(Owner),
    NetnsEnds(Owner),
    /// The PF resets the VF.
    Reset(usize),
    /// A process in the container turns promiscuity off.
    TurnOff(usize),
    BeginRelease(Owner),
    BeginReconcile(usize),
    BeginRepair(usize),
    Step(Worker, Outcome),
    Kill(Worker),
}

/// The model, with the world that it starts from.
#[derive(Debug)]
struct Claims(World);

impl Claims {
    /// Adds the possible steps of a process.
    fn add_steps(world: &World, worker: Worker, actions: &mut Vec<Action>) {
        let Some(run) = world.run(worker) else { return };
        let is_vf_locked = run.step == Step::LockToRelease && world.is_vf_locked(run.vf);
        if !(run.step.takes_lock() && (world.is_locked() || is_vf_locked)) {
            actions.push(Action::Step(worker, Outcome::Done));
        }
        if world.faults > 0 {
            if run.step.may_be_refused() {
                actions.push(Action::Step(worker, Outcome::Refused));
            }
            if run.step.may_report_false_success() {
                actions.push(Action::Step(worker, Outcome::FalseSuccess));
            }
        }
        // Before it holds a lock, only an attach has changed anything. A crash of another process
        // there has no effect.
        let has_a_lock = run.step.is_under_lock() || run.step.is_under_vf_lock_only();
        let kill_has_effect = matches!(worker, Worker::Attach(_)) || has_a_lock;
        if world.kills > 0 && kill_has_effect {
            actions.push(Action::Kill(worker));
        }
    }

    /// Adds what a container, its network namespace and its engine may do.
    fn add_events(world: &World, owner: Owner, actions: &mut Vec<Action>) {
        match world.life(owner) {
            // Container A is created first; B before A would be the same with the names exchanged.
            Life::Absent if owner == Owner::B && world.life(Owner::A) == Life::Absent => {}
            Life::Absent => actions.push(Action::Create(owner)),
            Life::Waiting if world.may_be_checked(owner) => {
                actions.push(Action::Check(owner));
            }
            Life::Checked => actions.push(Action::Start(owner)),
            Life::Started => actions.push(Action::MoveNetdevToHost(owner)),
            Life::Dead if world.may_be_joined(owner) => actions.push(Action::Join(owner)),
            Life::Waiting | Life::WithoutVf | Life::Dead => {}
        }
        if world.life(owner).is_alive() {
            actions.push(Action::InitExits(owner));
        }
        if world.sandboxes[owner as usize] {
            actions.push(Action::SandboxExits(owner));
        }
        if world.netns_may_end(owner) {
            actions.push(Action::NetnsEnds(owner));
        }
        if world.may_be_released(owner) && world.run(Worker::Release(owner)).is_none() {
            actions.push(Action::BeginRelease(owner));
        }
    }
}

impl Model for Claims {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.0.clone()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for worker in Worker::ALL {
            Self::add_steps(world, worker, actions);
        }
        for owner in Owner::ALL {
            Self::add_events(world, owner, actions);
        }
        // The other VF would be the same with the numbers exchanged.
        if world.blinds > 0 && matches!(world.vfs[0].netdev, Netdev::Container(_)) {
            actions.extend([Action::Reset(0), Action::TurnOff(0)]);
        }
        for (vf, Vf { record, .. }) in world.vfs.iter().enumerate() {
            let idle = |worker| world.run(worker).is_none();
            if record.is_some() && idle(Worker::Reconcile) {
                actions.push(Action::BeginReconcile(vf));
            }
            let is_locked = world.is_locked() || world.is_vf_locked(vf);
            if world.is_quarantined(vf) && idle(Worker::Repair) && !is_locked {
                actions.push(Action::BeginRepair(vf));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Create(owner) => next.begin_attach(owner),
            Action::Join(owner) => {
                next.joins -= 1;
                *next.life_mut(owner) = Life::Waiting;
            }
            Action::Check(owner) => *next.life_mut(owner) = Life::Checked,
            Action::Start(owner) => *next.life_mut(owner) = Life::Started,
            Action::MoveNetdevToHost(owner) => {
                *next.life_mut(owner) = Life::WithoutVf;
                next.move_netdevs_to_host(owner);
            }
            Action::InitExits(owner) => *next.life_mut(owner) = Life::Dead,
            Action::SandboxExits(owner) => next.sandboxes[owner as usize] = false,
            Action::NetnsEnds(owner) => next.end_netns(owner),
            Action::Reset(vf) | Action::TurnOff(vf) => {
                next.blinds -= 1;
                next.make_blind(vf, matches!(action, Action::Reset(_)));
            }
            Action::BeginRelease(owner) => next.begin_release(owner, world.vf_of(owner)?),
            Action::BeginReconcile(vf) => next.begin_reconcile(vf),
            Action::BeginRepair(vf) => next.begin_repair(vf),
            Action::Step(worker, outcome) => {
                next.faults -= u8::from(outcome != Outcome::Done);
                next.step(worker, outcome);
            }
            Action::Kill(worker) => {
                next.kills -= 1;
                // `Killed` is recorded for an attach only. For the others a crash and a regular end
                // lead to the same state.
                let is_attach = matches!(worker, Worker::Attach(_));
                next.end(worker, if is_attach { Process::Killed } else { Process::Idle });
            }
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STARTS_WITH_ITS_VF, |_, world| {
                Owner::ALL.into_iter().all(|owner| has_its_vf(world, owner))
            }),
            Property::always(FREE_IS_CLEAN, |_, world: &World| {
                let is_dirty = |vf: &Vf| vf.vlan.is_some() || vf.trust || vf.dirty;
                world.vfs.iter().all(|vf| vf.record.is_some() || !is_dirty(vf))
            }),
            Property::always(FREE_IS_AT_REST, |_, world: &World| {
                let rest = Vf::clean(world.parked).netdev;
                world.vfs.iter().all(|vf| vf.record.is_some() || vf.netdev == rest)
            }),
            Property::always(ONE_OWNER, |_, world: &World| {
                world.vfs.iter().all(|vf| count_owners(world, vf) <= 1)
            }),
            Property::always(OWN_VLAN, |_, world: &World| {
                world.vfs.iter().all(|vf| match (vf.vlan, vf.netdev) {
                    (Some(vlan), Netdev::Container(owner)) => vlan == owner,
                    _ => true,
                })
            }),
            Property::always(CLEANABLE, |_, world| can_be_cleaned(world)),
            Property::always(OWNER_KEEPS_VF, |_, world| !takes_vf_of_living_owner(world)),
            Property::always(BLINDNESS_SHOWS, |_, world: &World| {
                world.vfs.iter().all(blindness_shows)
            }),
            Property::sometimes("both containers run at once", |_, world: &World| {
                world.containers == [Life::Started; 2]
            }),
            Property::sometimes("a quarantined VF is repaired", |_, world: &World| {
                world.run(Worker::Repair).is_some_and(|run| run.step == Step::Remove)
            }),
            Property::sometimes("a dead worker's claim is released", |_, world: &World| {
                world
                    .run(Worker::Reconcile)
                    .is_some_and(|run| run.step == Step::Remove && world.life(run.owner).is_alive())
            }),
            Property::sometimes("a lost VF stays claimed", |_, world: &World| {
                let is_without_vf = |owner: &Owner| world.life(*owner) == Life::WithoutVf;
                let has_lost = |owner| world.vf_of(owner).is_some_and(|vf| world.vfs[vf].is(&LOST));
                Owner::ALL.into_iter().filter(is_without_vf).any(has_lost)
            }),
            Property::sometimes(IDLE_NETNS_KEEPS_VF, |_, world: &World| {
                let is_idle = |owner: &Owner| {
                    world.life(*owner) == Life::Dead && world.netns_lives[*owner as usize]
                };
                let is_checked = world.run(Worker::Reconcile).is_some();
                let mut idle = Owner::ALL.into_iter().filter(is_idle);
                is_checked && idle.any(|owner| world.is_attached(owner))
            }),
            Property::sometimes(POD_KEEPS_VF, |_, world: &World| {
                let has_no_sandbox = |owner: &Owner| !world.sandboxes[*owner as usize];
                let runs = |owner: &Owner| world.life(*owner) == Life::Started;
                let is_checked = world.run(Worker::Reconcile).is_some();
                let mut pods = Owner::ALL.into_iter().filter(has_no_sandbox).filter(runs);
                let is_of_pods = world.owners == Owners::Pods;
                is_of_pods && is_checked && pods.any(|owner| world.is_attached(owner))
            }),
            Property::sometimes(JOINS_LATE, |_, world: &World| {
                let has_begun = world.run(Worker::Release(Owner::A)).is_some();
                world.owners == Owners::Pods && has_begun && world.life(Owner::A) == Life::Started
            }),
            Property::sometimes(
                "the container of a killed attach never starts",
                |_, world: &World| {
                    Owner::ALL.into_iter().any(|owner| {
                        *world.process(Worker::Attach(owner)) == Process::Killed
                            && world.life(owner) == Life::Waiting
                            && world.vf_of(owner).is_none()
                    })
                },
            ),
        ]
    }
}

const LOST: State = State::Lost { reason: String::new() };

// From "What must never happen" in the design.
const STARTS_WITH_ITS_VF: &str = "a container runs with its own VF, on its own VLAN";
const FREE_IS_CLEAN: &str = "a free VF has no settings of a tenant";
const FREE_IS_AT_REST: &str =
    "a free VF is in the host netns or, if VFs rest parked, has no driver";
const ONE_OWNER: &str = "no two living containers have the same VF";
const OWN_VLAN: &str = "no VLAN reaches the netns of another container";
const BLINDNESS_SHOWS: &str = "a VF that is blind, or was blind without an entry, is found";
const OWNER_KEEPS_VF: &str = "a reconcile takes no attached VF from an owner that lives";
/// Only if the owners are network namespaces.
const IDLE_NETNS_KEEPS_VF: &str = "a network namespace without a process keeps its VF";
/// Only if the owners are pods.
const POD_KEEPS_VF: &str = "a container of a pod keeps the VF after the end of its sandbox";
/// Only if a container joins a pod later.
const JOINS_LATE: &str = "a container of a pod starts after a release of the pod has begun";
const CLEANABLE: &str = "after all processes are dead, every VF can be cleaned";

/// Whether the next check finds a VF that is blind, or was blind without an audit entry.
fn blindness_shows(vf: &Vf) -> bool {
    let is_unseen = vf.is_in_use() && (!vf.promisc || vf.unrecorded);
    !is_unseen || vf.record.as_ref().is_some_and(|record| vf.seems_blind(record))
}

/// Whether a reconcile is about to release the VF of a living owner.
fn takes_vf_of_living_owner(world: &World) -> bool {
    let Some(run) = world.run(Worker::Reconcile).filter(|run| run.step == Step::Releasing) else {
        return false;
    };
    let is_held = |record: &Record| matches!(record.state, State::Attached | State::Lost { .. });
    // A container may join a pod after the pod has ended. Its own check, which waits for the lock,
    // will find no claim.
    let is_refused = |owner: Owner| {
        let ended = world.owners == Owners::Pods && !world.sandboxes[owner as usize];
        ended && world.life(owner) == Life::Waiting
    };
    let lives = |owner: Owner| world.owner_lives(owner) && !is_refused(owner);
    let record = world.vfs[run.vf].record.as_ref();
    record.is_some_and(|record| is_held(record) && lives(record.owner))
}

fn has_its_vf(world: &World, owner: Owner) -> bool {
    let life = world.life(owner);
    if !matches!(life, Life::Started | Life::WithoutVf) {
        return true;
    }
    world.vfs.iter().any(|vf| {
        let (state, netdev) = match life {
            Life::WithoutVf => (vf.is(&State::Attached) || vf.is(&LOST), Netdev::HostNetns),
            _ => (vf.is(&State::Attached), Netdev::Container(owner)),
        };
        vf.belongs_to(owner) && state && vf.is_set_for(owner) && vf.netdev == netdev
    })
}

/// Counts the living containers that have the VF: by the record, or because the netdev is in their
/// network namespace.
fn count_owners(world: &World, vf: &Vf) -> usize {
    let has_vf = |owner: Owner| vf.belongs_to(owner) || vf.netdev == Netdev::Container(owner);
    let alive = |owner: &Owner| world.life(*owner).is_alive();
    Owner::ALL.into_iter().filter(alive).filter(|owner| has_vf(*owner)).count()
}

/// Whether all VFs are free and clean after all processes and containers have died and one
/// reconcile has run to its end, with a repair of each quarantined VF. Checks this with and without
/// the containers' network namespaces; if they are the owners, only without.
fn can_be_cleaned(world: &World) -> bool {
    let mut dead = world.clone();
    for worker in Worker::ALL {
        dead.end(worker, Process::Killed);
    }
    for owner in Owner::ALL {
        *dead.life_mut(owner) = Life::Dead;
        dead.sandboxes[owner as usize] = false;
    }
    let mut without_netns = dead.clone();
    Owner::ALL.into_iter().for_each(|owner| without_netns.end_netns(owner));
    let ends = if world.by_netns() { vec![without_netns] } else { vec![dead, without_netns] };
    ends.into_iter().all(|mut world| {
        for vf in 0..world.vfs.len() {
            let worker = if world.is_quarantined(vf) {
                world.begin_repair(vf);
                Worker::Repair
            } else {
                world.begin_reconcile(vf);
                Worker::Reconcile
            };
            while world.run(worker).is_some() {
                world.step(worker, Outcome::Done);
            }
        }
        world.vfs.iter().all(|vf| *vf == Vf::clean(world.parked))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stateright::{Checker, Expectation, HasDiscoveries};

    use super::*;

    fn explore(kills: u8, faults: u8, blinds: u8) -> impl Checker<Claims> {
        let checker = Claims(World::new(kills, faults, blinds, None)).checker().spawn_bfs().join();
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        eprintln!("{states} states, {depth} deep: {kills} kills, {faults} faults, {blinds} blind");
        checker
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn all_properties_hold_with_one_crash_and_one_fault() {
        let checker = explore(1, 1, 0);
        for property in checker.model().properties() {
            match property.expectation {
                Expectation::Sometimes
                    if [IDLE_NETNS_KEEPS_VF, POD_KEEPS_VF, JOINS_LATE].contains(&property.name) => {
                }
                Expectation::Sometimes => _ = checker.assert_any_discovery(property.name),
                _ => checker.assert_no_discovery(property.name),
            }
        }
        assert!(checker.unique_state_count() > 3_000_000);
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn all_properties_hold_with_two_crashes() {
        let checker = explore(2, 0, 0);
        for property in checker.model().properties() {
            if property.expectation == Expectation::Always {
                checker.assert_no_discovery(property.name);
            }
        }
        assert!(checker.unique_state_count() > 1_500_000);
    }

    /// Once with a crash; once with a VF that becomes blind again while it is re-armed.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn all_properties_hold_with_a_blind_vf() {
        for (kills, blinds) in [(1, 1), (0, 2)] {
            let checker = explore(kills, 0, blinds);
            for property in checker.model().properties() {
                if property.expectation == Expectation::Always {
                    checker.assert_no_discovery(property.name);
                }
            }
            assert!(checker.unique_state_count() > 100_000);
        }
    }

    /// VFs rest without a driver.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn all_properties_hold_for_parked_vfs_with_one_crash() {
        let world = World::new(1, 0, 0, None).with_parked_vfs();
        let checker = Claims(world).checker().spawn_bfs().join();
        for property in checker.model().properties() {
            if property.expectation == Expectation::Always {
                checker.assert_no_discovery(property.name);
            }
        }
        assert!(checker.unique_state_count() > 100_000);
    }

    /// The owners are network namespaces, and then pods.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn all_properties_hold_for_netns_owners_and_pods() {
        for (owners, reached) in
            [(Owners::Netns, IDLE_NETNS_KEEPS_VF), (Owners::Pods, POD_KEEPS_VF)]
        {
            for (kills, faults, blinds) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
                let world = World::new(kills, faults, blinds, None).with_owners(owners);
                let checker = Claims(world).checker().spawn_bfs().join();
                for property in checker.model().properties() {
                    if property.expectation == Expectation::Always {
                        checker.assert_no_discovery(property.name);
                    }
                }
                checker.assert_any_discovery(reached);
                eprintln!("{owners:?}: {} states", checker.unique_state_count());
                assert!(checker.unique_state_count() > 10_000);
            }
        }
    }

    #[test]
    fn all_properties_hold_for_a_pod_that_a_container_joins() {
        for (kills, faults, blinds) in [(2, 0, 0), (1, 1, 0), (0, 0, 1)] {
            let world = World::new(kills, faults, blinds, None).with_joined_pod();
            let checker = Claims(world).checker().spawn_bfs().join();
            for property in checker.model().properties() {
                if property.expectation == Expectation::Always {
                    checker.assert_no_discovery(property.name);
                }
            }
            checker.assert_any_discovery(JOINS_LATE);
            eprintln!("a joined pod: {} states", checker.unique_state_count());
        }
    }

    #[test]
    fn each_flaw_is_found() {
        for (flaw, property) in [
            (Flaw::IgnoredRecord, ONE_OWNER),
            (Flaw::SettingBeforeRecord, FREE_IS_CLEAN),
            (Flaw::MovedWithoutCheck, OWN_VLAN),
            (Flaw::AttachedWithoutCheck, STARTS_WITH_ITS_VF),
            (Flaw::StartedWithoutCheck, STARTS_WITH_ITS_VF),
            (Flaw::NotRereadUnderLock, STARTS_WITH_ITS_VF),
            (Flaw::NonceNotCompared, STARTS_WITH_ITS_VF),
            (Flaw::WithoutStartTime, CLEANABLE),
            (Flaw::BoundWithoutLock, FREE_IS_AT_REST),
            (Flaw::RemovedBeforeBind, FREE_IS_AT_REST),
            (Flaw::RemovedBeforeVerify, FREE_IS_CLEAN),
            (Flaw::RearmedBeforeGap, BLINDNESS_SHOWS),
            (Flaw::CountedAfterRearm, BLINDNESS_SHOWS),
            (Flaw::ClosedBeforeAudit, BLINDNESS_SHOWS),
            (Flaw::NetnsJudgedByProcess, OWNER_KEEPS_VF),
            (Flaw::AnsweredBeforeMove, STARTS_WITH_ITS_VF),
            (Flaw::PodJudgedBySandbox, STARTS_WITH_ITS_VF),
            (Flaw::PodNotRecheckedUnderLock, STARTS_WITH_ITS_VF),
        ] {
            let found = HasDiscoveries::AllOf(BTreeSet::from([property]));
            // Only this flaw needs a failed kernel call to matter.
            let faults = u8::from(flaw == Flaw::RemovedBeforeVerify);
            // A flaw of the re-arm needs a second reset or a crash during it.
            let (kills, blinds) = match flaw {
                Flaw::CountedAfterRearm => (0, 2),
                Flaw::RearmedBeforeGap | Flaw::ClosedBeforeAudit => (1, 1),
                _ => (0, 0),
            };
            let world = World::new(kills, faults, blinds, Some(flaw));
            let owners = match flaw {
                Flaw::NetnsJudgedByProcess | Flaw::AnsweredBeforeMove => Owners::Netns,
                Flaw::PodJudgedBySandbox => Owners::Pods,
                _ => Owners::InitProcesses,
            };
            // A VF that has a driver anyway is not changed by another bind.
            let model = Claims(match flaw {
                Flaw::BoundWithoutLock => world.with_parked_vfs(),
                Flaw::PodNotRecheckedUnderLock => world.with_joined_pod(),
                _ => world.with_owners(owners),
            });
            let checker = model.checker().finish_when(found).spawn_bfs().join();
            let path = checker.discovery(property);
            let steps = path.map(|path| path.into_actions());
            eprintln!("{flaw:?}, after {} states: {steps:?}", checker.unique_state_count());
            assert!(steps.is_some(), "{flaw:?} was not found");
        }
    }
}
