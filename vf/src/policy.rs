//! Pure decisions: the request of a container, the configuration, and whether the configuration
//! allows the request.
//!
//! This wing reads no PF or VF and changes nothing.

pub(crate) mod authorize;
pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod pod;
pub(crate) mod request;
pub(crate) mod suggest;
pub(crate) mod transmit;
