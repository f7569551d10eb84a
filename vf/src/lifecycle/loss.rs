//! Loss: detect that a running container no longer has its VF as claimed, and react.

use std::time::Duration;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::netns_life::{Effort, find_netns, kill_processes_in, processes_in};
use crate::kernel::retry::is_busy;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::now;
use crate::kernel::vf_settings::{LinkState, Settings};
use crate::ledger::audit;
use crate::ledger::audit::Entry;
use crate::ledger::claim::{Claim, Owner, State};
use crate::ledger::claims::Claims;
use crate::lifecycle::blindness::{Manner, Sight, check_sight};
use crate::lifecycle::claim_lock::ClaimLock;
use crate::lifecycle::disarm::disarm_if_armed;
use crate::lifecycle::outcome::Outcome;
use crate::lifecycle::ownership::{foreign_netns, foreign_owner};
use crate::nic::diff::{changed_outside_runvf, to_set_back};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::locate::{Location, locate};
use crate::nic::vf_config::{check_pci_address, converge_from, find_pf, read_settings};
use crate::nic::vfio;
use crate::policy::config::OnLoss;

/// Checks the VF of a claim that is not abandoned.
///
/// - Attached: VLAN and trust that another tool has changed are set back, and a VF that may not be
///   promiscuous any more is re-armed. If the container no longer has the VF, or one of both cannot
///   be done, the VF becomes lost.
/// - Lost: the VF is unbound if the container still has it with changed settings, and the
///   container is stopped unless the pool has `on_loss = "keep"`.
/// - Quarantined: the VF is disarmed again if it has a VLAN or trust.
pub(super) fn handle_loss(
    host: &Host,
    seen: &Claim,
    _lock: &ClaimLock<'_>,
) -> Result<Option<Outcome>, Error> {
    match inspect(host, seen)? {
        Inspected::Settled(outcome) => Ok(outcome),
        Inspected::Attached(mut vf) => {
            let sight = vf.check_sight(host, Manner::GC)?;
            vf.conclude(host, sight)
        }
    }
}

/// What a check has found before it looks at the promiscuity of the VF.
pub(super) enum Inspected {
    /// The check has ended.
    Settled(Option<Outcome>),
    Attached(Box<AttachedVf>),
}

/// A VF that its container has, with VLAN and trust as claimed.
pub(super) struct AttachedVf {
    claim: Claim,
    netns: Netns,
    /// The change by another tool that was set back just now.
    set_back: Option<String>,
}

impl AttachedVf {
    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(super) fn set_back(&self) -> Option<&str> {
        self.set_back.as_deref()
    }

    /// Re-arms the VF if it may be blind. It touches only this VF and its claim, so it may run for
    /// several VFs of a PF at once.
    pub(super) fn check_sight(&mut self, host: &Host, manner: Manner) -> Result<Sight, Error> {
        let (sysfs, claims) = (Sysfs(host.sysfs.clone()), Claims::open(&host.run)?);
        let resets_vf = driver(sysfs.driver(&self.claim.pf).as_deref()).config_resets_vf;
        let reset_by = self.set_back.as_deref().filter(|_| resets_vf);
        check_sight(host, &sysfs, &claims, &mut self.claim, (&self.netns, reset_by), manner)
    }

    /// The outcome. A VF that cannot be re-armed becomes lost.
    pub(super) fn conclude(self, host: &Host, sight: Sight) -> Result<Option<Outcome>, Error> {
        Ok(match (sight, self.set_back) {
            (Sight::Lost(reason), _) => Some(react_to_loss(host, self.claim, reason)?),
            (Sight::Blind(reason), _) => Some(Outcome::Blind(reason)),
            (_, Some(difference)) => Some(Outcome::SetBack(difference)),
            (Sight::Rearmed(reason), None) => Some(Outcome::Rearmed(reason)),
            (Sight::Promiscuous, None) => None,
        })
    }
}

/// The part of [`handle_loss`] before the check of the promiscuity. The caller has the PF's lock.
pub(super) fn inspect(host: &Host, seen: &Claim) -> Result<Inspected, Error> {
    let settled = |outcome| Ok(Inspected::Settled(outcome));
    let mut claim = match Claims::open(&host.run)?.get(&seen.vf) {
        Ok(Some(now)) if now.nonce == seen.nonce => now,
        _ => return settled(None),
    };
    let sysfs = Sysfs(host.sysfs.clone());
    let reason = match &claim.state {
        State::Lost { reason } => reason.clone(),
        State::Quarantined { .. } => {
            // The VF may have been destroyed and created again, and be foreign now.
            if matches!(foreign_owner(&sysfs, &claim, Duration::ZERO), Ok(None)) {
                disarm_if_armed(&sysfs, &claim);
            }
            return settled(None);
        }
        State::Attached if claim.iommu_group.is_some() => {
            match check_vfio(host, &sysfs, &mut claim)? {
                Ok(outcome) => return settled(outcome),
                Err(reason) => reason,
            }
        }
        State::Attached => match check_settings(host, &sysfs, &mut claim)? {
            Ok((netns, set_back)) => {
                let vf = AttachedVf { claim, netns, set_back };
                return Ok(Inspected::Attached(Box::new(vf)));
            }
            Err(reason) => reason,
        },
        _ => return settled(None),
    };
    settled(Some(react_to_loss(host, claim, reason)?))
}

/// Records the loss, and stops the container unless the pool says otherwise.
fn react_to_loss(host: &Host, mut claim: Claim, reason: String) -> Result<Outcome, Error> {
    let is_new = claim.state == State::Attached;
    if is_new {
        // An audit entry that cannot be written is no error here: the claim has the reason.
        let _ = audit::append_or_spool(host, &Entry::lost(&claim, &reason));
        Claims::open(&host.run)?.advance(&mut claim, State::Lost { reason: reason.clone() })?;
    }
    let sysfs = Sysfs(host.sysfs.clone());
    // To unbind vfio-pci would wait for the program, which could see another VLAN meanwhile.
    let must_stop = claim.iommu_group.is_some() && is_changed(&sysfs, &claim);
    if claim.iommu_group.is_none() {
        unbind_changed_vf(&sysfs, &claim);
    }
    let consequence = match claim.on_loss {
        OnLoss::Keep if !must_stop => "its container keeps running",
        OnLoss::Keep | OnLoss::Stop => stop(&claim)?,
    };
    let text = format!("{reason}; {consequence}");
    Ok(if is_new { Outcome::Lost(text) } else { Outcome::StillLost(text) })
}

/// Stops the sensor of a lost VF, because a blind sensor looks like peace. Returns what was done.
///
/// Where the owner is a network namespace, runvf knows no container. Where it is the sandbox of a
/// pod, the sensor is another container of the pod. In both cases, all processes in the namespace
/// are stopped: the sensor is among them, and each of them could see the VF's frames.
fn stop(claim: &Claim) -> Result<&'static str, Error> {
    match claim.owner() {
        Owner::Init(init) if claim.pod.is_none() => {
            init.kill().map(|()| "its container was stopped")
        }
        Owner::Init(init) => {
            init.kill()?;
            kill_processes_in(claim.netns).map(|()| "the containers of its pod were stopped")
        }
        Owner::Netns(netns) => {
            kill_processes_in(netns).map(|()| "the processes in its network namespace were stopped")
        }
    }
}

/// Records since when the owner of an attached claim, a network namespace, has no process. It may
/// get one later: an engine asks for the VF before it starts the container.
fn record_idleness(host: &Host, claim: &mut Claim) -> Result<(), Error> {
    let Owner::Netns(netns) = claim.owner() else { return Ok(()) };
    let is_idle = processes_in(netns)?.is_empty();
    if is_idle == claim.idle_since.is_some() {
        return Ok(());
    }
    claim.idle_since = is_idle.then(now);
    Claims::open(&host.run)?.advance(claim, State::Attached)
}

/// Checks place and settings of an attached VF with a netdev. Returns its network namespace and the
/// change that was set back. `Err`: why the VF is lost.
fn check_settings(
    host: &Host,
    sysfs: &Sysfs,
    claim: &mut Claim,
) -> Result<Result<(Netns, Option<String>), String>, Error> {
    // Searched twice, because the container may move the netdev from one network namespace to
    // another during a search, so that the search finds it in neither.
    let found = match find_vf_netns(sysfs, claim)? {
        Err(_) => find_vf_netns(sysfs, claim)?,
        found => found,
    };
    let netns = match found {
        Ok(netns) => netns,
        Err(reason) => return Ok(Err(reason)),
    };
    record_idleness(host, claim)?;
    Ok(match restore_settings(host, sysfs, claim)? {
        Restored::Unchanged => Ok((netns, None)),
        Restored::SetBack(difference) => Ok((netns, Some(difference))),
        Restored::Failed(reason) => Err(reason),
    })
}

/// As [`check_settings`], for a VF that a program drives by vfio-pci. Only the program knows whether
/// the VF is promiscuous, so the check ends here.
fn check_vfio(
    host: &Host,
    sysfs: &Sysfs,
    claim: &mut Claim,
) -> Result<Result<Option<Outcome>, String>, Error> {
    if let Some(problem) = vfio::problem(sysfs, claim) {
        return Ok(Err(problem));
    }
    let resets_vf = driver(sysfs.driver(&claim.pf).as_deref()).config_resets_vf;
    match restore_settings(host, sysfs, claim)? {
        Restored::Failed(reason) => return Ok(Err(reason)),
        Restored::SetBack(difference) if resets_vf => {
            let reason =
                format!("{difference}: set back, which has reset the VF under its program");
            return Ok(Err(reason));
        }
        Restored::SetBack(difference) => return Ok(Ok(Some(Outcome::SetBack(difference)))),
        Restored::Unchanged => {}
    }
    claim.checked = Some(now());
    Claims::open(&host.run)?.advance(claim, State::Attached)?;
    Ok(Ok(None))
}

/// The result of [`restore_settings`].
enum Restored {
    /// VLAN and trust are as claimed.
    Unchanged,
    /// VLAN or trust had changed and were set back.
    SetBack(String),
    /// VLAN or trust have changed and could not be set back safely, for this reason.
    Failed(String),
}

/// Sets VLAN, trust and a disabled link state back to the claim's values if another tool has changed
/// them, because the container would otherwise see the traffic of another VLAN, or none.
///
/// # Errors
/// When the PF cannot be read, or its driver is busy. Then the VF is not lost, and the next `gc`
/// tries again.
fn restore_settings(host: &Host, sysfs: &Sysfs, claim: &Claim) -> Result<Restored, Error> {
    check_pci_address(sysfs, claim)?;
    let (netlink, pf) = (Netlink::open()?, find_pf(sysfs, claim)?);
    let have = read_settings(&netlink, &pf, claim)?;
    let Some(difference) = to_set_back(&have, &claim.want) else {
        return Ok(Restored::Unchanged);
    };
    // An audit entry that cannot be written is no error here: the outcome has the difference.
    let _ = audit::append_or_spool(host, &Entry::changed(claim, &difference));
    let Settings { vlan, qos, proto, trust, .. } = claim.want;
    let link_state = match have.link_state {
        LinkState::Disable => claim.want.link_state,
        enabled => enabled,
    };
    let want = Settings { vlan, qos, proto, trust, link_state, ..have };
    let pf_driver = driver(sysfs.driver(&pf.pci).as_deref());
    let set_back = converge_from(&netlink, &pf, claim, &have, &want)
        .and_then(|()| read_settings(&netlink, &pf, claim))
        .map(|now| to_set_back(&now, &claim.want));
    match set_back {
        Ok(Some(remains)) => Ok(Restored::Failed(format!("{remains}, also after it was set back"))),
        Ok(None) if pf_driver.is_promiscuous_after_change() => Ok(Restored::SetBack(difference)),
        // Both changes have reset the VF. Its driver may still report a promiscuity that the PF no
        // longer has, and runvf does not know how to re-arm it.
        Ok(None) => Ok(Restored::Failed(format!(
            "{difference}: set back, but the VF may no longer be promiscuous"
        ))),
        Err(Error::Nic(NicError::SetVf { source, vf, pf, what })) if is_busy(source.errno()) => {
            Err(Error::Nic(NicError::SetVf { source, vf, pf, what }))
        }
        Err(error) => Ok(Restored::Failed(format!("{difference}: {}", error.line()))),
    }
}

/// Unbinds the driver of a lost VF that its container still has with another VLAN or trust than
/// claimed. [`disarm`](crate::lifecycle::disarm::disarm) would not do: it removes the VLAN, and
/// the container would receive the untagged LAN.
fn unbind_changed_vf(sysfs: &Sysfs, claim: &Claim) {
    let location = locate(sysfs, claim);
    let (Ok(Location::OtherNetns(other)), Some(driver)) = (location, sysfs.driver(&claim.vf))
    else {
        return;
    };
    let foreign = foreign_netns(sysfs, claim, &other);
    if !matches!(foreign, Ok(None)) || check_pci_address(sysfs, claim).is_err() {
        return;
    }
    if is_changed(sysfs, claim) {
        // A failure is ignored, because the container must still be stopped.
        let _ = sysfs.unbind(&claim.vf, &driver);
    }
}

/// Whether the PF reports another VLAN or trust than claimed.
fn is_changed(sysfs: &Sysfs, claim: &Claim) -> bool {
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), find_pf(sysfs, claim)) else { return false };
    read_settings(&netlink, &pf, claim)
        .is_ok_and(|have| changed_outside_runvf(&have, &claim.want).is_some())
}

/// Finds the network namespace where the container has its VF. `Err`: why the container no longer
/// has the VF.
///
/// # Errors
/// [`NicError::NetnsHidden`]: only a socket, or a mount that this process does not see, may keep the
/// owner's namespace. An engine has such a namespace before it starts the container, and the VF may
/// be there.
fn find_vf_netns(sysfs: &Sysfs, claim: &Claim) -> Result<Result<Netns, String>, Error> {
    if !sysfs.exists(&claim.vf) {
        return Ok(Err("the VF vanished".to_owned()));
    }
    Ok(match locate(sysfs, claim)? {
        // The container may move its VF to another network namespace. But a VF that was destroyed
        // and created again may be in a foreign one.
        Location::OtherNetns(other) => match foreign_netns(sysfs, claim, &other)? {
            Some(reason) => Err(reason),
            None => Ok(other.netns),
        },
        Location::HostNetns => {
            Err("its interface returned to the host network namespace".to_owned())
        }
        Location::Missing if is_owner_hidden(sysfs, claim)? => {
            return Err(Error::Nic(NicError::NetnsHidden { vf: claim.vf.clone() }));
        }
        Location::Missing => Err("its interface no longer exists".to_owned()),
    })
}

/// Whether the VF of a network namespace has a netdev, and a full search does not find the
/// namespace. While the namespace is found, the search for the netdev has looked into it.
fn is_owner_hidden(sysfs: &Sysfs, claim: &Claim) -> Result<bool, Error> {
    let Owner::Netns(netns) = claim.owner() else { return Ok(false) };
    Ok(sysfs.has_netdev(&claim.vf) && find_netns(netns, Effort::Full)?.is_none())
}

/// These tests need root.
#[cfg(test)]
mod in_a_netns {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::kernel::netns::{NetnsId, NetnsRecord};
    use crate::kernel::netns_life::in_a_netns::process_in_new_netns;
    use crate::ledger::claim::tests::netns_claim;

    const VF: &str = "0000:01:10.0";

    /// An engine asks for the VF before the container has a process, and keeps its network namespace
    /// where runvf does not see it.
    #[test]
    fn a_vf_in_a_netns_that_is_not_visible_is_not_lost() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        let device = sysfs.pci_device(VF);
        fs::create_dir_all(device.join("net")).unwrap();
        symlink("/drivers/iavf", device.join("driver")).unwrap();
        let hidden = NetnsRecord { id: NetnsId { dev: 0, ino: 0 }, cookie: 0 };
        let found = find_vf_netns(&sysfs, &netns_claim(VF, hidden));
        assert!(matches!(found, Err(Error::Nic(NicError::NetnsHidden { .. }))), "not an error");

        let lost = |claim: &Claim| find_vf_netns(&sysfs, claim).unwrap().err().unwrap();
        let (mut process, netns) = process_in_new_netns();
        assert_eq!(lost(&netns_claim(VF, netns)), "its interface no longer exists");
        process.kill().unwrap();
        process.wait().unwrap();
        fs::remove_dir(device.join("net")).unwrap();
        assert_eq!(lost(&netns_claim(VF, hidden)), "its interface no longer exists");
    }
}
