//! The netdev of an attached VF, in its container's network namespace.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use vf::{NetdevEvent, NetdevState, VfEvents};

use super::readable::readable;
use super::{VfChange, VfEvent};

/// Events that are read at once. Then other tasks run.
const BATCH: usize = 256;

/// After an event that matters, the next ones are collected for this long, so that a container that
/// changes its netdev all the time costs 50 wake-ups a second at most.
const COLLECT_TIME: Duration = Duration::from_millis(20);

/// What the events that are waiting say.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Nothing,
    Changed,
    Gone,
}

/// Reports the changes of the netdev that matter to a sensor, until the netdev is gone. The socket
/// is closed when this future is dropped.
pub(crate) async fn watch(
    events: VfEvents,
    vf: String,
    watch: u64,
    reports: mpsc::Sender<VfEvent>,
) {
    let mut seen = events.first;
    let end = match readable(events) {
        Ok(events) => report_changes(&events, &mut seen, (&vf, watch), &reports).await,
        Err(error) => Err(error),
    };
    let what = match end {
        Ok(()) => VfChange::Gone { at: SystemTime::now() },
        Err(error) => VfChange::Unwatched { why: format!("cannot read link events: {error}") },
    };
    // An error means that the monitor ends.
    let _ = reports.send(VfEvent { vf, watch, what }).await;
}

/// Returns when the netdev is gone.
async fn report_changes(
    events: &AsyncFd<VfEvents>,
    seen: &mut NetdevState,
    (vf, watch): (&str, u64),
    reports: &mpsc::Sender<VfEvent>,
) -> io::Result<()> {
    loop {
        let mut ready = events.readable().await?;
        let at = SystemTime::now();
        let read = ready.try_io(|events| read(events.get_ref(), seen));
        match read {
            Err(_) | Ok(Ok(Read::Nothing)) => {}
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Read::Gone)) => return Ok(()),
            Ok(Ok(Read::Changed)) => {
                let what = VfChange::Netdev { at };
                let _ = reports.send(VfEvent { vf: vf.to_owned(), watch, what }).await;
                tokio::time::sleep(COLLECT_TIME).await;
            }
        }
    }
}

/// Reads the events that are waiting. An error of kind `WouldBlock` means that there was none.
fn read(events: &VfEvents, seen: &mut NetdevState) -> io::Result<Read> {
    let mut result = None;
    for _ in 0..BATCH {
        match events.read() {
            Ok(NetdevEvent::Gone) => return Ok(Read::Gone),
            Ok(NetdevEvent::Overrun) => result = Some(Read::Changed),
            Ok(NetdevEvent::Changed(state)) => {
                let is_new = matters(seen, state);
                if is_new || result.is_none() {
                    result = Some(if is_new { Read::Changed } else { Read::Nothing });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return result.ok_or(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(result.unwrap_or(Read::Nothing))
}

/// Whether the state differs from the last one. A re-arm turns only allmulti off and on, so the
/// monitor's own work is no event.
fn matters(seen: &mut NetdevState, state: NetdevState) -> bool {
    std::mem::replace(seen, state) != state
}

/// Whether a netdev needs a look when its watch begins: it is not as the claim says, or the claim
/// does not say how it was.
pub(crate) fn needs_look(first: NetdevState, claimed: Option<vf::CarrierCounts>) -> bool {
    let is_well = first.up && first.promiscuous && first.carrier;
    !is_well || claimed != Some(first.counts)
}

#[cfg(test)]
mod tests {
    use vf::CarrierCounts;

    use super::*;

    const COUNTS: CarrierCounts = CarrierCounts { changes: 1, downs: 0 };
    const WELL: NetdevState =
        NetdevState { up: true, promiscuous: true, carrier: true, counts: COUNTS };

    #[test]
    fn each_change_of_what_a_sensor_needs_matters_once() {
        let reset = CarrierCounts { changes: 3, downs: 1 };
        for changed in [
            NetdevState { up: false, ..WELL },
            NetdevState { promiscuous: false, ..WELL },
            NetdevState { carrier: false, ..WELL },
            // A reset between two events.
            NetdevState { counts: reset, ..WELL },
        ] {
            let mut seen = WELL;
            assert!(!matters(&mut seen, WELL), "nothing has changed");
            assert!(matters(&mut seen, changed), "{changed:?}");
            assert!(!matters(&mut seen, changed), "the same event again");
            assert!(matters(&mut seen, WELL), "its end");
        }
    }

    #[test]
    fn a_healthy_vf_needs_no_look_when_its_watch_begins() {
        assert!(!needs_look(WELL, Some(COUNTS)));
        assert!(needs_look(WELL, None));
        assert!(needs_look(WELL, Some(CarrierCounts { changes: 3, downs: 1 })));
        assert!(needs_look(NetdevState { promiscuous: false, ..WELL }, Some(COUNTS)));
        assert!(needs_look(NetdevState { carrier: false, ..WELL }, Some(COUNTS)));
    }
}
