//! Turns → what is told of them.

use lab::bench_protocol::Turn;
use serde::Serialize;

/// Milliseconds, and KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) median: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) turns: usize,
    /// The largest of all turns.
    pub(crate) peak: u64,
}

impl Figures {
    /// `None`: there was no turn.
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

/// Linear between the two nearest.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let turn = |ms: u64| Turn { nanoseconds: ms * 1_000_000, peak: ms };
        let figures = Figures::of(&[turn(9), turn(1), turn(4), turn(2)]).unwrap();
        assert_eq!((figures.median, figures.least, figures.most), (3.0, 1.0, 9.0));
        assert_eq!((figures.lower_quartile, figures.upper_quartile), (1.75, 5.25));
        assert_eq!((figures.turns, figures.peak), (4, 9));
        assert!(Figures::of(&[]).is_none());
    }
}
