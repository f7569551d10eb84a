//! One line of the audit log.

use serde::{Deserialize, Serialize};

use crate::kernel::process::boot_id;
use crate::kernel::time::now;
use crate::kernel::vlan::VlanProto;
use crate::ledger::claim::{Claim, PROBE, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The container has the VF.
    Attached,
    /// The VF was taken back, is clean and free.
    Released,
    /// The same, by an operator, from a container that ran.
    Forced,
    /// Another tool had changed the VF's VLAN or trust while the container had it.
    Changed,
    /// The container ran on, at first, without its VF.
    Lost,
    /// The VF was taken back and could not be cleaned.
    Quarantined,
    /// It could be after all.
    Repaired,
    /// The container got nothing.
    Refused,
}

/// A line of the file. Times are RFC 3339 in UTC with milliseconds, so that they sort as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub time: String,
    pub event: Event,
    pub vlan: u32,
    /// Written only if it is not the usual one.
    #[serde(default, skip_serializing_if = "VlanProto::is_usual")]
    pub proto: VlanProto,
    /// PCI address. `None`, as for all below: nobody knows, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vf: Option<String>,
    /// The PF's netdev when the VF was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
    /// The VLAN's owner; of a refused request, whom it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// As the engine names it. Empty when nobody knows.
    pub container: String,
    /// The VF's name inside.
    pub interface: String,
    /// The container's init process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The same for an attachment and its end, and for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Of an attachment: this boot of the machine. A VF is nobody's after the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// When the VF was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it began to be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    fn of(event: Event, claim: &Claim) -> Self {
        Self {
            time: now(),
            event,
            vlan: claim.want.vlan,
            proto: claim.want.proto,
            vf: Some(claim.vf.clone()),
            pf: Some(claim.pf_name.clone()),
            tenant: claim.tenant.clone(),
            container: claim.container.clone(),
            interface: claim.interface.clone(),
            pid: Some(claim.init.pid),
            claim: Some(claim.nonce.clone()),
            boot: None,
            since: claim.claimed_at(),
            until: None,
            reason: None,
        }
    }

    pub(crate) fn attached(claim: &Claim) -> Self {
        Self { boot: boot_id().ok(), ..Self::of(Event::Attached, claim) }
    }

    pub(crate) fn lost(claim: &Claim, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::of(Event::Lost, claim) }
    }

    pub(crate) fn changed(claim: &Claim, what: &str) -> Self {
        Self { reason: Some(what.to_owned()), ..Self::of(Event::Changed, claim) }
    }

    /// Of a claim that is about to be given back.
    pub(crate) fn end(event: Event, claim: &Claim) -> Self {
        // A probe's claim goes no further than `configured`, and its VF was at work all the same.
        let never =
            matches!(claim.state, State::Claiming | State::Configured) && claim.container != PROBE;
        let reason = never.then(|| "it was not attached yet".to_owned());
        Self { until: Some(now()), reason, ..Self::of(event, claim) }
    }
}
