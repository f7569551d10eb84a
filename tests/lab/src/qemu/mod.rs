//! The virtual machine: its hardware, its files, its process and its control socket.

pub(crate) mod hardware;
pub(crate) mod host_kind;
pub(crate) mod image;
pub(crate) mod machine;
mod qmp;
pub(crate) mod tools;
