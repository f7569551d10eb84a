//! Drop-in files that belong to runvf alone: install writes them, uninstall removes them if they
//! are unchanged. Comments and empty lines do not count, because they differ between versions of
//! runvf.

use super::change::Change;
use super::options::Action;
use super::plan::Plan;
use super::root::Root;
use crate::error::Error;

/// Plans the files, each given as path and text. `force` replaces a file that has other content.
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
            Action::Uninstall if is_unchanged => {
                plan.done.push(format!("removed {path}"));
                plan.changes.extend(Change::between(path, old, None));
            }
            Action::Uninstall if old.is_some() => {
                plan.notes.push(format!("kept {path}: it was edited"));
            }
            Action::Uninstall => {}
        }
    }
    Ok(plan)
}

/// Whether two files differ at most in comment lines and empty lines.
pub(super) fn same_meaning(one: &str, other: &str) -> bool {
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
    lines(one).eq(lines(other))
}
