//! The JSON that `bench` sends to `bench-guest`, and the JSON of its answer.
//!
//! `bench` sends a group of cases. `bench-guest` runs a turn of each case, then the next turn of
//! each, so that other load on the machine affects all cases alike. Medians of the same run are
//! compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One case: the timed work, with scripts before and after it. Files pass state between the three.
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
    /// A command, timed from before fork(2) to after wait4(2). An exit status other than 0 ends the
    /// run.
    Command {
        argv: Vec<String>,
        /// A file, or `None` for `/dev/null`.
        stdin: Option<String>,
    },
    /// The kernel's part of an attach, issued by a process that is already running.
    Floor(Floor),
    /// Several floors: each in its own thread if `concurrent`, otherwise one after another.
    Floors { floors: Vec<Floor>, concurrent: bool },
    /// Choosing one of `vfs` VFs of a fake `/sys`, claiming it and removing the claim.
    Claim { vfs: u32, claimed: u32 },
}

/// The parameters of a floor: what the kernel alone must do to attach a VF.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Floor {
    pub pf: String,
    pub index: u32,
    pub vlan: u32,
    /// A file with the pid of a process in the target network namespace.
    pub pid: String,
    pub name: String,
}

/// Cases that take turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// Measured turns of each case.
    pub turns: u32,
    /// Turns before the measured ones, because an emulated CPU translates a program the first times
    /// that it runs.
    pub warm_up: u32,
    pub cases: Vec<Case>,
}

/// The measurements of one turn.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Turn {
    pub nanoseconds: u64,
    /// The largest resident set of any process of the turn, in KiB (`ru_maxrss`, getrusage(2)), or
    /// 0 if the turn started no process.
    pub peak: u64,
}

/// The measured turns of each case.
pub type Turns = BTreeMap<String, Vec<Turn>>;
