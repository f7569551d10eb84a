//! An audit entry: one line of the audit log.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::kernel::process::boot_id;
use crate::kernel::time::now;
use crate::kernel::vlan::VlanProto;
use crate::ledger::claim::{Claim, Gap, PROBE_CONTAINER, State};
use crate::policy::pod::Pod;

/// What happened to a VF, or to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The VF was attached to the container.
    Attached,
    /// The VF was released: it is clean and free.
    Released,
    /// An operator released the VF while its container was running.
    Forced,
    /// A tool other than runvf changed the VF's VLAN or trust while it was attached.
    Changed,
    /// The VF may not have been promiscuous from `since` to `until`, so its container may have seen
    /// only a part of its VLAN. Without `until`, the gap had not ended; a later entry with the same
    /// `since` has the end.
    Blind,
    /// A process of another container was found in the VF's network namespace, where it can receive
    /// the frames of the VF.
    Joined,
    /// The VF or its netdev disappeared while the container was running.
    Lost,
    /// The VF was released, but the scrub failed.
    Quarantined,
    /// A quarantined VF was cleaned: it is free.
    Repaired,
    /// The container's request was refused, so it got no VF.
    Refused,
    /// More requests were refused within a minute than get an entry; `reason` has their number.
    Suppressed,
}

/// An audit entry. Times are RFC 3339 in UTC with milliseconds, so they sort as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub time: String,
    pub event: Event,
    pub vlan: u32,
    /// Omitted if it is the default, 802.1Q.
    #[serde(default, skip_serializing_if = "VlanProto::is_default")]
    pub proto: VlanProto,
    /// PCI address of the VF. `None` here and in the fields below: unknown, or not applicable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vf: Option<String>,
    /// Name of the PF's netdev when the VF was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
    /// The tenant that the VLAN belongs to. In a refusal: the tenant that the request named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The namespace and the name of the container's Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The container's id, as the engine knows it. Empty if unknown.
    pub container: String,
    /// Name of the VF's netdev inside the container.
    pub interface: String,
    /// Pid of the container's init process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Identifies the claim: all entries about one attachment have the same value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Boot id of the machine, in an `attached` entry. A reboot ends the attachment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// When the VF was claimed. In a `blind` entry: the last time before when the VF was found
    /// promiscuous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When its release began. In a `blind` entry: when the VF was re-armed, or its container lost
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// In an `attached` entry: how long the attach of this VF took, in milliseconds. In an entry
    /// that ends an attachment: how long the scrub took. The programs that attach and release end
    /// at once, so the durations reach the monitor's histogram by this entry, which they write in
    /// any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// In a refusal: the other interfaces of the request. `vlan`, `proto` and `interface` are those
    /// of the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<MoreRefused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A further interface of a refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreRefused {
    pub vlan: u32,
    #[serde(default, skip_serializing_if = "VlanProto::is_default")]
    pub proto: VlanProto,
    pub interface: String,
}

impl Entry {
    /// An entry of now that concerns no VF.
    pub(crate) fn without_vf(event: Event) -> Self {
        Self {
            time: now(),
            event,
            vlan: 0,
            proto: VlanProto::default(),
            vf: None,
            pf: None,
            tenant: None,
            namespace: None,
            pod: None,
            container: String::new(),
            interface: String::new(),
            pid: None,
            claim: None,
            boot: None,
            since: None,
            until: None,
            took_ms: None,
            more: Vec::new(),
            reason: None,
        }
    }

    fn from_claim(event: Event, claim: &Claim) -> Self {
        Self {
            vlan: claim.want.vlan,
            proto: claim.want.proto,
            vf: Some(claim.vf.clone()),
            pf: Some(claim.pf_name.clone()),
            tenant: claim.tenant.clone(),
            container: claim.container.clone(),
            interface: claim.interface.clone(),
            pid: claim.init.map(|init| init.pid),
            claim: Some(claim.nonce.clone()),
            since: claim.claimed_at(),
            ..Self::without_vf(event).of_pod(claim.pod.as_ref())
        }
    }

    pub(super) fn of_pod(self, pod: Option<&Pod>) -> Self {
        let (namespace, name) =
            (pod.map(|pod| pod.namespace.clone()), pod.map(|pod| pod.name.clone()));
        Self { namespace, pod: name, ..self }
    }

    pub(crate) fn attached(claim: &Claim) -> Self {
        Self { boot: boot_id().ok(), ..Self::from_claim(Event::Attached, claim) }
    }

    /// The entry, with the time since `began` as its duration.
    pub(crate) fn that_took(mut self, began: Instant) -> Self {
        self.took_ms = u64::try_from(began.elapsed().as_millis()).ok();
        self
    }

    pub(crate) fn lost(claim: &Claim, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::from_claim(Event::Lost, claim) }
    }

    pub(crate) fn blind(claim: &Claim, gap: &Gap) -> Self {
        Self {
            since: Some(gap.since.clone()),
            until: gap.until.clone(),
            reason: Some(gap.reason.clone()),
            ..Self::from_claim(Event::Blind, claim)
        }
    }

    pub(crate) fn joined(claim: &Claim, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::from_claim(Event::Joined, claim) }
    }

    pub(crate) fn changed(claim: &Claim, change: &str) -> Self {
        Self { reason: Some(change.to_owned()), ..Self::from_claim(Event::Changed, claim) }
    }

    /// The entry that ends an attachment. The caller writes it before it removes the claim.
    pub(crate) fn end(event: Event, claim: &Claim) -> Self {
        // A probe uses its VFs in the state `configured`, so that state does not mean "unused"
        // there.
        let never_attached = matches!(claim.state, State::Claiming | State::Configured)
            && claim.container != PROBE_CONTAINER;
        let reason = never_attached.then(|| "it was not attached yet".to_owned());
        Self { until: Some(now()), reason, ..Self::from_claim(event, claim) }
    }
}
