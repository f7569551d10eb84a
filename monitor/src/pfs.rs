//! The PFs with claims: their links, and when they are read again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use vf::PfLink;

/// Between two reads of a PF. runvf's own attach changes a PF a few times within milliseconds, and
/// some drivers hold the kernel's network lock for milliseconds per VF to answer.
const READ_INTERVAL: Duration = Duration::from_millis(100);
/// Between two reads of a PF that could not be read, for example during a reset.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Then the next event or `gc` must tell.
const MAX_RETRIES: u32 = 20;

#[derive(Debug, Default)]
struct Pf {
    link: Option<PfLink>,
    /// When to read it, and when the first event happened. `None` as the event: it is unknown what
    /// happened before.
    due: Option<(Instant, Option<SystemTime>)>,
    is_being_read: bool,
    failures: u32,
}

/// By PCI address.
#[derive(Debug, Default)]
pub(crate) struct Pfs {
    pfs: BTreeMap<String, Pf>,
}

impl Pfs {
    /// Keeps these PFs only, and reads the new ones.
    pub(crate) fn keep<'a>(&mut self, claimed: impl Iterator<Item = &'a str>, now: Instant) {
        let mut kept = BTreeMap::new();
        for pci in claimed {
            if kept.contains_key(pci) {
                continue;
            }
            let new = || Pf { due: Some((now, None)), ..Pf::default() };
            kept.insert(pci.to_owned(), self.pfs.remove(pci).unwrap_or_else(new));
        }
        self.pfs = kept;
    }

    /// The PCI address of the PF with this netdev.
    pub(crate) fn by_link(&self, ifindex: u32, parent: Option<&str>) -> Option<String> {
        let is_it = |(pci, pf): &(&String, &Pf)| {
            parent == Some(pci.as_str()) || pf.link.as_ref().is_some_and(|it| it.ifindex == ifindex)
        };
        self.pfs.iter().find(is_it).map(|(pci, _)| pci.clone())
    }

    pub(crate) fn has(&self, pci: &str) -> bool {
        self.pfs.contains_key(pci)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.pfs.keys().cloned().collect()
    }

    /// Asks for a read. `at`: when the event happened.
    pub(crate) fn ask(&mut self, pci: &str, at: Option<SystemTime>, now: Instant) {
        let Some(pf) = self.pfs.get_mut(pci) else { return };
        pf.due = Some(match pf.due {
            // An unknown begin is earlier than each known one.
            Some((due, first)) => (due, first.zip(at).map(|(one, other)| one.min(other))),
            None => (now + READ_INTERVAL, at),
        });
    }

    /// Takes a PF that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(String, Option<SystemTime>)> {
        let (pci, pf) = self
            .pfs
            .iter_mut()
            .find(|(_, pf)| !pf.is_being_read && pf.due.is_some_and(|(due, _)| due <= now))?;
        let (_, at) = pf.due.take()?;
        pf.is_being_read = true;
        Some((pci.clone(), at))
    }

    pub(crate) fn next_time(&self) -> Option<Instant> {
        let waiting = self.pfs.values().filter(|pf| !pf.is_being_read);
        waiting.filter_map(|pf| pf.due.map(|(due, _)| due)).min()
    }

    /// A PF was read. Returns its link before, if that is another one.
    pub(crate) fn read(&mut self, pci: &str, link: Option<PfLink>) -> Option<Option<PfLink>> {
        let pf = self.pfs.get_mut(pci)?;
        (pf.is_being_read, pf.failures) = (false, 0);
        let before = std::mem::replace(&mut pf.link, link);
        (before != pf.link).then_some(before)
    }

    /// A PF could not be read: it is read again. Returns whether this is the first failure in a row.
    pub(crate) fn failed(&mut self, pci: &str, at: Option<SystemTime>, now: Instant) -> bool {
        let Some(pf) = self.pfs.get_mut(pci) else { return false };
        pf.is_being_read = false;
        pf.failures += 1;
        if pf.failures <= MAX_RETRIES {
            pf.due.get_or_insert((now + RETRY_INTERVAL, at));
        }
        pf.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PF: &str = "0000:01:00.0";

    fn link(ifindex: u32, carrier: bool) -> Option<PfLink> {
        Some(PfLink { name: "pf0".to_owned(), ifindex, up: true, carrier })
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn one_pf(now: Instant) -> Pfs {
        let mut pfs = Pfs::default();
        pfs.keep([PF, PF].into_iter(), now);
        pfs
    }

    #[test]
    fn a_new_pf_is_read_at_once_and_one_without_claims_is_forgotten() {
        let now = Instant::now();
        let mut pfs = one_pf(now);
        assert_eq!(pfs.take(now), Some((PF.to_owned(), None)));
        assert_eq!(pfs.take(now), None);
        assert_eq!(pfs.read(PF, link(7, true)), Some(None));
        pfs.keep([PF].into_iter(), now);
        assert_eq!((pfs.take(now), pfs.by_link(7, None)), (None, Some(PF.to_owned())));
        pfs.keep(std::iter::empty(), now);
        assert!(!pfs.has(PF) && pfs.by_link(7, None).is_none());
        assert_eq!(pfs.read(PF, link(7, true)), None, "it was forgotten while it was read");
    }

    #[test]
    fn events_during_a_read_are_one_more_read() {
        let now = Instant::now();
        let mut pfs = one_pf(now);
        pfs.take(now);
        for second in [9, 5, 7] {
            pfs.ask(PF, at(second), now);
        }
        assert_eq!((pfs.take(now + READ_INTERVAL), pfs.next_time()), (None, None));
        pfs.read(PF, link(7, true));
        assert_eq!(pfs.take(now), None);
        assert_eq!(pfs.take(now + READ_INTERVAL), Some((PF.to_owned(), at(5))));
        // Its netdev was registered again.
        assert_eq!(pfs.by_link(8, Some(PF)), Some(PF.to_owned()));
        assert_eq!(pfs.by_link(8, Some("0000:01:10.0")), None);
        assert_eq!(pfs.read(PF, link(8, true)), Some(link(7, true)));
        pfs.ask("0000:09:00.0", None, now);
        assert!(!pfs.has("0000:09:00.0"));
    }

    #[test]
    fn a_pf_that_cannot_be_read_is_tried_a_limited_number_of_times() {
        let mut now = Instant::now();
        let mut pfs = one_pf(now);
        let mut reads = 0;
        while pfs.take(now).is_some() {
            reads += 1;
            assert_eq!(pfs.failed(PF, at(5), now), reads == 1);
            now += RETRY_INTERVAL;
        }
        assert_eq!(reads, MAX_RETRIES + 1);
        pfs.ask(PF, at(6), now);
        assert!(pfs.take(now + READ_INTERVAL).is_some(), "an event reads it again");
    }
}
