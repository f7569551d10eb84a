//! Hooks: what they receive, and when and where they run.

use super::kind::{Allowed, is_acceptance};
use crate::compare::ENDED;

pub(super) const ALL: &[Allowed] = &[
    Allowed {
        item: "State of a createContainer hook",
        matches: |difference, context| {
            let state = difference.key.starts_with("hook ") && difference.key.ends_with(" state");
            state && context.has_hook(&["createContainer"])
        },
    },
    Allowed {
        item: "Working directory of a createContainer hook",
        matches: |difference, context| {
            let cwd = difference.key.starts_with("hook ") && difference.key.ends_with(" cwd");
            cwd && context.has_hook(&["createContainer"])
        },
    },
    Allowed {
        item: "When poststart hooks run",
        matches: |difference, context| {
            let hook = difference.key.starts_with("hook ");
            (is_acceptance(difference) || hook) && context.has_hook(&["poststart"])
        },
    },
    Allowed {
        item: "After a failed poststop hook",
        matches: |difference, context| {
            difference.command == "delete"
                && difference.key == ENDED
                && difference.found.as_deref() == Some("done")
                && context.has_hook(&["poststop"])
        },
    },
    Allowed {
        item: "Environment of a hook without `env`",
        matches: |difference, _| {
            let environment =
                difference.key.starts_with("hook ") && difference.key.ends_with(" env");
            environment && difference.found.is_none()
        },
    },
    Allowed {
        item: "State of a startContainer hook",
        matches: |difference, context| {
            let state = difference.key.starts_with("hook ") && difference.key.ends_with(" state");
            state && context.has_hook(&["startContainer"])
        },
    },
];
