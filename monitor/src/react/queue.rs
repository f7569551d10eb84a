//! The queue of looks: pure decisions about time.
//!
//! There is at most one entry per VF, so any number of events needs no more memory. A PF has one
//! look at a time, because a look takes the PF's lock; all VFs of the PF that are due are looked at
//! together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use vf::Look;

/// How long a look waits for further events, so that a reset of a PF is one look at all its VFs.
pub(crate) const COLLECT_TIME: Duration = Duration::from_millis(20);

/// Between two attempts. The time doubles up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long an event waits at most after a failed look.
const EVENT_RETRY: Duration = Duration::from_secs(2);

/// The findings of a VF within [`FINDINGS_TIME`] after which its looks wait. Each finding is an
/// audit entry, and a container may turn its promiscuity off all the time.
const MAX_FINDINGS: usize = 20;
const FINDINGS_TIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Due {
    at: Instant,
    since: Option<SystemTime>,
    pf: String,
}

#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// By the PCI address of the VF.
    due: BTreeMap<String, Due>,
    /// PFs that are looked at now.
    busy: BTreeSet<String>,
    /// The latest findings, by VF.
    findings: BTreeMap<String, VecDeque<Instant>>,
    /// Failed attempts in a row, and when the next event may cause a look, by VF.
    failures: BTreeMap<String, (u32, Instant)>,
}

impl Looks {
    /// Asks for a look at a VF. `since`: see [`Look::since`]. `after`: the time to wait before.
    pub(crate) fn ask(
        &mut self,
        vf: &str,
        pf: &str,
        since: Option<SystemTime>,
        (now, after): (Instant, Duration),
    ) {
        let at = self.earliest(vf, now).max(now + after);
        match self.due.get_mut(vf) {
            Some(due) => {
                due.at = due.at.min(at);
                // An unknown begin is earlier than each known one.
                due.since = due.since.zip(since).map(|(one, other)| one.min(other));
                pf.clone_into(&mut due.pf);
            }
            None => {
                self.due.insert(vf.to_owned(), Due { at, since, pf: pf.to_owned() });
            }
        }
    }

    /// When the next look at this VF may begin.
    fn earliest(&self, vf: &str, now: Instant) -> Instant {
        let after_failure = self.failures.get(vf).map_or(now, |(_, next)| *next);
        match self.findings.get(vf) {
            Some(findings) if findings.len() >= MAX_FINDINGS => {
                after_failure.max(findings[0] + FINDINGS_TIME)
            }
            _ => after_failure,
        }
    }

    /// Forgets the look at a VF, because another process works on its claim.
    pub(crate) fn cancel(&mut self, vf: &str) {
        self.due.remove(vf);
    }

    /// Forgets a VF without a claim.
    pub(crate) fn forget(&mut self, vf: &str) {
        self.cancel(vf);
        self.findings.remove(vf);
        self.failures.remove(vf);
    }

    /// Takes the VFs of one PF that are due. The PF is busy until [`Looks::ended`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<(String, Vec<Look>)> {
        let is_due = |due: &&Due| due.at <= now && !self.busy.contains(&due.pf);
        let pf = self.due.values().filter(is_due).min_by_key(|due| due.at)?.pf.clone();
        let taken: Vec<String> = self
            .due
            .iter()
            .filter(|(_, due)| due.pf == pf && due.at <= now)
            .map(|(vf, _)| vf.clone())
            .collect();
        let look = |vf: String| {
            let since = self.due.remove(&vf)?.since;
            Some(Look { vf, since })
        };
        let looks = taken.into_iter().filter_map(look).collect();
        self.busy.insert(pf.clone());
        Some((pf, looks))
    }

    /// When [`Looks::take`] has something at the earliest. `None`: not before the next event or the
    /// end of a look.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let ready = self.due.values().filter(|due| !self.busy.contains(&due.pf));
        ready.map(|due| due.at).min()
    }

    /// The look at a PF has ended.
    pub(crate) fn ended(&mut self, pf: &str) {
        self.busy.remove(pf);
    }

    /// The look at a VF has ended. `has_found`: its finding counts for [`MAX_FINDINGS`].
    pub(crate) fn succeeded(&mut self, vf: &str, has_found: bool, now: Instant) {
        self.failures.remove(vf);
        if !has_found {
            return;
        }
        let findings = self.findings.entry(vf.to_owned()).or_default();
        findings.push_back(now);
        while findings.len() > MAX_FINDINGS
            || findings.front().is_some_and(|at| *at + FINDINGS_TIME <= now)
        {
            findings.pop_front();
        }
    }

    /// The look at a VF has failed: it is tried again. Returns the number of failures in a row.
    pub(crate) fn failed(&mut self, look: &Look, pf: &str, now: Instant) -> u32 {
        let count = self.failures.get(&look.vf).map_or(0, |(count, _)| *count).saturating_add(1);
        let wait = RETRY.0.saturating_mul(2_u32.saturating_pow(count - 1)).min(RETRY.1);
        self.failures.insert(look.vf.clone(), (count, now + wait.min(EVENT_RETRY)));
        self.ask(&look.vf, pf, look.since, (now, wait));
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PF: &str = "0000:01:00.0";
    const OTHER: &str = "0000:02:00.0";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn taken(looks: &mut Looks, now: Instant) -> Option<Vec<(String, Option<SystemTime>)>> {
        let (_, looks) = looks.take(now)?;
        Some(looks.into_iter().map(|look| (look.vf, look.since)).collect())
    }

    #[test]
    fn the_vfs_of_a_pf_are_looked_at_together_after_a_moment() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.ask("a", PF, Some(at(5)), (now, COLLECT_TIME));
        looks.ask("b", PF, Some(at(6)), (now, COLLECT_TIME));
        looks.ask("c", OTHER, None, (now, COLLECT_TIME));
        assert_eq!(taken(&mut looks, now), None);
        let later = now + COLLECT_TIME;
        assert_eq!(looks.next_time(), Some(later));
        let both = vec![("a".to_owned(), Some(at(5))), ("b".to_owned(), Some(at(6)))];
        assert_eq!(taken(&mut looks, later), Some(both));
        assert_eq!(taken(&mut looks, later), Some(vec![("c".to_owned(), None)]));
        assert_eq!((taken(&mut looks, later), looks.next_time()), (None, None));
    }

    #[test]
    fn a_busy_pf_waits_and_its_events_are_kept() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.ask("a", PF, None, (now, Duration::ZERO));
        assert!(looks.take(now).is_some());
        looks.ask("a", PF, Some(at(7)), (now, Duration::ZERO));
        assert_eq!((taken(&mut looks, now), looks.next_time()), (None, None));
        looks.ended(PF);
        assert_eq!(taken(&mut looks, now), Some(vec![("a".to_owned(), Some(at(7)))]));
    }

    #[test]
    fn a_gap_begins_with_the_first_event() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        for (second, first) in
            [(Some(at(5)), Some(at(5))), (Some(at(9)), Some(at(7))), (None, None)]
        {
            looks.ask("a", PF, Some(at(7)), (now, Duration::ZERO));
            looks.ask("a", PF, second, (now, Duration::ZERO));
            assert_eq!(taken(&mut looks, now), Some(vec![("a".to_owned(), first)]));
            looks.ended(PF);
        }
    }

    #[test]
    fn a_vf_with_many_findings_waits_until_the_first_is_a_minute_old() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        for _ in 0..MAX_FINDINGS {
            assert_eq!(looks.earliest("a", now), now);
            looks.succeeded("a", true, now);
        }
        looks.ask("a", PF, None, (now, Duration::ZERO));
        assert_eq!(taken(&mut looks, now), None);
        let later = now + FINDINGS_TIME;
        assert_eq!(looks.next_time(), Some(later));
        assert!(taken(&mut looks, later).is_some());
        looks.succeeded("a", true, later);
        assert_eq!(looks.earliest("a", later), later);
        assert_eq!(looks.findings["a"].len(), 1);
    }

    #[test]
    fn a_failed_look_is_tried_again_ever_later() {
        let (mut looks, mut now) = (Looks::default(), Instant::now());
        let look = Look { vf: "a".to_owned(), since: Some(at(5)) };
        let mut waits = Vec::new();
        for count in 1..10 {
            assert_eq!(looks.failed(&look, PF, now), count);
            let next = looks.next_time().unwrap();
            waits.push((next - now).as_millis());
            now = next;
            assert_eq!(taken(&mut looks, now), Some(vec![("a".to_owned(), Some(at(5)))]));
            looks.ended(PF);
        }
        assert_eq!(waits[..4], [500, 1000, 2000, 4000]);
        assert_eq!(waits[7..], [30_000, 30_000]);
        looks.succeeded("a", false, now);
        assert_eq!(looks.failed(&look, PF, now), 1);
    }

    /// A look that cannot succeed, and an event after each look, are no busy loop.
    #[test]
    fn an_event_after_a_failure_waits_two_seconds_at_most() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        let look = Look { vf: "a".to_owned(), since: None };
        for _ in 0..9 {
            looks.failed(&look, PF, now);
        }
        assert_eq!(looks.next_time(), Some(now + RETRY.0));
        looks.cancel("a");
        looks.ask("a", PF, None, (now, COLLECT_TIME));
        assert_eq!(looks.next_time(), Some(now + EVENT_RETRY));
    }

    #[test]
    fn a_vf_without_a_claim_leaves_nothing() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.succeeded("a", true, now);
        looks.failed(&Look { vf: "a".to_owned(), since: None }, PF, now);
        looks.forget("a");
        assert_eq!(looks.next_time(), None);
        assert!(looks.due.is_empty() && looks.findings.is_empty() && looks.failures.is_empty());
    }

    proptest! {
        /// However many events there are: one entry per VF, one look per PF, nothing is forgotten.
        #[test]
        fn the_queue_is_bounded_and_complete(asked in prop::collection::vec((0..8_u8, any::<bool>()), 0..200)) {
            let (mut looks, now) = (Looks::default(), Instant::now());
            let mut open = BTreeSet::new();
            for (vf, ends) in asked {
                let pf = if vf % 2 == 0 { PF } else { OTHER };
                looks.ask(&vf.to_string(), pf, None, (now, Duration::ZERO));
                open.insert(vf.to_string());
                prop_assert!(looks.due.len() <= 8);
                if let Some((pf, found)) = looks.take(now) {
                    for look in found {
                        prop_assert!(open.remove(&look.vf));
                    }
                    prop_assert!(looks.busy.len() <= 2);
                    if ends {
                        looks.ended(&pf);
                    }
                }
            }
            looks.ended(PF);
            looks.ended(OTHER);
            while let Some((pf, found)) = looks.take(now) {
                for look in found {
                    prop_assert!(open.remove(&look.vf));
                }
                looks.ended(&pf);
            }
            prop_assert!(open.is_empty(), "{:?}", open);
        }
    }
}
