//! Counts audit entries: attaches, releases, refusals, and how long they took. The gaps of a VF are
//! in its claim.
//!
//! The programs that attach and release end at once, and the audit log is where each of them leaves
//! an entry in any case. So none of them needs the monitor, or a file of its own.

use std::time::Duration;

use vf::{Entry, Event};

use crate::metrics::histogram::Histogram;

/// The container name in the entries of `runvfctl probe`, which uses VFs without a sensor.
const PROBE: &str = "(probe)";

/// Counts since the start of the monitor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) attaches: u64,
    pub(crate) releases: u64,
    pub(crate) forced_releases: u64,
    pub(crate) refusals: u64,
    pub(crate) quarantines: u64,
    pub(crate) losses: u64,
    pub(crate) changes: u64,
    pub(crate) attach_durations: Histogram,
    pub(crate) release_durations: Histogram,
}

impl Totals {
    pub(crate) fn count(&mut self, entry: &Entry) {
        if entry.container == PROBE {
            return;
        }
        let took = entry.took_ms.map(Duration::from_millis);
        match entry.event {
            Event::Attached => {
                self.attaches += 1;
                took.into_iter().for_each(|took| self.attach_durations.add(took));
            }
            Event::Released => self.releases += 1,
            Event::Forced => self.forced_releases += 1,
            Event::Refused => self.refusals += 1,
            Event::Suppressed => self.refusals += suppressed(entry),
            Event::Quarantined => self.quarantines += 1,
            Event::Lost => self.losses += 1,
            Event::Changed => self.changes += 1,
            _ => {}
        }
        if matches!(entry.event, Event::Released | Event::Forced | Event::Quarantined) {
            took.into_iter().for_each(|took| self.release_durations.add(took));
        }
    }
}

/// The number at the begin of the reason: "7 more refusals within a minute …".
fn suppressed(entry: &Entry) -> u64 {
    let first = entry.reason.as_deref().and_then(|reason| reason.split(' ').next());
    first.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let begin = r#"{"time":"2026-01-31T12:00:00.000Z","vlan":100,"interface":"mon0","#;
        serde_json::from_str(&format!("{begin}{text}}}")).unwrap()
    }

    #[test]
    fn entries_are_counted_by_their_event() {
        let mut totals = Totals::default();
        for text in [
            r#""container":"c","event":"attached","took_ms":120"#,
            r#""container":"(probe)","event":"attached","took_ms":120"#,
            r#""container":"c","event":"released","took_ms":400"#,
            r#""container":"c","event":"quarantined","took_ms":900"#,
            r#""container":"c","event":"refused""#,
            r#""container":"","event":"suppressed","reason":"7 more refusals within a minute""#,
            r#""container":"c","event":"lost""#,
        ] {
            totals.count(&entry(text));
        }
        let counts = [totals.attaches, totals.releases, totals.quarantines, totals.losses];
        assert_eq!((counts, totals.refusals), ([1, 1, 1, 1], 8));
        let mut text = crate::metrics::text::Text::default();
        totals.release_durations.write(text.histogram("r", "R."));
        assert!(text.into_string().contains("r_count 2\n"));
    }
}
