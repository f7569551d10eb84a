//! What a kind of allowed difference is, and the case that it is compared with.

use serde_json::Value;

use crate::case::Step;
use crate::compare::{Difference, ENDED};
use crate::patch;

/// One kind of difference.
pub(super) struct Allowed {
    /// The first words of the row in docs/engines.md.
    pub(super) item: &'static str,
    /// Whether a difference is of this kind.
    pub(super) matches: fn(&Difference, &Context) -> bool,
}

/// The case that has the difference.
pub(crate) struct Context<'a> {
    /// `config.json`.
    pub(crate) document: &'a Value,
    pub(crate) steps: &'a [Step],
    /// Whether the reference created the container.
    pub(crate) created: bool,
    /// Whether the reference did each update.
    pub(crate) updated: bool,
}

impl Context<'_> {
    pub(super) fn list(&self, path: &str) -> impl Iterator<Item = &Value> {
        self.document.pointer(path).and_then(Value::as_array).into_iter().flatten()
    }

    pub(super) fn names(&self, path: &str, wanted: &[&str]) -> bool {
        self.list(path).filter_map(Value::as_str).any(|name| wanted.contains(&name))
    }

    pub(super) fn has_hook(&self, stages: &[&str]) -> bool {
        stages.iter().any(|stage| self.list(&format!("/hooks/{stage}")).next().is_some())
    }

    pub(super) fn has_mount_option(&self, wanted: &[&str]) -> bool {
        let mut options =
            self.list("/mounts").filter_map(|mount| mount["options"].as_array()).flatten();
        options.any(|option| option.as_str().is_some_and(|option| wanted.contains(&option)))
    }

    pub(super) fn has_namespace(&self, kind: &str) -> bool {
        self.list("/linux/namespaces").any(|namespace| namespace["type"] == kind)
    }

    /// The processes of `exec`. `wanted`: by whether the command is detached.
    pub(super) fn added_processes(&self, wanted: impl Fn(bool) -> bool) -> Vec<Value> {
        let process = |step: &Step| match step {
            Step::Exec { detach, patches } if wanted(*detach) => {
                let mut process = self.document["process"].clone();
                patch::apply(&mut process, patches);
                Some(process)
            }
            _ => None,
        };
        self.steps.iter().filter_map(process).collect()
    }

    /// Whether the command, `create` or `update`, gets this resource.
    pub(super) fn has_resource(&self, command: &str, path: &str) -> bool {
        let is_set = |resources: &Value| resources.pointer(path).is_some_and(|it| !it.is_null());
        let is_updated = |step: &Step| match step {
            Step::Update { resources } => is_set(resources),
            _ => false,
        };
        match command {
            "create" => self.document.pointer("/linux/resources").is_some_and(is_set),
            "update" => self.steps.iter().any(is_updated),
            _ => false,
        }
    }
}

/// Whether the tested runtime refuses what the reference does.
pub(super) fn is_refusal(difference: &Difference) -> bool {
    let found = difference.found.as_deref();
    difference.command == "create" && difference.key == ENDED && found == Some("refused")
}

/// Whether the tested runtime does what the reference refuses.
pub(super) fn is_acceptance(difference: &Difference) -> bool {
    let found = difference.found.as_deref();
    difference.command == "create" && difference.key == ENDED && found == Some("done")
}
