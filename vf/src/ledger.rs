//! What is on disk: the claims on VFs, the locks around them, and the audit log.

pub(crate) mod audit;
pub(crate) mod claim;
pub(crate) mod error;
pub(crate) mod lock;
#[cfg(test)]
mod model;
pub(crate) mod tenancy;
