//! A histogram of durations.

use std::time::Duration;

use crate::metrics::text::Family;

/// The upper bounds of the buckets, in milliseconds. The fastest attach takes about 100 ms, an
/// attach on a busy i40e seconds, and 20 s is the longest wait for a PF's lock.
const BOUNDS: [u64; 9] = [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000];

#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    /// The number of durations up to each bound and above the bound before it. The last is the
    /// number of longer ones.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, duration: Duration) {
        let fits = |bound: &u64| duration <= Duration::from_millis(*bound);
        let bucket = BOUNDS.iter().position(fits).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += duration;
    }

    pub(crate) fn write(&self, mut family: Family) {
        let mut below = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS) {
            below += count;
            let bound = (bound as f64 / 1000.0).to_string();
            family.sample_of("_bucket", &[("le", &bound)], below);
        }
        let all: u64 = self.counts.iter().sum();
        family.sample_of("_bucket", &[("le", "+Inf")], all);
        family.sample_of("_sum", &[], self.sum.as_secs_f64());
        family.sample_of("_count", &[], all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::Text;

    #[test]
    fn a_bucket_counts_all_durations_up_to_its_bound() {
        let mut histogram = Histogram::default();
        for milliseconds in [50, 51, 20_001] {
            histogram.add(Duration::from_millis(milliseconds));
        }
        let mut text = Text::default();
        histogram.write(text.histogram("h_seconds", "H."));
        let text = text.into_string();
        for line in [
            "h_seconds_bucket{le=\"0.05\"} 1",
            "h_seconds_bucket{le=\"0.1\"} 2",
            "h_seconds_bucket{le=\"20\"} 2",
            "h_seconds_bucket{le=\"+Inf\"} 3",
            "h_seconds_sum 20.102",
            "h_seconds_count 3",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}
