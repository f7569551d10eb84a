//! The output of install and uninstall: one line for each step, or JSON.

use serde_json::json;

use super::change::Change;
use super::engine::Engine;
use super::plan::Plan;

pub(super) fn dry_run(engine: Engine, plan: &Plan, json: bool) -> String {
    let visible = || plan.changes.iter().filter(|change| !change.internal);
    if json {
        let changes: Vec<_> =
            visible().map(|change| json!({ "path": change.path, "diff": change.diff() })).collect();
        let all = json!({ "engine": engine.name(), "changes": changes, "notes": plan.notes });
        return format!("{all:#}\n");
    }
    let mut text: String = visible().map(Change::diff).collect();
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
            "done": plan.done,
            "notes": plan.notes,
        });
        return format!("{all:#}\n");
    }
    let lines = plan.done.iter().chain(&plan.notes);
    lines.map(|line| format!("{}: {line}\n", engine.name())).collect()
}
