//! The terminal of a container, and waiting for a process in the foreground.

pub(crate) mod foreground;
pub(crate) mod terminal;
