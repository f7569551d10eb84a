//! Sets of CPUs, in the list format of the kernel (`0-3,8`; cpuset(7), "List format").

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The highest number of a CPU that is accepted. Linux supports 8192 CPUs on x86.
const MAX_CPU: u32 = 1 << 16;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CpuSet(BTreeSet<u32>);

impl CpuSet {
    pub(crate) fn is_superset(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }
}

impl FromStr for CpuSet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut cpus = BTreeSet::new();
        for range in text.trim().split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) =
                (first.parse::<u32>().map_err(drop)?, last.parse::<u32>().map_err(drop)?);
            if first > last || last > MAX_CPU {
                return Err(());
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for cpu in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
                _ => ranges.push((*cpu, *cpu)),
            }
        }
        let shown = ranges.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        f.write_str(&shown.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parsed_and_shown_as_the_kernel_writes_it() {
        for (text, shown) in [("0-3,8\n", "0-3,8"), ("", ""), ("5", "5"), ("0,1,2", "0-2")] {
            assert_eq!(text.parse::<CpuSet>().map(|cpus| cpus.to_string()).as_deref(), Ok(shown));
        }
        for text in ["a", "3-1", "0-4294967295", "-1", "1-"] {
            assert_eq!(text.parse::<CpuSet>(), Err(()), "{text}");
        }
    }

    #[test]
    fn sets_are_compared_by_their_members() {
        let cpus = |text: &str| text.parse::<CpuSet>().unwrap();
        assert!(cpus("0-7").is_superset(&cpus("2-3")) && !cpus("0-1").is_superset(&cpus("1-2")));
        assert!(cpus("0-3").intersects(&cpus("3-5")) && !cpus("0-3").intersects(&cpus("4")));
    }
}
