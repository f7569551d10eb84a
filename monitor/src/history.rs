//! The frames and the lost frames of each VF over the last ten minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use vf::{CaptureSockets, Counted, PfStatus, VfStatus};

/// Between two points. A sensor that goes silent is seen soon enough, and an idle monitor sleeps.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Ten minutes.
pub(crate) const POINTS: usize = 120;
/// The most VFs with a history: about 1 KiB each.
const MAX_VFS: usize = 1024;

/// What a VF received and lost in one interval, per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// `None`: the VF has no counter, or the counter was reset in between.
    pub(crate) frames: Option<f32>,
    /// The frames that the VF dropped and that the sensor's sockets lost. `None`: both are unknown.
    pub(crate) drops: Option<f32>,
}

/// The histories, by the PCI address of the VF.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    vfs: BTreeMap<String, Series>,
}

/// The history of one claim.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    nonce: String,
    /// The newest is the last.
    pub(crate) points: VecDeque<Point>,
    last: Option<Counts>,
    sockets: SocketLoss,
}

/// The counters of a VF at one time.
#[derive(Debug, Clone, Copy)]
struct Counts {
    at: Instant,
    frames: Option<Counted>,
    drops: Option<Counted>,
    lost: Option<u64>,
}

impl History {
    /// Adds a point to each claimed VF, and forgets the VFs that are no longer claimed.
    pub(crate) fn record(&mut self, now: Instant, pfs: &[PfStatus]) {
        let mut before = std::mem::take(&mut self.vfs);
        for vf in pfs.iter().flat_map(|pf| &pf.vfs) {
            let Some(claim) = &vf.claim else { continue };
            if self.vfs.len() >= MAX_VFS {
                break;
            }
            let same = before.remove(&vf.vf).filter(|series| series.nonce == claim.nonce);
            let mut series = same.unwrap_or_else(|| Series::new(claim.nonce.clone()));
            series.record(now, vf);
            self.vfs.insert(vf.vf.clone(), series);
        }
    }

    pub(crate) fn of(&self, vf: &str) -> Option<&Series> {
        self.vfs.get(vf)
    }
}

impl Series {
    fn new(nonce: String) -> Self {
        Self { nonce, points: VecDeque::new(), last: None, sockets: SocketLoss::default() }
    }

    fn record(&mut self, now: Instant, vf: &VfStatus) {
        let lost = vf.sockets.as_ref().and_then(|sockets| self.sockets.add(sockets));
        let counts = Counts { at: now, frames: vf.frames, drops: vf.drops, lost };
        let last = self.last.replace(counts);
        // The first look has no point, because a rate takes two.
        let Some(last) = last else { return };
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point(&last, &counts));
    }

    /// The frames that the sensor's sockets have lost, as far as known.
    pub(crate) fn sockets_lost(&self) -> Option<u64> {
        self.last.and_then(|counts| counts.lost)
    }

    /// Whether the VF has received nothing for the whole time of the history.
    pub(crate) fn is_silent(&self) -> bool {
        self.points.len() == POINTS && self.points.iter().all(|point| point.frames == Some(0.0))
    }
}

fn point(last: &Counts, now: &Counts) -> Point {
    let seconds = now.at.duration_since(last.at).as_secs_f64().max(0.001);
    let per_second = |count: u64| (count as f64 / seconds) as f32;
    let counted = |last: Option<Counted>, now: Option<Counted>| {
        let (last, now) = (last?, now?);
        now.count.checked_sub(last.count).filter(|_| last.by == now.by)
    };
    let drops = counted(last.drops, now.drops);
    let lost = last.lost.zip(now.lost).and_then(|(last, now)| now.checked_sub(last));
    let all = match (drops, lost) {
        (None, None) => None,
        (drops, lost) => Some(drops.unwrap_or(0) + lost.unwrap_or(0)),
    };
    let frames = counted(last.frames, now.frames).map(per_second);
    Point { frames, drops: all.map(per_second) }
}

/// The loss of all sockets of a sensor, also of closed ones, so that the sum never falls.
#[derive(Debug, Clone, Default)]
struct SocketLoss {
    /// The last count of each socket that is open, by inode number.
    open: BTreeMap<u32, u32>,
    sum: u64,
}

impl SocketLoss {
    /// Returns the sum. `None`: the loss of no socket is known.
    fn add(&mut self, sockets: &CaptureSockets) -> Option<u64> {
        let before = std::mem::take(&mut self.open);
        for socket in &sockets.listed {
            let Some(lost) = socket.lost else { continue };
            // A lower count is that of a new socket with the inode number of an old one.
            let known = before.get(&socket.inode).copied().filter(|known| *known <= lost);
            self.sum += u64::from(lost - known.unwrap_or(0));
            self.open.insert(socket.inode, lost);
        }
        (!self.open.is_empty() || self.sum > 0).then_some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use vf::{CaptureSocket, Counter};

    use super::*;
    use crate::invented::{claim, pf, vf};

    fn seen(nonce: &str, frames: u64, drops: Option<u64>) -> [PfStatus; 1] {
        let by_pf = |count| Counted { count, by: Counter::Pf };
        let mut vf = vf(0, Some(claim("acme", 100, nonce)));
        vf.frames = Some(Counted { count: frames, by: Counter::Interface });
        vf.drops = drops.map(by_pf);
        [pf("pf0", vec![vf])]
    }

    fn points(history: &History) -> Vec<(Option<f32>, Option<f32>)> {
        let points = &history.of("0000:01:10.0").unwrap().points;
        points.iter().map(|point| (point.frames, point.drops)).collect()
    }

    #[test]
    fn a_point_is_the_rate_between_two_looks_and_unknown_after_a_reset() {
        let (mut history, start) = (History::default(), Instant::now());
        let mut look = |second, pfs: &[PfStatus]| {
            history.record(start + Duration::from_secs(second), pfs);
            points(&history)
        };
        assert_eq!(look(0, &seen("n", 1000, None)), []);
        assert_eq!(look(5, &seen("n", 1500, None)), [(Some(100.0), None)]);
        assert_eq!(look(10, &seen("n", 2500, Some(7)))[1], (Some(200.0), None));
        assert_eq!(look(15, &seen("n", 10, Some(17)))[2], (None, Some(2.0)));
        // Another container has the VF now.
        assert_eq!(look(20, &seen("m", 10, None)), []);
    }

    #[test]
    fn the_history_is_bounded_and_ends_with_the_claim() {
        let (mut history, mut now) = (History::default(), Instant::now());
        for count in 0..3 * POINTS as u64 {
            now += INTERVAL;
            history.record(now, &seen("n", count, None));
        }
        let series = history.of("0000:01:10.0").unwrap();
        assert_eq!((series.points.len(), series.is_silent()), (POINTS, false));
        for _ in 0..POINTS {
            now += INTERVAL;
            history.record(now, &seen("n", 1 << 30, None));
        }
        // The first of these points has frames, and leaves with the next one.
        assert!(!history.of("0000:01:10.0").unwrap().is_silent());
        history.record(now + INTERVAL, &seen("n", 1 << 30, None));
        assert!(history.of("0000:01:10.0").unwrap().is_silent());
        history.record(now, &[pf("pf0", vec![vf(0, None)])]);
        assert!(history.of("0000:01:10.0").is_none());
        let all = (0..2 * MAX_VFS as u32).map(|n| vf(n, Some(claim("acme", 100, "n")))).collect();
        history.record(now, &[pf("pf0", all)]);
        assert_eq!(history.vfs.len(), MAX_VFS);
    }

    #[test]
    fn the_loss_of_a_closed_socket_stays_in_the_sum() {
        let mut loss = SocketLoss::default();
        let mut look = |sockets: &[(u32, Option<u32>)]| {
            let listed = sockets.iter().map(|(inode, lost)| {
                let ring = lost.is_none().then_some(4096);
                CaptureSocket { inode: *inode, ring, lost: *lost }
            });
            loss.add(&CaptureSockets { listed: listed.collect(), more: 0 })
        };
        assert_eq!(look(&[(1, None)]), None);
        assert_eq!(look(&[(1, None), (2, Some(5))]), Some(5));
        assert_eq!(look(&[(2, Some(9)), (3, Some(1))]), Some(10));
        assert_eq!(look(&[]), Some(10));
        assert_eq!(look(&[(2, Some(9))]), Some(19));
        assert_eq!(look(&[(2, Some(3))]), Some(22));
    }
}
