//! The virtual machine: its hardware, its process and its control socket.

pub(crate) mod hardware;
pub(crate) mod machine;
mod qmp;
