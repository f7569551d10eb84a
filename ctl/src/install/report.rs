//! What was done or would be: a line each, or JSON.

use serde_json::json;

use super::change::Change;
use super::{Engine, Plan};

pub(super) fn dry_run(engine: Engine, plan: &Plan, json: bool) -> String {
    let shown = || plan.changes.iter().filter(|change| !change.quiet);
    if json {
        let changes: Vec<_> =
            shown().map(|change| json!({ "path": change.path, "diff": change.diff() })).collect();
        let all = json!({ "engine": engine.name(), "changes": changes, "notes": plan.notes });
        return format!("{all:#}\n");
    }
    let mut text: String = shown().map(Change::diff).collect();
    if text.is_empty() {
        text = format!("{}: nothing to change\n", engine.name());
    }
    text
}

pub(super) fn done(engine: Engine, plan: &Plan, json: bool) -> String {
    if json {
        let paths: Vec<_> = plan.changes.iter().map(|change| &change.path).collect();
        let all = json!({
            "engine": engine.name(),
            "changed": paths,
            "done": plan.lines,
            "notes": plan.notes,
        });
        return format!("{all:#}\n");
    }
    let lines = plan.lines.iter().chain(&plan.notes);
    lines.map(|line| format!("{}: {line}\n", engine.name())).collect()
}
