//! Frames whose arrival can be judged to the last one.
//!
//! A [`Traffic`] says what is sent: so many frames of a class on a VLAN. Each frame carries, in
//! clear text, the run, its flow and its number, so a capture tells exactly what is missing,
//! doubled, still tagged or somebody else's.
//!
//! After all of them, one *end mark* goes out on every VLAN used. Frames do not overtake each other
//! on a wire, so a capture that has its VLAN's end mark has everything that will come; nobody has
//! to guess how long to wait.

mod capture;
mod flow;
mod frame;
mod verdict;

pub use capture::Capture;
pub use flow::{Class, Flow, Mac, Traffic, mac};
pub use verdict::Verdict;
