//! The procedures on one VF: attach, release, scrub, quarantine, repair, reconcile.

pub(crate) mod attach;
mod blind_pf;
pub(crate) mod blindness;
pub(crate) mod check;
pub(crate) mod claim_lock;
pub(crate) mod device;
mod disarm;
pub(crate) mod error;
pub(crate) mod grant;
#[cfg(test)]
mod in_a_netns;
mod joined;
mod loss;
pub(crate) mod net_devices;
pub(crate) mod outcome;
mod ownership;
mod pod_member;
pub(crate) mod reconcile;
pub(crate) mod release;
pub(crate) mod repair;
mod scrub;
