//! Builds the image that guests are restored from, and keeps it in a cache.
//!
//! The stages are the tools (QEMU), the guest's root filesystem, the root filesystems of the
//! sensors, and the snapshot of a booted guest that has the sensors in Docker and Podman.

pub(crate) mod image;
mod progress;
mod provision;
mod stages;

pub use image::{ensure_image, reference_runc};
pub use stages::SENSORS;
