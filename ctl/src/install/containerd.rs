//! containerd, for pods and for `ctr`. Docker's own runtimes are Docker's business, even where it uses the same containerd.

use std::path::PathBuf;
use std::time::Duration;

use super::change::Change;
use super::command::{self, ANSWER};
use super::containerd_dump::works;
use super::containerd_toml::{ConfigToml, DROP_IN, Form, drop_in};
use super::daemon_commands::started;
use super::record::{self, Before};
use super::root::Root;
use super::{Engine, NAME, Options, Plan, Verb, installed};
use crate::error::Error;

const ENGINE: &str = "containerd";
const CONFIG: &str = "/etc/containerd/config.toml";
pub(super) const RESTART: Duration = Duration::from_secs(120);

pub(super) fn plan(root: &Root, verb: Verb, options: &Options) -> Result<Plan, Error> {
    let program = installed(root, ENGINE);
    if verb == Verb::Install && root.is_host() && !options.force && program.is_none() {
        return Err(Error::Missing {
            what: ENGINE.to_owned(),
            hint: "install containerd first; --force writes its configuration anyway".to_owned(),
        });
    }
    let path = config(root);
    let old = root.read(&path)?;
    let merges = merges(root, program.is_some())?;
    let empty = if merges { "version = 3\n" } else { "version = 2\n" };
    let text = old.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(empty);
    let file = ConfigToml { path: &path, text };
    let before = record::find(root, ENGINE, &path)?;
    let version = file.version()?;
    // One that was upgraded still reads the tables.
    let tables = file.has_runvf(Form::Tables)? || !(merges || version >= 3);
    let form = if tables { Form::Tables } else { Form::DropIn };
    match verb {
        Verb::Install => install(root, file, old.as_deref(), form, before),
        Verb::Uninstall => uninstall(root, file, old.as_deref(), before),
    }
}

fn install(
    root: &Root,
    file: ConfigToml<'_>,
    old: Option<&str>,
    form: Form,
    before: Option<Before>,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    if form == Form::DropIn {
        let ours = drop_in(file.version()?);
        let there = root.read(DROP_IN)?;
        if there.as_ref().is_some_and(|there| *there != ours) {
            return Err(Error::Conflict {
                problem: format!("{DROP_IN} is there already, with something else in it"),
                hint: "take it away first".to_owned(),
            });
        }
        if let Some(change) = Change::between(DROP_IN, there, Some(ours)) {
            plan.lines.push(format!("wrote {DROP_IN}"));
            plan.changes.push(change);
        }
    }
    let new = file.with_runvf(form)?;
    if let Some(change) = Change::between(file.path, old.map(str::to_owned), Some(new)) {
        let path = file.path.display();
        plan.lines.push(match form {
            Form::Tables => format!("added runtime {NAME} to {path}"),
            Form::DropIn => format!("made {path} import {DROP_IN}"),
        });
        let before = before.filter(|_| file.has_runvf(form).unwrap_or(false));
        let before = before.unwrap_or_else(|| Before::now(root, file.path, old.map(str::to_owned)));
        plan.changes.extend(before.kept(root, ENGINE)?);
        plan.changes.push(change);
    }
    if file.cri_is_disabled() {
        plan.notes
            .push("its CRI plugin is in `disabled_plugins`, so no pod will get this".to_owned());
    }
    Ok(plan)
}

fn uninstall(
    root: &Root,
    file: ConfigToml<'_>,
    old: Option<&str>,
    before: Option<Before>,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let exact = before.as_ref().is_some_and(|before| is_ours_alone(file, before));
    let new = match &before {
        Some(before) if exact => before.text.clone(),
        _ => {
            let (new, keeps_runc) = file.without_runvf()?;
            if keeps_runc {
                plan.notes.push(
                    "left its runtime runc: other runtimes are named now, and without it there would be no pods".to_owned(),
                );
            }
            // A file that is empty is not one that says only its version.
            old.map(|old| if new == file.text { old.to_owned() } else { new })
        }
    };
    let path = file.path.display();
    if let Some(change) = Change::between(file.path, old.map(str::to_owned), new) {
        plan.lines.push(match (&change.new, exact) {
            (None, _) => format!("removed {path}, which was not there before"),
            (_, true) => format!("took {NAME} out of {path}; it is as it was before"),
            (_, false) => format!("took {NAME} out of {path}"),
        });
        plan.changes.push(change);
    }
    let there = root.read(DROP_IN)?;
    if there.as_ref().is_some_and(|there| [2, 3, 4].iter().any(|v| *there == drop_in(*v))) {
        plan.lines.push(format!("removed {DROP_IN}"));
        plan.changes.extend(Change::between(DROP_IN, there, None));
    } else if there.is_some() {
        plan.notes.push(format!("left {DROP_IN}: it is not what runvf wrote"));
    }
    if let Some(before) = before {
        plan.changes.extend(before.forgotten(root, ENGINE, exact)?);
    }
    Ok(plan)
}

/// Whether the file is what installing made of the one before, in either form, and nothing else.
fn is_ours_alone(file: ConfigToml<'_>, before: &Before) -> bool {
    let empty = match file.version() {
        Ok(version) => format!("version = {version}\n"),
        Err(_) => return false,
    };
    let text = before.text.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&empty);
    let earlier = ConfigToml { text, ..file };
    [Form::Tables, Form::DropIn].into_iter().any(|form| {
        earlier.has_runvf(form).is_ok_and(|had| !had)
            && earlier.with_runvf(form).is_ok_and(|now| now == file.text)
    })
}

/// The file that it is started with.
fn config(root: &Root) -> PathBuf {
    let all = started(root, ENGINE, "containerd.service");
    // dockerd starts one of its own, with a configuration of its own, if there is none.
    let mut ours = all.iter().filter(|started| {
        !started.values(&["--config", "-c"]).iter().any(|path| path.contains("/docker/"))
    });
    let path = ours.find_map(|started| started.values(&["--config", "-c"]).first().copied());
    PathBuf::from(path.unwrap_or(CONFIG))
}

/// `containerd github.com/containerd/containerd 1.7.24~ds1 …`, `… containerd/v2 v2.1.4 …`
fn merges(root: &Root, there: bool) -> Result<bool, Error> {
    if !root.is_host() || !there {
        return Ok(false);
    }
    let said = command::ok(&[ENGINE, "--version"], ANSWER)?;
    Ok(merges_by(&said))
}

fn merges_by(version: &str) -> bool {
    let number = version.split_whitespace().nth(2).unwrap_or_default().trim_start_matches('v');
    let major = number.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 2)
}

/// The files are in place, and taken back if this fails: containerd reads them at its next start only, and what a drop-in comes to
/// can be seen only where it is imported.
pub(super) fn settle(
    root: &Root,
    verb: Verb,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    if installed(root, ENGINE).is_none() {
        return Ok(());
    }
    let config = config(root);
    if root.has(&config) {
        let path = config.to_string_lossy();
        let dump = command::ok(&[ENGINE, "--config", &path, "config", "dump"], ANSWER)?;
        let disabled = plan.notes.iter().any(|note| note.contains("disabled_plugins"));
        if !disabled {
            works(&dump, verb).map_err(|what| Error::NotTaken {
                engine: Engine::Containerd.name(),
                what: format!("does not take this: {what}"),
                hint: format!("see `containerd --config {path} config dump`"),
            })?;
        }
    }
    let restart = ["systemctl", "restart", "containerd.service"];
    if options.restart {
        command::ok(&restart, RESTART)?;
        plan.lines.push("restarted".to_owned());
    } else {
        plan.notes.push(format!(
            "it takes this at its next start: `{}` (containers run on)",
            restart.join(" ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containerd_2_merges() {
        for (said, expected) in [
            ("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6", false),
            ("containerd github.com/containerd/containerd/v2 v2.1.4 abc", true),
            ("containerd containerd.io 1.7.27 05044ec0", false),
            ("containerd github.com/containerd/containerd/v2 2.2.0-rc1", true),
            ("", false),
        ] {
            assert_eq!(merges_by(said), expected, "{said}");
        }
    }
}
