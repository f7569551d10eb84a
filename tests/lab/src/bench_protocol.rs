//! What `make bench` has the guest do: cases that take turns, and how long each took every time.
//!
//! A turn of one case is followed by a turn of the next, so that whatever else the machine does meets all of them alike; what
//! is compared is medians of the same run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One case: shell scripts around what is timed. All state between the three is in files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// Bash with `set -e`, not timed.
    #[serde(default)]
    pub before: String,
    pub timed: Timed,
    /// Bash with `set -e`, not timed.
    #[serde(default)]
    pub after: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timed {
    /// From before fork(2) to after wait4(2). Anything but exit status 0 ends the run.
    Command {
        argv: Vec<String>,
        /// A file; `None`: `/dev/null`.
        stdin: Option<String>,
    },
    /// What the kernel must do for an attach, by a process that is there already.
    Floor(Floor),
    /// The same for several, each by a thread of its own or one after the other.
    Floors { floors: Vec<Floor>, at_once: bool },
    /// A VF is chosen among `vfs` of a made-up `/sys`, claimed and given up again.
    Claim { vfs: u32, claimed: u32 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Floor {
    pub pf: String,
    pub index: u32,
    pub vlan: u32,
    /// A file with the pid of a process in the namespace to go to.
    pub pid: String,
    pub name: String,
}

/// Cases that take turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// Turns of each case that count.
    pub turns: u32,
    /// Turns before those: an emulated CPU translates a program the first times that it runs it.
    pub warm_up: u32,
    pub cases: Vec<Case>,
}

/// How one turn went.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Turn {
    pub nanoseconds: u64,
    /// KiB: the largest resident set of any process that it was (`ru_maxrss`, getrusage(2)). 0: it was no process.
    pub peak: u64,
}

/// The turns of each case.
pub type Turns = BTreeMap<String, Vec<Turn>>;
