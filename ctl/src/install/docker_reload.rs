//! Docker: validates the new configuration file, makes dockerd reload it, and checks that dockerd
//! uses it.

use std::io::Write;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::command::{self, COMMAND_TIMEOUT};
use super::daemon_json::DaemonJson;
use super::dockerd::Dockerd;
use super::engine::{Engine, NAME};
use super::options::Action;
use super::plan::Plan;
use super::root::Root;
use super::temporary_text::TemporaryText;
use crate::error::Error;

/// dockerd reloads asynchronously, and runs `features` of every runtime when it does.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Lets dockerd validate the new text of its file, before it is written.
pub(super) fn validate(root: &Root, plan: &Plan) -> Result<(), Error> {
    let dockerd = Dockerd::find(root, true)?;
    let change = plan.changes.iter().find(|change| change.path == dockerd.config);
    let Some(new) = change.and_then(|change| change.new.as_deref()) else { return Ok(()) };
    if !root.exists(&dockerd.program) {
        return Ok(());
    }
    let write = || {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(new.as_bytes())?;
        Ok(file)
    };
    let file = write().map_err(Error::file("write", std::env::temp_dir()))?;
    let (program, path) = (dockerd.program.to_string_lossy(), file.path().to_string_lossy());
    let words = [&*program, "--validate", "--config-file", &path];
    let output = command::run(&words, COMMAND_TIMEOUT)?;
    // dockerd older than 23 does not have the option.
    if output.success || output.stderr.contains("unknown flag") {
        return Ok(());
    }
    Err(Error::Content {
        path: dockerd.config,
        problem: format!("dockerd rejects the file with {NAME} added: {}", output.last_line()),
        hint: "correct the file first; nothing was changed".to_owned(),
    })
}

/// The file was changed: makes dockerd reload it, and waits until dockerd knows runvf, or no longer
/// knows it.
pub(super) fn activate(root: &Root, action: Action, plan: &mut Plan) -> Result<(), Error> {
    let dockerd = Dockerd::find(root, true)?;
    let Some(change) = plan.changes.iter().find(|change| change.path == dockerd.config) else {
        return ensure_active(root, action, plan);
    };
    TemporaryText::forget(root)?;
    if dockerd.pid.is_none() {
        plan.notes.push("dockerd is not running; it reads the file when it starts".to_owned());
        return Ok(());
    }
    if action == Action::Install {
        return load(&dockerd, plan);
    }
    let old = DaemonJson { path: &dockerd.config, text: change.old.as_deref() };
    // dockerd took its default runtime from the old text.
    let default = old.default_runtime().is_ok_and(|default| default.is_some());
    let text = change.new.clone();
    // The file no longer has runvf, so a dockerd that does not answer is no reason to keep it.
    match knows_runvf() {
        Ok(_) => unload(root, &dockerd, default, text, plan),
        Err(error) => {
            plan.notes.push(format!(
                "dockerd may know runvf until its next start (`systemctl restart docker`): {}",
                error.line()
            ));
            Ok(())
        }
    }
}

/// The file needs no change: it was edited by hand, or an earlier run was interrupted before the
/// reload. Reloads dockerd if it does not use the file yet.
pub(super) fn ensure_active(root: &Root, action: Action, plan: &mut Plan) -> Result<(), Error> {
    TemporaryText::forget(root)?;
    let dockerd = Dockerd::find(root, true)?;
    let wanted = action == Action::Install;
    // A dockerd that cannot be asked is not reloaded, and runvf in its command line is not ours to
    // remove.
    if dockerd.pid.is_none()
        || knows_runvf().unwrap_or(wanted) == wanted
        || (!wanted && dockerd.is_started_with_any_runvf())
    {
        return Ok(());
    }
    if action == Action::Install {
        return load(&dockerd, plan);
    }
    let text = root.read(&dockerd.config)?;
    unload(root, &dockerd, uses_runvf_by_default()?, text, plan)
}

/// After a rollback: makes dockerd read the old file again.
pub(super) fn reload_after_rollback(root: &Root) {
    if let Ok(dockerd) = Dockerd::find(root, true) {
        let _ = reload(&dockerd);
    }
}

pub(super) fn knows_runvf() -> Result<bool, Error> {
    let words = ["docker", "info", "-f", "{{json .Runtimes}}"];
    let text = command::stdout(&words, COMMAND_TIMEOUT)?;
    let runtimes: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(runtimes.get(NAME).is_some())
}

fn uses_runvf_by_default() -> Result<bool, Error> {
    let words = ["docker", "info", "-f", "{{.DefaultRuntime}}"];
    Ok(command::stdout(&words, COMMAND_TIMEOUT)?.trim() == NAME)
}

/// Makes dockerd read its file, which has runvf.
fn load(dockerd: &Dockerd, plan: &mut Plan) -> Result<(), Error> {
    reload(dockerd)?;
    wait_until_known(true)?;
    plan.done.push(format!("reloaded; runtime {NAME} is available"));
    Ok(())
}

/// Makes dockerd forget runvf. Its file has this text, without runvf. For the duration of the
/// reload, the file names the removed keys explicitly. `default` is whether that includes the
/// default runtime.
fn unload(
    root: &Root,
    dockerd: &Dockerd,
    default: bool,
    text: Option<String>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let path = &dockerd.config;
    let explicit = DaemonJson { path, text: text.as_deref() }.explicit(default)?;
    let temporary = TemporaryText::begin(root, path, explicit, text)?;
    let result = reload(dockerd).and_then(|()| wait_until_known(false));
    if !temporary.end(root)? {
        plan.notes.push(format!(
            "{} was edited during the reload and keeps the edit; check `runtimes` and \
             `default-runtime` in it",
            path.display()
        ));
    }
    result?;
    plan.done.push(format!("reloaded; runtime {NAME} is no longer available"));
    Ok(())
}

/// dockerd does not always answer while it reloads.
fn wait_until_known(known: bool) -> Result<(), Error> {
    let mut answer = Ok(!known);
    let is_reached = command::wait_until(RELOAD_TIMEOUT, || {
        answer = knows_runvf();
        Ok(matches!(answer, Ok(answer) if answer == known))
    })?;
    if is_reached {
        return Ok(());
    }
    answer?;
    let state = if known { "does not know runvf" } else { "still knows runvf" };
    Err(Error::NotApplied {
        engine: Engine::Docker.name(),
        problem: format!("{state} {} s after its reload", RELOAD_TIMEOUT.as_secs()),
        hint: "see `journalctl -u docker`".to_owned(),
    })
}

/// A reload, not a restart: containers keep running.
fn reload(dockerd: &Dockerd) -> Result<(), Error> {
    let is_active = ["systemctl", "is-active", "--quiet", "docker.service"];
    if command::run(&is_active, COMMAND_TIMEOUT).is_ok_and(|output| output.success) {
        let reload = ["systemctl", "reload", "docker.service"];
        return command::stdout(&reload, RELOAD_TIMEOUT).map(drop);
    }
    let Some(pid) = dockerd.pid else { return Ok(()) };
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .map_err(|errno| Error::Spawn { command: format!("kill -HUP {pid}"), source: errno.into() })
}
