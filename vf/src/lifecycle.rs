//! The procedures on one VF: attach, release, scrub, reconcile, repair.

pub(crate) mod attach;
pub(crate) mod error;
pub(crate) mod grant;
#[cfg(test)]
mod in_a_netns;
pub(crate) mod ownership;
pub(crate) mod reconcile;
pub(crate) mod release;
pub(crate) mod repair;
pub(crate) mod scrub;
