//! Docker: `runtimes.runvf` in the file that dockerd reads, which is the user's own.

use std::io::Write;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::change::Change;
use super::command::{self, ANSWER};
use super::daemon_json::DaemonJson;
use super::dockerd::Dockerd;
use super::record::{self, Before};
use super::root::Root;
use super::{Engine, NAME, Options, Plan, Verb, transaction};
use crate::error::Error;

const ENGINE: &str = "docker";
/// A reload is a signal, and dockerd asks every runtime for its features.
const RELOAD: Duration = Duration::from_secs(60);

pub(super) fn plan(root: &Root, verb: Verb, options: &Options) -> Result<Plan, Error> {
    let dockerd = Dockerd::find(root, options.force || verb == Verb::Uninstall)?;
    let text = root.read(&dockerd.config)?;
    let file = DaemonJson { path: &dockerd.config, text: text.as_deref() };
    let before = record::find(root, ENGINE, file.path)?;
    match verb {
        // By a command line that names it, as the one that refuses it asks for.
        Verb::Install if !options.default && dockerd.is_started_with_runvf() => Ok(Plan::default()),
        Verb::Install => {
            dockerd.is_fit()?;
            let plan = install(root, file, before, options.default)?;
            if !plan.changes.is_empty() {
                dockerd.can_take(options.default)?;
            }
            Ok(plan)
        }
        Verb::Uninstall => uninstall(root, file, before),
    }
}

fn install(
    root: &Root,
    file: DaemonJson<'_>,
    before: Option<Before>,
    default: bool,
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let had = file.has_runvf()?;
    let old = file.text.map(str::to_owned);
    let new = file.with_runvf(default)?;
    let Some(change) = Change::between(file.path, old.clone(), Some(new)) else { return Ok(plan) };

    // A record of before runvf was taken out by hand tells nothing any more.
    let mut before = before.filter(|_| had).unwrap_or_else(|| Before::now(root, file.path, old));
    if default && !before.record.default {
        before.record.default = true;
        before.record.default_before = file.default_runtime()?;
    }
    let path = file.path.display();
    let backup = match &before.record.backup {
        Some(backup) => format!("backup {}", backup.display()),
        None => "there was no such file".to_owned(),
    };
    if !had {
        plan.lines.push(format!("added runtime {NAME} to {path} ({backup})"));
    }
    if default {
        let was = before.record.default_before.as_deref().unwrap_or("none");
        plan.lines.push(format!("made {NAME} the default runtime in {path} (it was {was})"));
    }
    plan.changes = before.kept(root, ENGINE)?;
    plan.changes.push(change);
    Ok(plan)
}

fn uninstall(root: &Root, file: DaemonJson<'_>, before: Option<Before>) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let path = file.path.display();
    let old = file.text.map(str::to_owned);
    let exact = before.as_ref().is_some_and(|before| is_ours_alone(file, before));
    let new = match (&before, file.text) {
        (Some(before), _) if exact => before.text.clone(),
        (_, None) => None,
        (before, Some(_)) => {
            let default =
                before.as_ref().and_then(|before| before.record.default_before.as_deref());
            Some(file.without_runvf(default)?)
        }
    };
    if let Some(change) = Change::between(file.path, old, new) {
        plan.lines.push(match (&change.new, exact) {
            (None, _) => format!("removed {path}, which was not there before"),
            (_, true) => format!("took runtime {NAME} out of {path}; it is as it was before"),
            (_, false) => format!("took runtime {NAME} out of {path}"),
        });
        plan.changes.push(change);
    } else if exact {
        plan.lines.push(format!("{path} is as it was before"));
    }
    if let Some(before) = before {
        if let Some(backup) = before.record.backup.as_ref().filter(|_| !exact) {
            let backup = backup.display();
            plan.notes
                .push(format!("{path} has been edited since; {backup} has it as it was before"));
        }
        plan.changes.extend(before.forgotten(root, ENGINE, exact)?);
    }
    Ok(plan)
}

/// Whether the file is what installing made of the one before, and nothing else; or what uninstalling left of it when it was interrupted.
fn is_ours_alone(file: DaemonJson<'_>, before: &Before) -> bool {
    let earlier = DaemonJson { text: before.text.as_deref(), ..file };
    let is_that = |text: Result<String, Error>| text.ok().as_deref() == file.text;
    earlier.has_runvf().is_ok_and(|had| !had)
        && (earlier.text == file.text
            || is_that(earlier.with_runvf(before.record.default))
            || [false, true].into_iter().any(|default| is_that(earlier.explicit(default))))
}

pub(super) fn validate(root: &Root, plan: &Plan) -> Result<(), Error> {
    let dockerd = Dockerd::find(root, true)?;
    let new = plan.changes.iter().find(|change| change.path == dockerd.config);
    let Some(new) = new.and_then(|change| change.new.as_deref()) else { return Ok(()) };
    if !root.has(&dockerd.program) {
        return Ok(());
    }
    let write = || {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(new.as_bytes())?;
        Ok(file)
    };
    let file = write().map_err(Error::file("write", std::env::temp_dir()))?;
    let (program, path) = (dockerd.program.to_string_lossy(), file.path().to_string_lossy());
    let said = command::run(&[&program, "--validate", "--config-file", &path], ANSWER)?;
    // Before Docker 23 there was no such option.
    if said.success || said.stderr.contains("unknown flag") {
        return Ok(());
    }
    Err(Error::Content {
        path: dockerd.config,
        problem: format!("dockerd would refuse it with {NAME}: {}", said.last_line()),
        hint: "correct it first; nothing was changed".to_owned(),
    })
}

pub(super) fn settle(root: &Root, verb: Verb, plan: &mut Plan) -> Result<(), Error> {
    let dockerd = Dockerd::find(root, true)?;
    let Some(change) = plan.changes.iter().find(|change| change.path == dockerd.config) else {
        return confirm(root, verb, plan);
    };
    if dockerd.pid.is_none() {
        plan.notes.push("dockerd does not run; it reads that file when it starts".to_owned());
        return Ok(());
    }
    let had = DaemonJson { path: &dockerd.config, text: change.old.as_deref() };
    tell(root, &dockerd, verb, had.default_runtime()?.is_some(), change.new.as_deref())?;
    plan.lines.push(told(verb));
    Ok(())
}

/// The file says it already. Somebody else wrote it, or whoever installed or uninstalled was interrupted.
pub(super) fn confirm(root: &Root, verb: Verb, plan: &mut Plan) -> Result<(), Error> {
    let dockerd = Dockerd::find(root, true)?;
    let wanted = verb == Verb::Install;
    // What cannot be asked is not told either; and its command line is not ours.
    if dockerd.pid.is_none()
        || knows_runvf().unwrap_or(wanted) == wanted
        || (!wanted && dockerd.is_started_with_any_runvf())
    {
        return Ok(());
    }
    let text = root.read(&dockerd.config)?;
    tell(root, &dockerd, verb, !wanted && has_it_as_default()?, text.as_deref())?;
    plan.lines.push(told(verb));
    Ok(())
}

fn told(verb: Verb) -> String {
    let known = if verb == Verb::Install { "knows" } else { "has forgotten" };
    format!("reloaded; it {known} {NAME} now")
}

/// Has dockerd read its file, which has this text. `default` is whether it knows a default runtime by what the file was before.
fn tell(
    root: &Root,
    dockerd: &Dockerd,
    verb: Verb,
    default: bool,
    text: Option<&str>,
) -> Result<(), Error> {
    let path = root.at(&dockerd.config)?;
    if verb == Verb::Install {
        reload(dockerd)?;
        return comes_to_know(true);
    }
    let explicit = DaemonJson { path: &dockerd.config, text }.explicit(default)?;
    transaction::write(&path, Some(&explicit), &path)?;
    let taken = reload(dockerd).and_then(|()| comes_to_know(false));
    transaction::write(&path, text, &path)?;
    taken
}

fn comes_to_know(known: bool) -> Result<(), Error> {
    if command::wait_until(RELOAD, || Ok(knows_runvf()? == known))? {
        return Ok(());
    }
    let what = if known { "does not know runvf" } else { "still knows runvf" };
    Err(Error::NotTaken {
        engine: Engine::Docker.name(),
        what: format!("{what} {} s after its reload", RELOAD.as_secs()),
        hint: "`journalctl -u docker` may say why".to_owned(),
    })
}

/// Containers run on through a reload, and not through a restart.
fn reload(dockerd: &Dockerd) -> Result<(), Error> {
    let active = ["systemctl", "is-active", "--quiet", "docker.service"];
    if command::run(&active, ANSWER).is_ok_and(|said| said.success) {
        return command::ok(&["systemctl", "reload", "docker.service"], RELOAD).map(drop);
    }
    let Some(pid) = dockerd.pid else { return Ok(()) };
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .map_err(|errno| Error::Spawn { command: format!("kill -HUP {pid}"), source: errno.into() })
}

pub(super) fn knows_runvf() -> Result<bool, Error> {
    let text = command::ok(&["docker", "info", "-f", "{{json .Runtimes}}"], ANSWER)?;
    let runtimes: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(runtimes.get(NAME).is_some())
}

fn has_it_as_default() -> Result<bool, Error> {
    let name = command::ok(&["docker", "info", "-f", "{{.DefaultRuntime}}"], ANSWER)?;
    Ok(name.trim() == NAME)
}

pub(super) fn revert(root: &Root) {
    if let Ok(dockerd) = Dockerd::find(root, true) {
        let _ = reload(&dockerd);
    }
}
