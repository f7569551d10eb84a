//! Docker: plans `runtimes.runvf` in dockerd's configuration file, which belongs to the user.

use super::change::Change;
use super::daemon_json::DaemonJson;
use super::dockerd::Dockerd;
use super::engine::NAME;
use super::options::{Action, Options};
use super::plan::Plan;
use super::record::UndoData;
use super::root::Root;
use crate::error::Error;

const ENGINE: &str = "docker";

pub(super) fn plan(root: &Root, action: Action, options: &Options) -> Result<Plan, Error> {
    let dockerd = Dockerd::find(root, options.force || action == Action::Uninstall)?;
    let text = root.read(&dockerd.config)?;
    let file = DaemonJson { path: &dockerd.config, text: text.as_deref() };
    let undo = UndoData::load(root, ENGINE, file.path)?;
    match action {
        // The user added runvf to the command line, as the hint of `check_command_line` says.
        Action::Install if !options.default && dockerd.is_started_with_runvf() => {
            Ok(Plan::default())
        }
        Action::Install => {
            dockerd.check_supported()?;
            let plan = install(root, file, undo, options.default)?;
            if !plan.changes.is_empty() {
                dockerd.check_command_line(options.default)?;
            }
            Ok(plan)
        }
        Action::Uninstall => uninstall(root, file, undo),
    }
}

fn install(
    root: &Root,
    file: DaemonJson<'_>,
    undo: Option<UndoData>,
    default: bool,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let had_runvf = file.has_runvf()?;
    let old = file.text.map(str::to_owned);
    let new = file.with_runvf(default)?;
    let Some(change) = Change::between(file.path, old.clone(), Some(new.clone())) else {
        return Ok(plan);
    };

    // If runvf was removed by hand, the record is of an earlier install and no longer valid.
    let undo = undo.filter(|_| had_runvf);
    let mut undo = undo.unwrap_or_else(|| UndoData::new(root, file.path, old));
    undo.set_written(file.text, &new);
    if default && !undo.record.default {
        undo.record.default = true;
        undo.record.default_before = file.default_runtime()?;
    }
    let path = file.path.display();
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

fn uninstall(root: &Root, file: DaemonJson<'_>, undo: Option<UndoData>) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let path = file.path.display();
    let old = file.text.map(str::to_owned);
    let restore = undo.as_ref().is_some_and(|undo| is_restorable(file, undo));
    let new = match (&undo, file.text) {
        (Some(undo), _) if restore => undo.original.clone(),
        (_, None) => None,
        (undo, Some(_)) => {
            let default = undo.as_ref().and_then(|undo| undo.record.default_before.as_deref());
            Some(file.without_runvf(default)?)
        }
    };
    if let Some(change) = Change::between(file.path, old, new) {
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
            plan.notes
                .push(format!("{path} was edited since the install; kept the backup {backup}"));
        }
        plan.changes.extend(undo.remove(root, ENGINE, restore)?);
    }
    Ok(plan)
}

/// Whether the original can be restored without the loss of an edit. The file may also have the
/// temporary text of an interrupted uninstall (`DaemonJson::explicit`).
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
    original.has_runvf().is_ok_and(|has_runvf| !has_runvf)
        && (undo.is_unedited(file.text) || is_install() || interrupted.into_iter().any(matches))
}
