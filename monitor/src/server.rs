//! The server: metrics and the page on a Unix socket and on loopback TCP, and the textfile.
//!
//! Nothing that a client sends changes any state. Everything is bounded: the connections of each
//! listener, the size of a request, the time for it, the time that a client may take to read, and
//! the streams of the page. A server that cannot start its listener tries again and ends nothing,
//! because the reactions to events matter more.

mod connection;
mod events;
mod listen;
mod site;
mod textfile;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use vf::AuditFollower;

use crate::config::Config;
use crate::error::Error;
use crate::history::INTERVAL;
use crate::log;
use crate::server::listen::RETRY_INTERVAL;
use crate::server::site::Site;
use crate::state::State;
use crate::totals::Totals;
use crate::view::{View, Viewer};

/// The least time between two looks at the host, however many VFs change while the page is shown.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The newest view. `None`: there was no look yet.
type Views = watch::Sender<Option<Arc<View>>>;

/// Serves until the monitor ends.
pub(crate) async fn serve(config: Arc<Config>, state: Arc<State>) -> Result<(), Error> {
    let views = watch::Sender::new(None);
    let site = Arc::new(Site::new(Arc::clone(&state), views.subscribe()));
    let (textfile_views, audit_views) = (views.subscribe(), views.subscribe());
    let totals = Arc::new(Mutex::new(Totals::default()));
    tokio::join!(
        follow_audit_log(Arc::clone(&state), audit_views, Arc::clone(&totals)),
        keep_looking(Arc::clone(&state), views, totals, Arc::clone(&site)),
        listen::unix(&config, Arc::clone(&site)),
        listen::tcp(&config, Arc::clone(&site)),
        textfile::keep_writing(&config, state, textfile_views),
    );
    Ok(())
}

/// Looks at the host every [`INTERVAL`], and after a change while a page is shown.
async fn keep_looking(
    state: Arc<State>,
    views: Views,
    totals: Arc<Mutex<Totals>>,
    site: Arc<Site>,
) {
    let mut viewer = Viewer::new(state.host.clone());
    let mut changes = state.changes();
    let mut is_failing = false;
    loop {
        let began = Instant::now();
        changes.mark_unchanged();
        // One look at a time: a kernel that hangs in one holds one thread, and the page says how
        // old its data is.
        let looked = tokio::task::spawn_blocking(move || {
            let looked = viewer.look();
            (viewer, looked)
        });
        let Ok((back, looked)) = looked.await else { return };
        viewer = back;
        match looked {
            Ok(mut view) => {
                view.totals = totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
                view.watched = state.watched();
                views.send_replace(Some(Arc::new(view)));
                is_failing = false;
            }
            Err(error) => {
                state.health.errors.add(1);
                // Once, because the next looks most likely fail as well.
                if !std::mem::replace(&mut is_failing, true) {
                    log::warning(format!("metrics and page are old: {}", error.line()));
                }
            }
        }
        let change = async {
            loop {
                if changes.changed().await.is_err() || site.has_viewers() {
                    return;
                }
            }
        };
        // A look that takes long must not keep a thread busy all the time.
        let next = (began + INTERVAL).max(Instant::now() + LEAST_INTERVAL);
        if timeout_at(next, change).await.is_ok() {
            sleep_until(began + LEAST_INTERVAL).await;
        }
    }
}

/// Counts the entries of the audit log, after each view, so that an idle monitor wakes up less
/// often. The counts are in the next view. It is a task apart from the looks, because the log's
/// file system may hang.
async fn follow_audit_log(
    state: Arc<State>,
    mut views: watch::Receiver<Option<Arc<View>>>,
    totals: Arc<Mutex<Totals>>,
) {
    let mut follower = loop {
        let host = state.host.clone();
        match tokio::task::spawn_blocking(move || AuditFollower::at_end(&host)).await {
            Ok(Ok(follower)) => break follower,
            Ok(Err(error)) => log::warning(format!("cannot read the audit log: {error}")),
            Err(_) => return,
        }
        sleep(RETRY_INTERVAL).await;
    };
    while views.changed().await.is_ok() {
        let read = tokio::task::spawn_blocking(move || {
            let entries = follower.next_entries();
            (follower, entries)
        });
        let Ok((back, entries)) = read.await else { return };
        follower = back;
        match entries {
            Ok(entries) => {
                let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                entries.iter().for_each(|entry| totals.count(entry));
            }
            Err(_) => state.health.errors.add(1),
        }
    }
}

/// Serves views by TCP, on a port that the kernel chooses, for tests with Prometheus and Chromium.
#[cfg(test)]
pub(crate) async fn serve_views(
    state: Arc<State>,
    views: watch::Receiver<Option<Arc<View>>>,
) -> std::net::SocketAddr {
    let site = Arc::new(Site::new(state, views));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let listener = listen::Listener::Tcp(listener);
    tokio::spawn(listen::accept_all(listener, site, connection::Times::default()));
    address
}

#[cfg(test)]
mod tests;
