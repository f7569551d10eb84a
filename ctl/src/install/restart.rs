//! Restarts a daemon that reads its configuration only when it starts.

use std::time::Duration;

use super::command;
use super::options::Options;
use super::plan::Plan;
use crate::error::Error;

const RESTART_TIMEOUT: Duration = Duration::from_secs(120);

/// Restarts the unit with `--restart`. Without it, a note tells the user to do so; `effect`
/// completes the note.
pub(super) fn restart_or_advise(
    unit: &str,
    effect: &str,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    let restart = ["systemctl", "restart", unit];
    if options.restart {
        command::stdout(&restart, RESTART_TIMEOUT)?;
        plan.done.push("restarted".to_owned());
    } else {
        plan.notes.push(format!("restart required: `{}`{effect}", restart.join(" ")));
    }
    Ok(())
}
