//! The terminal or the pipes of a container, and waiting for a process in the foreground.

pub(crate) mod foreground;
pub(crate) mod streams;
pub(crate) mod terminal;
