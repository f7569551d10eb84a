//! What one runtime did with a case: a list of observations for each command, and the changes of
//! the host.

use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    Done,
    Refused,
    /// A panic, or the end by a signal.
    Crashed,
    Hung,
}

/// One value that was observed, under a name that is the same for all runtimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Line {
    pub(crate) fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// A line `KEY: VALUE`.
    pub(crate) fn parse(line: &str) -> Self {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        Self::new(key, value)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepOutcome {
    pub(crate) command: String,
    pub(crate) class: Class,
    pub(crate) lines: Vec<Line>,
    /// The last line of stderr. It is shown, not compared.
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) steps: Vec<StepOutcome>,
    /// What is different on the host after the case.
    pub(crate) host: Vec<Line>,
}
