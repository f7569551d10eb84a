//! The record of a claim: a VF belongs to a container.
//!
//! ```text
//!            create            update             update
//!   (free) ─────────▶ claiming ──────▶ configured ──────▶ attached ──────▶ lost
//!      ▲                  │                 │                │              │
//!      │ remove           └────────┬────────┴────────────────┴──────────────┘
//!      │                           ▼              could not be cleaned
//!      └────────────────────── releasing ◀────────────────────────────▶ quarantined
//!                                                      repair
//! ```
//!
//! runvf writes the record before it acts:
//!
//! - `claiming` before it changes the first setting,
//! - `configured` before it moves the netdev,
//! - `releasing` before it unbinds the VF driver.
//!
//! `quarantined` is written after the VF has been disarmed. `lost` reports an event outside runvf:
//! the container runs, but its VF left it. The record is removed last, after the VF has read back
//! clean.
//!
//! A process changes a record only under the lock of its PF, and only after it has read the record
//! again under that lock. This process is the claim's worker, a release or a reconcile. Every
//! record has a nonce: a process that read a record with another nonce leaves the new one alone.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::kernel::carrier::CarrierCounts;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::{ProcessId, boot_id_with_root};
use crate::kernel::time::rfc3339;
use crate::kernel::vf_settings::Settings;
use crate::policy::config::{OnLoss, OnPromiscOff, Scrub};
use crate::policy::request::Interface;

/// The state of a claimed VF. A VF without a record is free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// runvf has chosen the VF and may be changing its settings.
    Claiming,
    /// The PF has the settings that the claim wants. runvf may be moving the netdev.
    Configured,
    /// The netdev is up inside the container.
    Attached,
    /// The container runs, but its VF or the netdev disappeared. The VF stays claimed until the
    /// container has exited.
    Lost { reason: String },
    /// A release is scrubbing the VF.
    Releasing,
    /// The scrub failed. The VF stays claimed until `runvfctl repair` has cleaned it.
    Quarantined { reason: String },
}

/// Whether this boot and the processes that a claim names are still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// The machine has not rebooted since the claim was made.
    pub(crate) same_boot: bool,
    /// The container's init process is alive.
    pub(crate) init: bool,
    /// The process that works on the claim is alive.
    pub(crate) worker: bool,
}

impl State {
    /// Whether the module's drawing has an arrow from this record to the next.
    pub(crate) fn may_become(&self, next: &Self) -> bool {
        use State::{Attached, Claiming, Configured, Lost, Quarantined, Releasing};
        match (self, next) {
            (Claiming, Configured) | (Configured, Attached) | (Attached, Lost { .. }) => true,
            // `gc` records a check, the begin of a gap, or its end.
            (Attached, Attached) => true,
            // Every state may become `releasing`: an interrupted release starts again, and a repair
            // releases a quarantined VF.
            (_, Releasing) | (Releasing, Quarantined { .. }) => true,
            _ => false,
        }
    }

    /// Whether the process that should advance this claim is dead, so that any process may release
    /// it.
    pub(crate) fn is_abandoned(&self, alive: Liveness) -> bool {
        match self {
            Self::Quarantined { .. } => false,
            _ if !alive.same_boot => true,
            Self::Attached | Self::Lost { .. } => !alive.init,
            Self::Claiming | Self::Configured | Self::Releasing => !alive.worker,
        }
    }
}

/// The version of the claims that this runvf writes, and the highest version that it reads.
///
/// A container may outlive an upgrade or a downgrade of runvf. So every new field needs
/// `#[serde(default)]`, and an older runvf ignores the field but keeps it. A change that an older
/// runvf must not ignore, such as a new state, raises this number: an older runvf then leaves VF
/// and record alone.
pub(crate) const CLAIM_VERSION: u32 = 1;

/// The record of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// See [`CLAIM_VERSION`]. The first records have no version.
    #[serde(default = "first_version")]
    pub version: u32,
    /// PCI address of the VF.
    pub vf: String,
    /// Index of the VF on its PF.
    pub index: u32,
    /// PCI address of the PF.
    pub pf: String,
    /// Name of the PF's netdev when the claim was made. For messages only.
    pub pf_name: String,
    pub state: State,
    /// Tells this claim from every other claim on the same VF.
    pub nonce: String,
    pub boot_id: String,
    pub container: String,
    pub tenant: Option<String>,
    /// Name of the VF's netdev inside the container.
    pub interface: String,
    pub netns: NetnsRecord,
    /// The container's init process.
    pub init: ProcessId,
    /// The process that works on the claim. Unused once the claim is `attached`.
    pub worker: ProcessId,
    /// When the claim was made, in seconds since 1970.
    pub since: u64,
    /// How the release scrubs the VF.
    pub scrub: Scrub,
    /// What happens to the container if it loses the VF.
    pub on_loss: OnLoss,
    /// The settings on the PF while the claim lasts. The difference to `before` is what the attach
    /// changed.
    pub want: Settings,
    pub before: VfSnapshot,
    /// Whether the release leaves the VF without its driver, as long as the kernel does not bind
    /// drivers to VFs by itself.
    #[serde(default)]
    pub park: bool,
    /// The carrier counters of the netdev when its PF was last told about promiscuity. Other
    /// counters mean that the VF may have been reset since. `None`: not attached, or by an older
    /// runvf.
    #[serde(default)]
    pub carrier: Option<CarrierCounts>,
    /// When the VF was last found promiscuous, RFC 3339 in UTC.
    #[serde(default)]
    pub checked: Option<String>,
    /// The last gap.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// All gaps that have ended.
    #[serde(default)]
    pub blind: BlindTotal,
    /// What happens if a process in the container turns promiscuity off.
    #[serde(default)]
    pub on_promisc_off: OnPromiscOff,
    /// The cgroups of other containers with processes in the VF's network namespace. Each has a
    /// `joined` audit entry.
    #[serde(default)]
    pub joined: Vec<String>,
}

/// A time when an attached VF may not have been promiscuous, so that its container may have
/// seen only a part of its VLAN. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last time before the gap when the VF was found promiscuous.
    pub since: String,
    /// When the VF was re-armed. `None`: it was not yet, or a `gc` that re-armed it was killed.
    pub until: Option<String>,
    pub reason: String,
}

/// The number and the total length of the gaps of a claim that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlindTotal {
    pub gaps: u64,
    pub milliseconds: u64,
}

impl BlindTotal {
    /// Adds a gap. Its length is zero if its times cannot be parsed, or if it ends before its begin
    /// because the clock was set back.
    pub(crate) fn add(&mut self, gap: &Gap) {
        let time = |text: &str| humantime::parse_rfc3339(text).ok();
        let length = gap
            .until
            .as_deref()
            .and_then(|until| time(until)?.duration_since(time(&gap.since)?).ok())
            .unwrap_or_default();
        let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.gaps = self.gaps.saturating_add(1);
        self.milliseconds = self.milliseconds.saturating_add(milliseconds);
    }
}

fn first_version() -> u32 {
    1
}

/// The VF as it was before the claim. The release restores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfSnapshot {
    /// `None`: the VF had no driver. The release leaves it without one, unless the kernel binds new
    /// VFs by itself.
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub settings: Settings,
    /// `None`: the VF had no driver, so it had no netdev.
    pub netdev: Option<NetdevSettings>,
}

/// The container name in the claims of a probe. Engines never use parentheses in a container id.
pub(crate) const PROBE_CONTAINER: &str = "(probe)";

impl Claim {
    /// Whether this claim is an attached VF that satisfies the requested interface.
    pub(crate) fn is_attached_as(&self, interface: &Interface) -> bool {
        self.state == State::Attached
            && self.interface == interface.name
            && self.want.vlan == u32::from(interface.vlan)
    }

    /// `since` as text, RFC 3339 in UTC. `None` if the year has more than four digits; runvf writes
    /// no such record.
    pub fn claimed_at(&self) -> Option<String> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.since)).and_then(rfc3339)
    }

    /// The gap that has not ended.
    pub fn open_gap(&self) -> Option<&Gap> {
        self.gap.as_ref().filter(|gap| gap.until.is_none())
    }

    /// The process that keeps this claim: when it has ended, the claim is abandoned. `None`: the VF
    /// is quarantined.
    pub fn keeper(&self) -> Option<ProcessId> {
        match self.state {
            State::Quarantined { .. } => None,
            State::Attached | State::Lost { .. } => Some(self.init),
            State::Claiming | State::Configured | State::Releasing => Some(self.worker),
        }
    }

    /// Whether any process may release this claim: see [`State::is_abandoned`].
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.is_abandoned(self.liveness(Path::new("/")))
    }

    /// The liveness on the machine with this root folder.
    pub(crate) fn liveness(&self, root: &Path) -> Liveness {
        // `State::is_abandoned` uses only one of the two processes. Each check reads /proc, so the
        // other is skipped.
        let by_init = matches!(self.state, State::Attached | State::Lost { .. });
        Liveness {
            // An unreadable boot id counts as the same boot, for the reason given at
            // `ProcessId::is_alive_with_root`.
            same_boot: boot_id_with_root(root).map_or(true, |now| self.boot_id == now),
            init: by_init && self.init.is_alive_with_root(root),
            worker: !by_init && self.worker.is_alive_with_root(root),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::netns::NetnsId;

    pub(crate) fn claim(vf: &str, nonce: &str) -> Claim {
        Claim {
            version: CLAIM_VERSION,
            vf: vf.to_owned(),
            index: 0,
            pf: "0000:01:00.0".to_owned(),
            pf_name: "pf0".to_owned(),
            state: State::Claiming,
            nonce: nonce.to_owned(),
            boot_id: "b".to_owned(),
            container: "c".to_owned(),
            tenant: None,
            interface: "mon0".to_owned(),
            netns: NetnsRecord { id: NetnsId { dev: 4, ino: 5 }, cookie: 6 },
            init: ProcessId { pid: 1, start_time: 2 },
            worker: ProcessId { pid: 3, start_time: 4 },
            since: 0,
            scrub: Scrub::default(),
            on_loss: OnLoss::default(),
            want: Settings::default(),
            before: VfSnapshot {
                driver: None,
                driver_override: None,
                settings: Settings::default(),
                netdev: None,
            },
            park: false,
            carrier: None,
            checked: None,
            gap: None,
            blind: BlindTotal::default(),
            on_promisc_off: OnPromiscOff::default(),
            joined: Vec::new(),
        }
    }

    #[test]
    fn gaps_add_up_and_a_clock_that_was_set_back_adds_no_time() {
        let gap = |since: &str, until: &str| Gap {
            since: format!("2026-01-31T12:00:{since}Z"),
            until: Some(format!("2026-01-31T12:00:{until}Z")),
            reason: String::new(),
        };
        let mut total = BlindTotal::default();
        total.add(&gap("01.000", "02.500"));
        total.add(&gap("09.000", "08.000"));
        total.add(&Gap { since: String::new(), ..gap("01.000", "02.000") });
        total.add(&gap("03.000", "03.250"));
        assert_eq!(total, BlindTotal { gaps: 4, milliseconds: 1750 });
    }

    #[test]
    fn a_claim_is_abandoned_by_the_end_of_its_keeper() {
        let alive = |init, worker| Liveness { same_boot: true, init, worker };
        for state in [State::Claiming, State::Attached, State::Releasing] {
            let claim = Claim { state: state.clone(), ..claim("0000:01:10.0", "n") };
            let is_init = claim.keeper() == Some(claim.init);
            assert!(state.is_abandoned(alive(!is_init, is_init)), "{state:?}");
            assert!(!state.is_abandoned(alive(is_init, !is_init)), "{state:?}");
        }
        let state = State::Quarantined { reason: String::new() };
        assert_eq!(Claim { state, ..claim("0000:01:10.0", "n") }.keeper(), None);
    }

    #[test]
    fn claimed_at_is_the_time_of_the_claim() {
        assert_eq!(claim("0000:01:10.0", "n").claimed_at().unwrap(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn claims_of_the_first_version_are_readable() {
        for text in [
            include_str!("../../../tests/corpus/seeds/claim/attached.json"),
            include_str!("../../../tests/corpus/seeds/claim/quarantined.json"),
        ] {
            let claim = serde_json::from_str::<Claim>(text).unwrap();
            assert_eq!(
                (claim.carrier, claim.checked.clone(), claim.open_gap()),
                (None, None, None)
            );
        }
        let text = include_str!("../../../tests/corpus/seeds/claim/with-a-gap.json");
        let with_gap = serde_json::from_str::<Claim>(text).unwrap();
        assert_eq!(with_gap.carrier, Some(CarrierCounts { changes: 3, downs: 1 }));
        assert_eq!(with_gap.open_gap().unwrap().reason, "its interface was down");
    }
}
