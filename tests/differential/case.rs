//! A case: the mutations of a bundle, and the commands that its container gets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::patch::Patch;

/// The manager of the container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Driver {
    Cgroupfs,
    Systemd,
}

impl Driver {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}

/// A command after `create`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command", deny_unknown_fields)]
pub(crate) enum Step {
    Start,
    State,
    /// The process is that of the container, with these mutations.
    Exec {
        detach: bool,
        patches: Vec<Patch>,
    },
    Update {
        resources: Value,
    },
    Kill {
        signal: String,
    },
    Delete {
        force: bool,
    },
}

impl Step {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::State => "state",
            Self::Exec { .. } => "exec",
            Self::Update { .. } => "update",
            Self::Kill { .. } => "kill",
            Self::Delete { .. } => "delete",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Why the case exists; only saved cases have it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    /// The driver that the case needs; without it, each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<Driver>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) steps: Vec<Step>,
}
