//! Frames per second: the difference between two snapshots of a VF's counter.

use std::collections::HashMap;
use std::time::Instant;

use vf::{Counted, VfStatus};

/// The counters of the last snapshot.
#[derive(Default)]
pub(super) struct Rates {
    last: HashMap<String, (Instant, Counted)>,
}

impl Rates {
    /// Rates by PCI address. A VF has a rate if both snapshots read the same counter and it was not
    /// reset between them.
    pub(super) fn since_last<'a>(
        &mut self,
        vfs: impl Iterator<Item = &'a VfStatus>,
    ) -> HashMap<String, u64> {
        let counts = vfs.filter_map(|vf| Some((vf.vf.clone(), vf.frames?)));
        self.since(Instant::now(), counts)
    }

    fn since(
        &mut self,
        now: Instant,
        counts: impl Iterator<Item = (String, Counted)>,
    ) -> HashMap<String, u64> {
        let counts: HashMap<String, Counted> = counts.collect();
        let rate = |(vf, counted): (&String, &Counted)| {
            let (then, before) = self.last.get(vf).filter(|(_, before)| before.by == counted.by)?;
            let frames = counted.count.checked_sub(before.count)?;
            let milliseconds = u64::try_from(now.duration_since(*then).as_millis()).ok()?.max(1);
            Some((vf.clone(), frames.saturating_mul(1000) / milliseconds))
        };
        let rates = counts.iter().filter_map(rate).collect();
        self.last = counts.into_iter().map(|(vf, counted)| (vf, (now, counted))).collect();
        rates
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vf::Counter;

    use super::*;

    #[test]
    fn rate_needs_two_values_of_the_same_counter() {
        let mut rates = Rates::default();
        let start = Instant::now();
        let mut rate = |seconds, count, by| {
            let counts = [("v".to_owned(), Counted { count, by })];
            let found = rates.since(start + Duration::from_secs(seconds), counts.into_iter());
            found.get("v").copied()
        };
        assert_eq!(rate(0, 100, Counter::Interface), None);
        assert_eq!(rate(2, 300, Counter::Interface), Some(100));
        assert_eq!(rate(4, 300, Counter::Interface), Some(0));
        // The counter was reset: another container has the VF.
        assert_eq!(rate(6, 10, Counter::Interface), None);
        assert_eq!(rate(8, 5000, Counter::Pf), None);
        assert_eq!(rate(9, 5001, Counter::Pf), Some(1));
    }
}
