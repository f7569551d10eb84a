//! The life of claims, explored to the end: every order in which two containers, two VFs of one PF and whoever cleans up
//! after them can meet, with a crash between any two steps.
//!
//! Modelled, in `world`: each VF's VLAN, trust, netdev and record, each container's life, and each process that changes
//! VFs; in `program`: what these processes do, in the order of `attach`, `release`, `reconcile` and `repair`. Taking a lock,
//! a kernel call and a change of a record are one step each. States of records, their arrows and what is abandoned are
//! those of [`crate::claim`] itself.
//!
//! Bounds: each container is created once, with one interface, A before B; at a time there is one release of each container
//! once it has ended, one reconciliation or `gc` of one record and one repair, each any number of times; as many processes are
//! killed and kernel calls refused, or acknowledged and not done, as the tests say. Containers may end at any moment, and
//! their namespaces any time later.
//!
//! Left out: reboots (nothing of all this outlives one), several PFs and interfaces, unreadable records and failing
//! writes of them, VFs that vanish or that something else than runvf uses, and `runvfctl release --force`. Neither does an
//! attach look whether a VF without a record seems to be in use: here, the record alone has to keep it from that.

mod program;
mod world;

use stateright::{Model, Property};

use crate::ledger::claim::State;
use program::How;
use world::{Life, Netdev, Owner, Process, Step, Vf, Worker, World};

/// What the model can be made to do wrong, to see that it would be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Flaw {
    /// A VF is claimed whatever record there is on it.
    RecordOverwritten,
    /// The first setting is changed before the record is written.
    SettingBeforeRecord,
    /// The netdev is moved without a look whether the claim still stands.
    MovedUnseen,
    /// The claim is called attached without a look whether it still stands.
    AttachedUnseen,
    /// The container is started without a look at its claim.
    StartedUnseen,
    /// A reconciliation trusts what it read before it had the lock.
    NotReadAgain,
    /// A release takes whatever claim is on the VF for the one that it has seen.
    NonceNotCompared,
    /// A process is known by its pid, which another may have after it.
    PidAlone,
    /// The record goes while the VF has no driver.
    RemovedBeforeBind,
    /// The record goes before the VF has been read back.
    RemovedBeforeVerify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create(Owner),
    Check(Owner),
    Start(Owner),
    /// The container sends its netdev to the host's namespace.
    SendHome(Owner),
    InitDies(Owner),
    NetnsDies(Owner),
    BeginRelease(Owner),
    BeginReconcile(usize),
    BeginRepair(usize),
    Step(Worker, How),
    Kill(Worker),
}

/// From which world it begins.
#[derive(Debug)]
struct Claims(World);

impl Claims {
    fn steps(world: &World, worker: Worker, actions: &mut Vec<Action>) {
        let Some(run) = world.run(worker) else { return };
        if !(run.step.takes_lock() && world.is_locked()) {
            actions.push(Action::Step(worker, How::Done));
        }
        if world.faults > 0 {
            if run.step.may_fail() {
                actions.push(Action::Step(worker, How::Fails));
            }
            if run.step.may_lie() {
                actions.push(Action::Step(worker, How::Lies));
            }
        }
        // Who is about to release has done nothing yet that others could see, and may as well never have begun.
        let matters = matches!(worker, Worker::Attach(_)) || run.step.is_under_lock();
        if world.kills > 0 && matters {
            actions.push(Action::Kill(worker));
        }
    }

    fn around(world: &World, owner: Owner, actions: &mut Vec<Action>) {
        match world.life(owner) {
            // A is who comes first.
            Life::Absent if owner == Owner::B && world.life(Owner::A) == Life::Absent => {}
            Life::Absent => actions.push(Action::Create(owner)),
            Life::Waiting if world.is_attached(owner) || world.has(Flaw::StartedUnseen) => {
                actions.push(Action::Check(owner));
            }
            Life::Checked => actions.push(Action::Start(owner)),
            Life::Started => actions.push(Action::SendHome(owner)),
            Life::Waiting | Life::Bereft | Life::Dead => {}
        }
        if world.life(owner).is_alive() {
            actions.push(Action::InitDies(owner));
        }
        if world.may_lose_netns(owner) {
            actions.push(Action::NetnsDies(owner));
        }
        let is_over = world.life(owner) == Life::Dead && world.vf_of(owner).is_some();
        if is_over && world.run(Worker::Release(owner)).is_none() {
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
            Self::steps(world, worker, actions);
        }
        for owner in Owner::ALL {
            Self::around(world, owner, actions);
        }
        for (vf, Vf { record, .. }) in world.vfs.iter().enumerate() {
            let idle = |worker| world.run(worker).is_none();
            if record.is_some() && idle(Worker::Reconcile) {
                actions.push(Action::BeginReconcile(vf));
            }
            if world.is_quarantined(vf) && idle(Worker::Repair) && !world.is_locked() {
                actions.push(Action::BeginRepair(vf));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Create(owner) => next.begin_attach(owner),
            Action::Check(owner) => *next.life_mut(owner) = Life::Checked,
            Action::Start(owner) => *next.life_mut(owner) = Life::Started,
            Action::SendHome(owner) => {
                *next.life_mut(owner) = Life::Bereft;
                next.lose_netns(owner);
            }
            Action::InitDies(owner) => *next.life_mut(owner) = Life::Dead,
            Action::NetnsDies(owner) => next.lose_netns(owner),
            Action::BeginRelease(owner) => next.begin_release(owner, world.vf_of(owner)?),
            Action::BeginReconcile(vf) => next.begin_reconcile(vf),
            Action::BeginRepair(vf) => next.begin_repair(vf),
            Action::Step(worker, how) => {
                next.faults -= u8::from(how != How::Done);
                next.step(worker, how);
            }
            Action::Kill(worker) => {
                next.kills -= 1;
                // Of the others, nobody can tell whether they have ended by themselves.
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
                let carries = |vf: &Vf| vf.vlan.is_some() || vf.trust || vf.dirty;
                world.vfs.iter().all(|vf| vf.record.is_some() || !carries(vf))
            }),
            Property::always(NOT_FORGOTTEN, |_, world: &World| {
                world.vfs.iter().all(|vf| vf.record.is_some() || vf.netdev == Netdev::Home)
            }),
            Property::always(ONE_HOLDER, |_, world: &World| {
                world.vfs.iter().all(|vf| holders(world, vf) <= 1)
            }),
            Property::always(OWN_VLAN, |_, world: &World| {
                world.vfs.iter().all(|vf| match (vf.vlan, vf.netdev) {
                    (Some(vlan), Netdev::Inside(owner)) => vlan == owner,
                    _ => true,
                })
            }),
            Property::always(CONVERGES, |_, world| comes_clean(world)),
            Property::sometimes("both containers run at once", |_, world: &World| {
                world.containers == [Life::Started; 2]
            }),
            Property::sometimes("a VF in quarantine is repaired", |_, world: &World| {
                world.run(Worker::Repair).is_some_and(|run| run.step == Step::Remove)
            }),
            Property::sometimes("a dead worker's claim is released", |_, world: &World| {
                world
                    .run(Worker::Reconcile)
                    .is_some_and(|run| run.step == Step::Remove && world.life(run.owner).is_alive())
            }),
            Property::sometimes("a lost VF is kept from others", |_, world: &World| {
                let bereft = |owner: &Owner| world.life(*owner) == Life::Bereft;
                let has_lost = |owner| world.vf_of(owner).is_some_and(|vf| world.vfs[vf].is(&LOST));
                Owner::ALL.into_iter().filter(bereft).any(has_lost)
            }),
            Property::sometimes("a killed attach's container waits in vain", |_, world: &World| {
                Owner::ALL.into_iter().any(|owner| {
                    *world.process(Worker::Attach(owner)) == Process::Killed
                        && world.life(owner) == Life::Waiting
                        && world.vf_of(owner).is_none()
                })
            }),
        ]
    }
}

const LOST: State = State::Lost { reason: String::new() };

// After "What must never happen" in the design.
const STARTS_WITH_ITS_VF: &str = "a container runs with its own VF, on its own VLAN";
const FREE_IS_CLEAN: &str = "no VF is free while it carries anything of a tenant";
const NOT_FORGOTTEN: &str = "no claim is forgotten while its VF is not at home";
const ONE_HOLDER: &str = "no two living containers hold one VF";
const OWN_VLAN: &str = "no VLAN reaches another's namespace";
const CONVERGES: &str = "what the dead leave behind can be cleaned";

fn has_its_vf(world: &World, owner: Owner) -> bool {
    let life = world.life(owner);
    if !matches!(life, Life::Started | Life::Bereft) {
        return true;
    }
    world.vfs.iter().any(|vf| {
        let (state, netdev) = match life {
            Life::Bereft => (vf.is(&State::Attached) || vf.is(&LOST), Netdev::Home),
            _ => (vf.is(&State::Attached), Netdev::Inside(owner)),
        };
        vf.belongs_to(owner) && state && vf.is_set_for(owner) && vf.netdev == netdev
    })
}

/// Living containers that have the VF by the record's word or by the kernel's.
fn holders(world: &World, vf: &Vf) -> usize {
    let holds = |owner: Owner| vf.belongs_to(owner) || vf.netdev == Netdev::Inside(owner);
    let alive = |owner: &Owner| world.life(*owner).is_alive();
    Owner::ALL.into_iter().filter(alive).filter(|owner| holds(*owner)).count()
}

/// Whether everything is free and clean once everybody is dead and one reconciliation, with a repair of what is in quarantine,
/// has run to its end; be the containers' namespaces gone by then or not.
fn comes_clean(world: &World) -> bool {
    let mut dead = world.clone();
    for worker in Worker::ALL {
        dead.end(worker, Process::Killed);
    }
    for owner in Owner::ALL {
        *dead.life_mut(owner) = Life::Dead;
    }
    let mut without_netns = dead.clone();
    Owner::ALL.into_iter().for_each(|owner| without_netns.lose_netns(owner));
    [dead, without_netns].into_iter().all(|mut left| {
        for vf in 0..left.vfs.len() {
            let worker = if left.is_quarantined(vf) {
                left.begin_repair(vf);
                Worker::Repair
            } else {
                left.begin_reconcile(vf);
                Worker::Reconcile
            };
            while left.run(worker).is_some() {
                left.step(worker, How::Done);
            }
        }
        left.vfs == [Vf::CLEAN, Vf::CLEAN]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stateright::{Checker, Expectation, HasDiscoveries};

    use super::*;

    fn explore(kills: u8, faults: u8) -> impl Checker<Claims> {
        let checker = Claims(World::new(kills, faults, None)).checker().spawn_bfs().join();
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        eprintln!("{states} states, {depth} deep, with {kills} killed and {faults} refused");
        checker
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn nothing_that_must_never_happen_does() {
        let checker = explore(1, 1);
        checker.assert_properties();
        assert!(checker.unique_state_count() > 3_000_000);
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
    fn nor_does_it_after_a_second_crash() {
        let checker = explore(2, 0);
        for property in checker.model().properties() {
            if property.expectation == Expectation::Always {
                checker.assert_no_discovery(property.name);
            }
        }
        assert!(checker.unique_state_count() > 1_500_000);
    }

    #[test]
    fn each_flaw_is_found() {
        for (flaw, property) in [
            (Flaw::RecordOverwritten, ONE_HOLDER),
            (Flaw::SettingBeforeRecord, FREE_IS_CLEAN),
            (Flaw::MovedUnseen, OWN_VLAN),
            (Flaw::AttachedUnseen, STARTS_WITH_ITS_VF),
            (Flaw::StartedUnseen, STARTS_WITH_ITS_VF),
            (Flaw::NotReadAgain, STARTS_WITH_ITS_VF),
            (Flaw::NonceNotCompared, STARTS_WITH_ITS_VF),
            (Flaw::PidAlone, CONVERGES),
            (Flaw::RemovedBeforeBind, NOT_FORGOTTEN),
            (Flaw::RemovedBeforeVerify, FREE_IS_CLEAN),
        ] {
            let found = HasDiscoveries::AllOf(BTreeSet::from([property]));
            // Only the last one needs something else to go wrong.
            let faults = u8::from(flaw == Flaw::RemovedBeforeVerify);
            let model = Claims(World::new(0, faults, Some(flaw)));
            let checker = model.checker().finish_when(found).spawn_bfs().join();
            let path = checker.discovery(property);
            let steps = path.map(|path| path.into_actions());
            eprintln!("{flaw:?}, after {} states: {steps:?}", checker.unique_state_count());
            assert!(steps.is_some(), "{flaw:?} goes unnoticed");
        }
    }
}
