//! containerd, for pods and for `ctr`. Docker's runtimes are configured in Docker, even if it uses
//! the same containerd.

use std::path::{Path, PathBuf};

use super::change::Change;
use super::command::{self, COMMAND_TIMEOUT};
use super::containerd_dump;
use super::containerd_toml::{ConfigToml, DROP_IN, Form, KeptRunc, drop_in, is_drop_in};
use super::daemon_commands;
use super::engine::{Engine, NAME};
use super::options::{Action, Options};
use super::own_files::{self, same_meaning};
use super::plan::Plan;
use super::record::UndoData;
use super::restart;
use super::root::Root;
use super::toml_document::values;
use crate::error::Error;

const ENGINE: &str = "containerd";
const CONFIG: &str = "/etc/containerd/config.toml";

pub(super) fn plan(root: &Root, action: Action, options: &Options) -> Result<Plan, Error> {
    let program = root.find_program(ENGINE);
    let must_exist = action == Action::Install && root.is_host() && !options.force;
    if must_exist && program.is_none() {
        return Err(Error::NotInstalled {
            object: ENGINE.to_owned(),
            hint: "install containerd first, or use --force to write its configuration anyway"
                .to_owned(),
        });
    }
    let path = config_path(root);
    let undo = UndoData::load(root, ENGINE)?;
    match action {
        Action::Install => {
            UndoData::check_file(undo.as_ref(), root, &path, |path, text| {
                let file = ConfigToml { path, text };
                [Form::Tables, Form::DropIn]
                    .iter()
                    .any(|form| file.has_runvf(*form).unwrap_or(false))
            })?;
            install(root, &path, merges_files(root, program.is_some())?, undo)
        }
        Action::Uninstall => {
            let mut plan = Plan::default();
            plan_removal_of_drop_in(root, options.force, &mut plan)?;
            for (path, undo) in UndoData::files(undo, &path) {
                uninstall(root, &path, undo, &mut plan)?;
            }
            Ok(plan)
        }
    }
}

/// The text to edit: an empty or missing file is edited as one with only a version.
fn text_to_edit(text: Option<&str>, merges: bool) -> &str {
    let empty = if merges { "version = 3\n" } else { "version = 2\n" };
    text.filter(|text| !text.trim().is_empty()).unwrap_or(empty)
}

/// `merges` is whether this containerd merges imported files.
fn install(root: &Root, path: &Path, merges: bool, undo: Option<UndoData>) -> Result<Plan, Error> {
    let old = root.read(path)?;
    let file = ConfigToml { path, text: text_to_edit(old.as_deref(), merges) };
    let version = file.version()?;
    // A containerd that was upgraded to 2 still reads the tables.
    let tables = file.has_runvf(Form::Tables)? || !(merges || version >= 3);
    let form = if tables { Form::Tables } else { Form::DropIn };

    let mut plan = Plan::default();
    if form == Form::DropIn {
        plan_drop_in(root, version, &mut plan)?;
    }
    let new = file.with_runvf(form)?;
    if let Some(change) = Change::between(path, old.clone(), Some(new.clone())) {
        plan.done.push(match form {
            Form::Tables => format!("added runtime {NAME} to {}", path.display()),
            Form::DropIn => format!("added {DROP_IN} to the imports of {}", path.display()),
        });
        let has_runvf = file.has_runvf(form).unwrap_or(false);
        let mut undo = UndoData::for_install(undo, root, path, old.clone(), has_runvf);
        undo.set_written(old.as_deref(), &new);
        plan.changes.extend(undo.save(root, ENGINE)?);
        plan.changes.push(change);
    }
    if file.cri_is_disabled() {
        plan.notes
            .push("pods cannot use runvf: the CRI plugin is in `disabled_plugins`".to_owned());
    }
    Ok(plan)
}

fn plan_drop_in(root: &Root, version: i64, plan: &mut Plan) -> Result<(), Error> {
    let old = root.read(DROP_IN)?;
    if old.as_deref().is_some_and(|old| !is_drop_in(old)) {
        return Err(Error::Conflict {
            problem: format!("{DROP_IN} exists with other content"),
            hint: "remove it first".to_owned(),
        });
    }
    if let Some(change) = Change::between(DROP_IN, old, Some(drop_in(version))) {
        plan.done.push(format!("wrote {DROP_IN}"));
        plan.changes.push(change);
    }
    Ok(())
}

fn plan_removal_of_drop_in(root: &Root, force: bool, plan: &mut Plan) -> Result<(), Error> {
    let old = root.read(DROP_IN)?;
    let Some(text) = old.as_deref() else { return Ok(()) };
    if force || is_drop_in(text) {
        plan.done.push(format!("removed {DROP_IN}"));
        plan.changes.extend(Change::between(DROP_IN, old, None));
    } else if same_meaning(text, "") {
        plan.notes.push(format!("kept {DROP_IN}: it was edited"));
    } else {
        return Err(own_files::edited(DROP_IN));
    }
    Ok(())
}

fn uninstall(
    root: &Root,
    path: &Path,
    undo: Option<UndoData>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let old = root.read(path)?;
    let file = ConfigToml { path, text: text_to_edit(old.as_deref(), false) };
    let restore = undo.as_ref().is_some_and(|undo| is_restorable(file, old.as_deref(), undo));
    let new = match &undo {
        Some(undo) if restore => undo.original.clone(),
        // An invalid file does not prevent the uninstall if it does not even have the name.
        _ if !file.text.contains(NAME) => old.clone(),
        _ => {
            let (new, kept) = file.without_runvf()?;
            plan.notes.extend(kept.map(|kept| {
                let reason = match kept {
                    KeptRunc::Needed => {
                        "other runtimes are configured, and CRI does not start without its default \
                         runtime"
                    }
                    KeptRunc::Edited => "it was edited since the install",
                };
                format!("kept the runtime runc: {reason}")
            }));
            // An empty file stays empty: `file` has the text that stands for it.
            old.clone().map(|old| if new == file.text { old } else { new })
        }
    };
    if let Some(change) = Change::between(path, old, new) {
        let path = path.display();
        plan.done.push(match (&change.new, restore) {
            (None, _) => format!("removed {path}, which install had created"),
            (_, true) => format!("restored {path} from its backup"),
            (_, false) => format!("removed {NAME} from {path}"),
        });
        plan.changes.push(change);
    }
    if let Some(undo) = undo {
        plan.changes.extend(undo.remove(root, ENGINE, restore)?);
    }
    Ok(())
}

/// Whether the original can be restored without the loss of an edit.
fn is_restorable(file: ConfigToml<'_>, old: Option<&str>, undo: &UndoData) -> bool {
    let original = undo.original.as_deref().unwrap_or_default();
    let original = ConfigToml { text: original, ..file };
    let had_runvf = |form| original.has_runvf(form).unwrap_or(true);
    !undo.is_backup_lost
        && !had_runvf(Form::Tables)
        && !had_runvf(Form::DropIn)
        && (undo.is_unedited(old) || (undo.record.written.is_none() && is_install_of(file, undo)))
}

/// Whether the file has the values of the original and of runvf, and no others. An earlier version
/// of runvf did not record the text that it wrote.
fn is_install_of(file: ConfigToml<'_>, undo: &UndoData) -> bool {
    let Ok(version) = file.version() else { return false };
    let empty = format!("version = {version}\n");
    let original = undo.original.as_deref().filter(|text| !text.trim().is_empty());
    let original = ConfigToml { text: original.unwrap_or(&empty), ..file };
    let installed = values(file.text);
    installed.is_some()
        && [Form::Tables, Form::DropIn]
            .into_iter()
            .any(|form| original.with_runvf(form).is_ok_and(|text| values(&text) == installed))
}

/// The configuration file in containerd's command line.
fn config_path(root: &Root) -> PathBuf {
    let commands = daemon_commands::find(root, ENGINE, "containerd.service");
    // dockerd starts a containerd of its own, with a configuration of its own, if none is running.
    let mut system = commands.iter().filter(|command| {
        !command.values(&["--config", "-c"]).iter().any(|path| path.contains("/docker/"))
    });
    let path = system.find_map(|command| command.values(&["--config", "-c"]).first().copied());
    PathBuf::from(path.unwrap_or(CONFIG))
}

/// Whether containerd merges imported files, as version 2 and later do.
fn merges_files(root: &Root, is_installed: bool) -> Result<bool, Error> {
    if !root.is_host() || !is_installed {
        return Ok(false);
    }
    let version = command::stdout(&[ENGINE, "--version"], COMMAND_TIMEOUT)?;
    Ok(version_merges_files(&version))
}

/// `containerd github.com/containerd/containerd 1.7.24~ds1 …`, `… containerd/v2 v2.1.4 …`
fn version_merges_files(version: &str) -> bool {
    let number = version.split_whitespace().nth(2).unwrap_or_default().trim_start_matches('v');
    let major = number.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 2)
}

/// Checks the files, which are already written: containerd reads them only when it starts, and the
/// effect of a drop-in is visible only where it is imported. On an error they are rolled back.
pub(super) fn activate(
    root: &Root,
    action: Action,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    if root.find_program(ENGINE).is_none() {
        return Ok(());
    }
    let config = config_path(root);
    if let Some(text) = root.read(&config)? {
        let file = ConfigToml { path: &config, text: &text };
        let is_checked = match action {
            Action::Install => !file.cri_is_disabled(),
            // containerd does not start with an invalid file, and uninstall has not changed it.
            Action::Uninstall => file.parsed().is_ok(),
        };
        if is_checked {
            check_dump(&config, action, plan)?;
        }
    }
    restart::restart_or_advise(Engine::Containerd, " (containers keep running)", options, plan)
}

fn check_dump(config: &Path, action: Action, plan: &mut Plan) -> Result<(), Error> {
    let path = config.to_string_lossy();
    let dump = command::stdout(&[ENGINE, "--config", &path, "config", "dump"], COMMAND_TIMEOUT);
    let dump = match (dump, action) {
        (Ok(dump), _) => dump,
        (Err(error), Action::Install) => return Err(error),
        // The files no longer have runvf, so a broken containerd is no reason to keep it.
        (Err(error), Action::Uninstall) => {
            plan.notes.push(format!("not checked by containerd: {}", error.line()));
            return Ok(());
        }
    };
    containerd_dump::check(&dump, action).map_err(|reason| Error::NotApplied {
        engine: Engine::Containerd.name(),
        problem: format!("does not apply this configuration: {reason}"),
        hint: format!("see `containerd --config {path} config dump`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containerd_2_merges_files() {
        for (version, expected) in [
            ("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6", false),
            ("containerd github.com/containerd/containerd/v2 v2.1.4 abc", true),
            ("containerd containerd.io 1.7.27 05044ec0", false),
            ("containerd github.com/containerd/containerd/v2 2.2.0-rc1", true),
            ("", false),
        ] {
            assert_eq!(version_merges_files(version), expected, "{version}");
        }
    }
}
