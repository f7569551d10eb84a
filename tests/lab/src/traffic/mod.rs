//! Test traffic with an exact check of its delivery.
//!
//! A [`Traffic`] is a list of flows: a number of frames of one class on one VLAN. Each frame
//! carries its run, flow and number as text, so a capture shows exactly which frames are missing,
//! duplicate, still tagged or foreign.
//!
//! After the flows, one *end mark* is sent on each VLAN. Frames on a wire keep their order, so a
//! capture with the end mark of its VLAN is complete, and a test needs no guess at a delay.

mod capture;
mod conversations;
mod flow;
mod frame;
mod replay;
mod verdict;

pub use capture::Capture;
pub use conversations::{Conversations, mirrored};
pub use flow::{Class, Flow, Mac, Traffic, mac};
pub use verdict::Verdict;
