//! The options of a probe, and how it reports while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::Error;
use crate::operator::error::OperatorError;

/// The PF and the VLANs of a probe.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// A PF of the configuration: its netdev's name, an alternative name, or its PCI address.
    pub pf: String,
    /// The VLAN of the sensor, 1–4094. `None`, here and in `other`: choose a VLAN that no VF of the
    /// PF uses and no tenant owns.
    pub vlan: Option<u16>,
    /// The VLAN that must be invisible to the sensor, 1–4094.
    pub other: Option<u16>,
}

/// Callbacks and the stop flag of a running probe.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Once it is true, the probe releases its VFs and returns an error.
    pub stop: &'a AtomicBool,
    /// Receives progress messages, one line each.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Receives the VFs that a failed probe could not release clean, because a failed probe has no
    /// report.
    pub warn: &'a (dyn Fn(&str) + Sync),
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("stop", self.stop).finish_non_exhaustive()
    }
}

impl Watch<'_> {
    /// # Errors
    /// [`OperatorError::Stopped`] if the stop flag is set.
    pub(super) fn check_stop(&self, pf: &str) -> Result<(), Error> {
        match self.stop.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::Operator(OperatorError::Stopped { pf: pf.to_owned() })),
        }
    }
}

/// A VF that took part in the probe.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeVf {
    /// PCI address.
    pub vf: String,
    pub role: &'static str,
    pub vlan: u16,
    pub trusted: bool,
}
