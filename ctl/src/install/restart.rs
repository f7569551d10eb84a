//! Restarts a daemon that reads its configuration only when it starts.

use std::time::Duration;

use super::command;
use super::engine::Engine;
use super::options::Options;
use super::plan::Plan;
use crate::error::Error;

const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

/// Restarts the engine's unit with `--restart`. Without it, a note tells the user to do so;
/// `effect` completes the note.
pub(super) fn restart_or_advise(
    engine: Engine,
    effect: &str,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    let unit = unit(engine);
    if !options.restart {
        plan.notes.push(format!("restart required: `systemctl restart {unit}`{effect}"));
        return Ok(());
    }
    restart("systemctl", &unit).map_err(|error| Error::NotApplied {
        engine: engine.name(),
        problem: format!("does not restart: {}", error.line()),
        hint: format!("see `journalctl -u {unit}`"),
    })?;
    plan.done.push("restarted".to_owned());
    Ok(())
}

/// After a rollback: starts the daemon again, which a failed restart has left stopped. `failed` is
/// the error that led to the rollback.
pub(super) fn start_again(engine: Engine, options: &Options, failed: Error) -> Error {
    match options.restart {
        true => start_after_rollback("systemctl", &unit(engine), failed),
        false => failed,
    }
}

fn unit(engine: Engine) -> String {
    format!("{}.service", engine.name())
}

fn restart(systemctl: &str, unit: &str) -> Result<(), Error> {
    command::stdout(&[systemctl, "restart", unit], RESTART_TIMEOUT).map(drop)
}

fn start_after_rollback(systemctl: &str, unit: &str, failed: Error) -> Error {
    // systemd does not start a unit that has failed too often.
    let _ = command::run(&[systemctl, "reset-failed", unit], RESTART_TIMEOUT);
    match restart(systemctl, unit) {
        Ok(()) => failed,
        Err(then) => {
            Error::NotStarted { unit: unit.to_owned(), failed: failed.line(), then: then.line() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn daemon_is_started_again_after_a_rollback() {
        let dir = tempfile::tempdir().unwrap();
        let systemctl = dir.path().join("systemctl");
        let (name, log) = (systemctl.to_str().unwrap(), dir.path().join("log"));
        let install = |status: u8| {
            let script = format!("#!/bin/sh\necho $* >> {}\nexit {status}\n", log.display());
            fs::write(&systemctl, script).unwrap();
            fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let first = || Error::NotRoot { engine: "containerd" };
        install(0);
        let error = start_after_rollback(name, "containerd.service", first());
        assert_eq!(error.line(), first().line());
        let calls = fs::read_to_string(&log).unwrap();
        assert_eq!(calls, "reset-failed containerd.service\nrestart containerd.service\n");
        install(1);
        let line = start_after_rollback(name, "containerd.service", first()).line();
        assert!(line.contains("and containerd.service does not start again: "), "{line}");
    }
}
