//! The virtual machine: its hardware, its files, its process and its control socket.

pub(crate) mod hardware;
pub(crate) mod image;
pub(crate) mod machine;
pub(crate) mod nic;
mod qmp;
pub(crate) mod tools;
