//! The image that every guest is restored from, and how it is built.

pub(crate) mod image;
mod provision;

pub use image::{SENSORS, ensure};
