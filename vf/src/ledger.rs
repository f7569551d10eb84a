//! The files that runvf keeps: claims on VFs, the locks that guard them, and the audit log.

pub(crate) mod audit;
pub(crate) mod claim;
pub(crate) mod claims;
pub(crate) mod error;
pub(crate) mod lock;
#[cfg(test)]
mod model;
pub(crate) mod parked_pfs;
pub(crate) mod tenancy;
mod unknown_fields;
