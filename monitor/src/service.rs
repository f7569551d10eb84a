//! The service: tells systemd that the monitor is ready and lives, and ends it by a signal.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::state::{Counter, State};

/// An error is ignored, because the monitor also runs without systemd.
fn tell(state: NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}

pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// Runs `work` until it ends or a signal asks for the end. The watchdog is fed from the thread of
/// the event loop, so it tells that the loop runs.
///
/// # Errors
/// The error of `work`.
pub(crate) async fn until_signal(
    work: impl Future<Output = Result<(), Error>>,
    state: &Arc<State>,
) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let result = tokio::select! {
        result = work => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = feed_watchdog(sd_notify::watchdog_enabled()) => Ok(()),
        () = show_status(state) => Ok(()),
    };
    tell(NotifyState::Stopping);
    result
}

/// `timeout`: after which systemd restarts the service.
async fn feed_watchdog(timeout: Option<Duration>) {
    let Some(timeout) = timeout else { return std::future::pending().await };
    loop {
        tell(NotifyState::Watchdog);
        tokio::time::sleep(timeout / 3).await;
    }
}

/// Between two status lines.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the line that `systemctl status` shows.
async fn show_status(state: &State) {
    let mut changes = state.changes();
    loop {
        tell(NotifyState::Status(&status(state)));
        // An error is impossible, because the state has the sender.
        let _ = changes.changed().await;
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

fn status(state: &State) -> String {
    let health = &state.health;
    let watched = state.watched().len();
    let [rearmed, set_back, lost, released, errors] =
        [&health.rearmed, &health.set_back, &health.lost, &health.released, &health.errors]
            .map(Counter::get);
    let dark = state.pfs_without_carrier();
    let dark = match dark.is_empty() {
        true => String::new(),
        false => format!("; without carrier: {}", dark.join(", ")),
    };
    format!(
        "{watched} VFs watched; {rearmed} re-armed, {set_back} set back, {lost} lost, \
         {released} released, {errors} errors{dark}"
    )
}

#[cfg(test)]
mod tests {
    use vf::{Host, PfLink};

    use super::*;

    #[test]
    fn the_status_names_the_pfs_without_carrier() {
        let state = State::new(Host::default());
        state.set_watched(["a", "b", "c"].map(str::to_owned).into());
        let link = |name: &str, carrier| {
            Some(PfLink { name: name.to_owned(), ifindex: 1, up: true, carrier })
        };
        state.set_pf("0000:01:00.0", link("pf0", true));
        let expected = "3 VFs watched; 0 re-armed, 0 set back, 0 lost, 0 released, 0 errors";
        assert_eq!(status(&state), expected);
        state.set_pf("0000:02:00.0", link("pf1", false));
        assert_eq!(status(&state), format!("{expected}; without carrier: pf1"));
        state.set_pf("0000:02:00.0", None);
        assert_eq!(status(&state), expected);
    }
}
