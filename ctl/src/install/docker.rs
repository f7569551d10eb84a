//! Docker: plans `runtimes.runvf` in dockerd's configuration file, which belongs to the user.

use std::path::Path;

use super::change::Change;
use super::daemon_json::DaemonJson;
use super::dockerd::Dockerd;
use super::engine::NAME;
use super::options::{Action, Options};
use super::plan::Plan;
use super::record::UndoData;
use super::root::Root;
use super::temporary_text::TemporaryText;
use crate::error::Error;

const ENGINE: &str = "docker";
/// The default runtime runvf, as JSON.
const DEFAULT: &str = "\"runvf\"";

pub(super) fn plan(root: &Root, action: Action, options: &Options) -> Result<Plan, Error> {
    let dockerd = Dockerd::find(root, options.force || action == Action::Uninstall)?;
    let undo = UndoData::load(root, ENGINE)?;
    match action {
        // The user added runvf to the command line, as the hint of `check_command_line` says.
        Action::Install if !options.default && dockerd.is_started_with_runvf() => {
            Ok(Plan::default())
        }
        Action::Install => {
            dockerd.check_supported()?;
            UndoData::check_file(undo.as_ref(), root, &dockerd.config, |path, text| {
                DaemonJson { path, text: Some(text) }.has_runvf().unwrap_or(false)
            })?;
            let plan = install(root, &dockerd.config, undo, options.default)?;
            if !plan.changes.is_empty() {
                dockerd.check_command_line(options.default)?;
            }
            Ok(plan)
        }
        Action::Uninstall => {
            let mut plan = Plan::default();
            for (path, undo) in UndoData::files(undo, &dockerd.config) {
                uninstall(root, &path, undo, &mut plan)?;
            }
            Ok(plan)
        }
    }
}

/// The text of a file, and the text that it should have: they differ if an uninstall was
/// interrupted while dockerd reloaded the file.
fn read(root: &Root, path: &Path) -> Result<(Option<String>, Option<String>), Error> {
    let text = root.read(path)?;
    let settled = TemporaryText::load(root, path)?.filter(|it| Some(&it.text) == text.as_ref());
    Ok((text.clone(), settled.map_or(text, |it| it.then)))
}

fn install(root: &Root, path: &Path, undo: Option<UndoData>, default: bool) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let (text, old) = read(root, path)?;
    let file = DaemonJson { path, text: old.as_deref() };
    let had_runvf = file.has_runvf()?;
    let new = file.with_runvf(default)?;
    let Some(change) = Change::between(path, text, Some(new.clone())) else {
        return Ok(plan);
    };

    let mut undo = UndoData::for_install(undo, root, path, old.clone(), had_runvf);
    undo.set_written(file.text, &new);
    let before = file.default_runtime()?;
    // At a second install, the user may have chosen another default runtime since the first.
    if default && before.as_deref() != Some(DEFAULT) {
        undo.record.default = true;
        undo.record.default_before = before;
    }
    let path = path.display();
    let backup = match &undo.record.backup {
        Some(backup) => format!("backup {}", backup.display()),
        None => "new file".to_owned(),
    };
    if !had_runvf {
        plan.done.push(format!("added runtime {NAME} to {path} ({backup})"));
    }
    if default {
        let before = undo.record.default_before.as_deref().unwrap_or("none");
        plan.done.push(format!("set default runtime to {NAME} in {path} (was {before})"));
    }
    plan.changes = undo.save(root, ENGINE)?;
    plan.changes.push(change);
    Ok(plan)
}

fn uninstall(
    root: &Root,
    path: &Path,
    undo: Option<UndoData>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (text, old) = read(root, path)?;
    let file = DaemonJson { path, text: old.as_deref() };
    let path = path.display();
    let restore = undo.as_ref().is_some_and(|undo| is_restorable(file, undo));
    let new = match (&undo, file.text) {
        (Some(undo), _) if restore => undo.original.clone(),
        (_, None) => None,
        (undo, Some(_)) => {
            let default = undo.as_ref().and_then(|undo| undo.record.default_before.as_deref());
            Some(file.without_runvf(default)?)
        }
    };
    if let Some(change) = Change::between(file.path, text, new) {
        plan.done.push(match (&change.new, restore) {
            (None, _) => format!("removed {path}, which install had created"),
            (_, true) => format!("restored {path} from its backup"),
            (_, false) => format!("removed runtime {NAME} from {path}"),
        });
        plan.changes.push(change);
    } else if restore {
        plan.done.push(format!("{path} is already restored"));
    }
    if let Some(undo) = undo {
        if let Some(backup) = undo.record.backup.as_ref().filter(|_| !restore) {
            let backup = backup.display();
            plan.notes.push(match undo.is_backup_lost {
                true => format!("the backup {backup} of {path} is missing"),
                false => {
                    format!("{path} was edited since the install; kept the backup {backup}")
                }
            });
        }
        plan.changes.extend(undo.remove(root, ENGINE, restore)?);
    }
    Ok(())
}

/// Whether the original can be restored without the loss of an edit. An earlier version of runvf did
/// not record the temporary text of an uninstall (`DaemonJson::explicit`).
fn is_restorable(file: DaemonJson<'_>, undo: &UndoData) -> bool {
    let original = DaemonJson { text: undo.original.as_deref(), ..file };
    let interrupted = [false, true].map(|default| original.explicit(default));
    let matches = |expected: Result<String, Error>| {
        expected.is_ok_and(|expected| match undo.record.written {
            Some(_) => file.text == Some(&*expected),
            // An earlier version of runvf did not record the text that it wrote, and its layout
            // was another.
            None => file.text.is_some() && file.same_values(&expected),
        })
    };
    let is_install =
        || undo.record.written.is_none() && matches(original.with_runvf(undo.record.default));
    !undo.is_backup_lost
        && original.has_runvf().is_ok_and(|has_runvf| !has_runvf)
        && (undo.is_unedited(file.text) || is_install() || interrupted.into_iter().any(matches))
}
