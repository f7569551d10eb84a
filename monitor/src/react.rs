//! What the monitor does after an event: which VF is looked at when, and the look itself.

pub(crate) mod queue;
pub(crate) mod work;
