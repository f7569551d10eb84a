//! Statistics of the turns of a case.

use lab::bench_protocol::Turn;
use serde::Serialize;

/// Times in milliseconds, and the peak memory in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Statistics {
    pub(crate) median: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) turns: usize,
    /// The largest peak of all turns.
    pub(crate) peak: u64,
}

impl Statistics {
    /// Returns `None` if there are no turns.
    pub(crate) fn of(turns: &[Turn]) -> Option<Self> {
        let mut all: Vec<f64> = turns.iter().map(|turn| turn.nanoseconds as f64 / 1e6).collect();
        all.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&all, 0.5)?,
            lower_quartile: quantile(&all, 0.25)?,
            upper_quartile: quantile(&all, 0.75)?,
            least: *all.first()?,
            most: *all.last()?,
            turns: all.len(),
            peak: turns.iter().map(|turn| turn.peak).max()?,
        })
    }
}

/// The quantile `q` of sorted values, interpolated linearly between the two nearest values.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = q * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted.get(rank.floor() as usize)?, sorted.get(rank.ceil() as usize)?);
    Some(below + (above - below) * rank.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let turn = |ms: u64| Turn { nanoseconds: ms * 1_000_000, peak: ms };
        let statistics = Statistics::of(&[turn(9), turn(1), turn(4), turn(2)]).unwrap();
        assert_eq!((statistics.median, statistics.least, statistics.most), (3.0, 1.0, 9.0));
        assert_eq!((statistics.lower_quartile, statistics.upper_quartile), (1.75, 5.25));
        assert_eq!((statistics.turns, statistics.peak), (4, 9));
        assert!(Statistics::of(&[]).is_none());
    }
}
