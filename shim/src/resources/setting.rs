//! One limit as the kernel knows it.

use nix::libc;

/// A value for a file of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The field below `linux.resources` that sets the limit.
    pub(super) field: String,
    pub(super) file: String,
    /// One line or several. The kernel gets each line by a write of its own.
    pub(super) value: String,
    /// Whether a kernel without this file has the limit anyway.
    pub(super) optional: bool,
}

impl Setting {
    pub(super) fn new(field: &str, file: &str, value: impl ToString) -> Self {
        let (field, file, value) = (field.to_owned(), file.to_owned(), value.to_string());
        Self { field, file, value, optional: false }
    }

    pub(super) fn optional(self, optional: bool) -> Self {
        Self { optional, ..self }
    }
}

/// How the kernel prints the value of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A number or `max`. The kernel rounds it down to a multiple of the unit.
    Number { unit: u64 },
    /// Quota and period of `cpu.max`.
    Bandwidth,
    /// CPUs or memory nodes, for example `0-2,5`.
    List,
    /// One line per device or resource, which begins with its name.
    Keyed,
    /// Unknown to runvf, or not readable. Only the result of the write tells whether the kernel
    /// accepts the value.
    Unknown,
}

/// The format of a file (`Documentation/admin-guide/cgroup-v2.rst`).
pub(super) fn format_of(file: &str) -> Format {
    match file {
        "cpu.max" => Format::Bandwidth,
        "cpuset.cpus" | "cpuset.mems" | "cpuset.cpus.exclusive" => Format::List,
        "io.max" | "io.weight" | "io.bfq.weight" | "io.latency" | "rdma.max" | "misc.max" => {
            Format::Keyed
        }
        "cpu.weight"
        | "cpu.weight.nice"
        | "cpu.idle"
        | "cpu.max.burst"
        | "pids.max"
        | "memory.oom.group"
        | "memory.zswap.writeback"
        | "cgroup.max.depth"
        | "cgroup.max.descendants" => Format::Number { unit: 1 },
        "memory.min" | "memory.low" | "memory.high" | "memory.max" | "memory.swap.high"
        | "memory.swap.max" | "memory.zswap.max" => Format::Number { unit: page_size() },
        _ => match huge_page_size(file) {
            Some(unit) => Format::Number { unit },
            None => Format::Unknown,
        },
    }
}

fn page_size() -> u64 {
    // SAFETY: sysconf(3) only reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// The size of the pages that `hugetlb.<size>.max` or `hugetlb.<size>.rsvd.max` limits.
fn huge_page_size(file: &str) -> Option<u64> {
    let name = file.strip_prefix("hugetlb.")?.strip_suffix(".max")?;
    let size = name.strip_suffix(".rsvd").unwrap_or(name);
    parse_number(size.strip_suffix('B')?)
}

/// Parses `max`, which is the largest number, or a number with or without one of the suffixes of
/// the kernel's `memparse`.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(u64::MAX);
    }
    let digits = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_suffixes_of_the_kernel() {
        for (text, number) in [
            ("0", Some(0)),
            ("max", Some(u64::MAX)),
            ("64M", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("1x", None),
            ("-1", None),
            ("", None),
            ("M", None),
            ("99999999E", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }

    #[test]
    fn limits_of_huge_pages_are_rounded_to_their_size() {
        assert_eq!(format_of("hugetlb.2MB.max"), Format::Number { unit: 2 << 20 });
        assert_eq!(format_of("hugetlb.1GB.rsvd.max"), Format::Number { unit: 1 << 30 });
        assert_eq!(format_of("hugetlb.64KB.max"), Format::Number { unit: 64 << 10 });
        assert_eq!(format_of("hugetlb.2MB.events"), Format::Unknown);
        assert_eq!(format_of("memory.reclaim"), Format::Unknown);
    }
}
