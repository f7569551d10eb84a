//! Conversions from the values of the spec, which has the scales of cgroup v1, to values of cgroup
//! v2. They are runc's (`utils.go` of opencontainers/cgroups, and `addCPUQuota` in `systemd/common.go`).

use std::fmt::{self, Display};

/// The kernel's default of the CPU period (`Documentation/admin-guide/cgroup-v2.rst`).
pub(super) const DEFAULT_PERIOD: u64 = 100_000;

const MICROSECONDS: u64 = 1_000_000;

/// systemd stores a quota as a whole number of percent, which is 10 ms per second.
const PERCENT: u64 = MICROSECONDS / 100;

/// A limit that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Max,
    Number(u64),
}

impl Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => out.write_str("max"),
            Self::Number(number) => number.fmt(out),
        }
    }
}

/// 0 is a value that is not set, because Go programs write it; -1 is no limit.
pub(super) fn limit(value: i64) -> Result<Option<Limit>, String> {
    match value {
        0 => Ok(None),
        -1 => Ok(Some(Limit::Max)),
        _ => match u64::try_from(value) {
            Ok(number) => Ok(Some(Limit::Number(number))),
            Err(_) => Err(format!("{value} is no limit; use -1 for unlimited")),
        },
    }
}

/// The swap limit without the memory limit. `swap` is the limit of memory plus swap.
pub(super) fn swap_limit(swap: i64, memory: i64) -> Result<Option<Limit>, String> {
    let (swap, memory) = (limit(swap)?, limit(memory)?);
    match (swap, memory) {
        // Unlimited memory makes swap unlimited, unless a swap limit is given.
        (None, Some(Limit::Max)) => Ok(Some(Limit::Max)),
        (None, _) => Ok(None),
        (Some(Limit::Max), _) => Ok(Some(Limit::Max)),
        (Some(swap), Some(Limit::Max)) => Ok(Some(swap)),
        (Some(Limit::Number(_)), None) => {
            Err("a limit of memory plus swap requires a memory limit".to_owned())
        }
        (Some(Limit::Number(swap)), Some(Limit::Number(memory))) => {
            let difference = swap.checked_sub(memory).ok_or_else(|| {
                format!(
                    "the limit of memory plus swap ({swap}) is lower than the memory limit \
                     ({memory}); change both together"
                )
            })?;
            Ok(Some(Limit::Number(difference)))
        }
    }
}

/// CPU shares (2 to 262144, default 1024) as `cpu.weight` (1 to 10000, default 100). The formula is
/// that of runc 1.3.2 and newer: a quadratic function of the logarithm that fits minimum, maximum
/// and default. 0 is a value that is not set.
pub(super) fn cpu_weight(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            Some(10_f64.powf(exponent).ceil() as u64)
        }
    }
}

/// A block IO weight (10 to 1000) as `io.weight` (1 to 10000), linearly. 0 is a value that is not
/// set.
pub(super) fn io_weight(weight: u16) -> Result<Option<u64>, String> {
    match u64::from(weight) {
        0 => Ok(None),
        weight @ 10..=1000 => Ok(Some(1 + (weight - 10) * 9999 / 990)),
        weight => Err(format!("the weight {weight} is not between 10 and 1000")),
    }
}

/// The quota in microseconds per second of CPU time.
fn exact_quota_per_second(quota: u64, period: u64) -> Result<u64, String> {
    let quota_in_all = u128::from(quota) * u128::from(MICROSECONDS);
    let per_second = quota_in_all.checked_div(period.into()).ok_or("the period is 0")?;
    u64::try_from(per_second).map_err(|_| format!("the quota {quota} is too large"))
}

/// The quota in microseconds per second of CPU time, rounded up to a whole percent.
pub(super) fn quota_per_second(quota: u64, period: u64) -> Result<u64, String> {
    Ok(exact_quota_per_second(quota, period)?.div_ceil(PERCENT).saturating_mul(PERCENT))
}

/// The quota that systemd writes to `cpu.max`. A quota of a whole percent does not change.
pub(super) fn quota_under_systemd(quota: u64, period: u64) -> Result<u64, String> {
    let rounded = quota_per_second(quota, period)?;
    if rounded == exact_quota_per_second(quota, period)? {
        return Ok(quota);
    }
    let rounded = u128::from(rounded) * u128::from(period) / u128::from(MICROSECONDS);
    u64::try_from(rounded).map_err(|_| format!("the quota {quota} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of `TestConvertCPUSharesToCgroupV2Value`.
    #[test]
    fn cpu_shares_become_the_weight_of_runc() {
        for (shares, weight) in [
            (0, None),
            (1, Some(1)),
            (2, Some(1)),
            (3, Some(2)),
            (512, Some(59)),
            (1024, Some(100)),
            (2048, Some(174)),
            (262_143, Some(10_000)),
            (262_144, Some(10_000)),
            (262_145, Some(10_000)),
            (u64::MAX, Some(10_000)),
        ] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
    }

    /// The cases of `TestConvertMemorySwapToCgroupV2Value`.
    #[test]
    fn the_swap_limit_is_without_the_memory_limit() {
        let number = |number| Ok(Some(Limit::Number(number)));
        for (swap, memory, expected) in [
            (0, 0, Ok(None)),
            (-1, 0, Ok(Some(Limit::Max))),
            (-1, -1, Ok(Some(Limit::Max))),
            (-1, 1000, Ok(Some(Limit::Max))),
            (0, -1, Ok(Some(Limit::Max))),
            (0, 1000, Ok(None)),
            (1000, 1000, number(0)),
            (500, 200, number(300)),
            (300, -1, number(300)),
        ] {
            assert_eq!(swap_limit(swap, memory), expected, "{swap} {memory}");
        }
        for (swap, memory) in [(-2, 0), (300, 400), (300, 0), (300, -300), (-2, -1)] {
            assert!(swap_limit(swap, memory).is_err(), "{swap} {memory}");
        }
        let lower = swap_limit(300, 400).unwrap_err();
        assert!(lower.contains("(300) is lower than the memory limit (400)"), "{lower}");
    }

    #[test]
    fn block_io_weights_become_the_weights_of_runc() {
        for (weight, expected) in
            [(0, None), (10, Some(1)), (500, Some(4950)), (1000, Some(10_000))]
        {
            assert_eq!(io_weight(weight), Ok(expected), "{weight}");
        }
        assert!(io_weight(9).is_err() && io_weight(1001).is_err() && io_weight(u16::MAX).is_err());
    }

    /// The cases of `TestAddCPUQuota`.
    #[test]
    fn systemd_rounds_a_quota_up_to_a_whole_percent() {
        for (quota, period, per_second, rounded) in [
            (500_000, 1_000_000, 500_000, 500_000),
            (123_456, DEFAULT_PERIOD, 1_240_000, 124_000),
            (500_000, 900_000, 560_000, 504_000),
            (50_000, DEFAULT_PERIOD, 500_000, 50_000),
            (33_300, DEFAULT_PERIOD, 340_000, 34_000),
        ] {
            assert_eq!(quota_per_second(quota, period), Ok(per_second), "{quota} {period}");
            assert_eq!(quota_under_systemd(quota, period), Ok(rounded), "{quota} {period}");
        }
        assert!(quota_per_second(1, 0).is_err() && quota_under_systemd(1, 0).is_err());
        assert!(quota_per_second(u64::MAX, 1).is_err());
    }

    #[test]
    fn zero_is_not_set_and_minus_one_is_unlimited() {
        assert_eq!(limit(0), Ok(None));
        assert_eq!(limit(-1), Ok(Some(Limit::Max)));
        assert_eq!(limit(7), Ok(Some(Limit::Number(7))));
        assert!(limit(-2).is_err());
    }
}
