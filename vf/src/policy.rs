//! Pure decisions: what a container asks for, what the configuration says, and whether it allows the request.
//!
//! Nothing here looks at a PF or a VF, and nothing changes.

pub(crate) mod authorize;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod suggest;
