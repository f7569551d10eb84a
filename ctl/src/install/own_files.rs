//! Drop-in files that belong to runvf alone: install writes them, and uninstall removes them if they
//! are unchanged. An edited file that still names runvf makes uninstall fail, because the engine
//! would keep runvf. Comments and empty lines do not count, because they differ between versions of
//! runvf.

use super::change::Change;
use super::engine::NAME;
use super::options::Action;
use super::plan::Plan;
use super::root::Root;
use crate::error::Error;

/// Plans the files, each given as path and text. `force` replaces or removes a file that has other
/// content.
pub(super) fn plan(
    root: &Root,
    action: Action,
    force: bool,
    files: &[(&str, &str)],
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for (path, text) in files {
        let old = root.read(path)?;
        let is_unchanged = old.as_deref().is_some_and(|old| same_meaning(old, text));
        match action {
            Action::Install => {
                if old.is_some() && !is_unchanged && !force {
                    return Err(Error::Conflict {
                        problem: format!("{path} exists with other content"),
                        hint: "use --force to replace it".to_owned(),
                    });
                }
                let change = Change::between(path, old, Some((*text).to_owned()));
                if change.is_some() {
                    plan.done.push(format!("wrote {path}"));
                }
                plan.changes.extend(change);
            }
            Action::Uninstall => match old.as_deref() {
                Some(_) if is_unchanged || force => {
                    plan.done.push(format!("removed {path}"));
                    plan.changes.extend(Change::between(path, old, None));
                }
                Some(old) if meaning(old).any(|line| line.contains(NAME)) => {
                    return Err(edited(path));
                }
                Some(_) => plan.notes.push(format!("kept {path}: it was edited")),
                None => {}
            },
        }
    }
    Ok(plan)
}

/// The error of an uninstall that would leave runvf registered by an edited file.
pub(super) fn edited(path: &str) -> Error {
    Error::Conflict {
        problem: format!("{path} was edited, and the engine still reads it"),
        hint: "remove it by hand, or use --force to remove it; nothing was changed".to_owned(),
    }
}

/// Whether two files differ at most in comment lines and empty lines.
pub(super) fn same_meaning(one: &str, other: &str) -> bool {
    meaning(one).eq(meaning(other))
}

/// The lines that are neither empty nor comments.
fn meaning(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}
