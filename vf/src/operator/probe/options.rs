//! What a probe is asked to do, and how it reports while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::Error;
use crate::operator::error::OperatorError;

/// What to try out.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// A PF of the configuration: its netdev's name, an alternative name, or its PCI address.
    pub pf: String,
    /// 1–4094: the VLAN that a sensor would have. `None`, for both: one that is neither in use on the PF nor a tenant's.
    pub vlan: Option<u16>,
    /// 1–4094: the VLAN of which that sensor must see nothing.
    pub other: Option<u16>,
}

/// Who looks on while it lasts.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Once it is true the probe gives back what it has and ends.
    pub stop: &'a AtomicBool,
    /// Hears what goes on, a line at a time.
    pub tell: &'a (dyn Fn(&str) + Sync),
    /// Hears of VFs that a probe which failed could not give back clean: of such a one there is no report.
    pub warn: &'a (dyn Fn(&str) + Sync),
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("stop", self.stop).finish_non_exhaustive()
    }
}

impl Watch<'_> {
    pub(super) fn go_on(&self, pf: &str) -> Result<(), Error> {
        match self.stop.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::Operator(OperatorError::Stopped { pf: pf.to_owned() })),
        }
    }
}

/// A VF that took part.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeVf {
    /// PCI address.
    pub vf: String,
    pub role: &'static str,
    pub vlan: u16,
    pub trusted: bool,
}
