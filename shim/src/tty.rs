//! The terminal of a container, and waiting for a process that has it.

pub(crate) mod foreground;
pub(crate) mod terminal;
