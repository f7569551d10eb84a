//! Compares what a file contains with what was written to it. The kernel prints many values in
//! another form: it rounds bytes down to pages, sorts lists of CPUs, and adds the other limits of a
//! device.

use super::cpu_list;
use super::setting::{Format, format_of, parse_number};

/// Whether `found`, the content of the file, is the kernel's form of the line `wanted`.
pub(super) fn matches(file: &str, wanted: &str, found: &str) -> bool {
    let (wanted, found) = (wanted.trim(), found.trim());
    match format_of(file) {
        Format::Number { unit } => wanted == found || number_matches(unit, wanted, found),
        Format::Bandwidth => bandwidth_matches(wanted, found),
        Format::List => {
            wanted == found
                || cpu_list::parse(wanted).is_some_and(|set| cpu_list::parse(found) == Some(set))
        }
        Format::Keyed => keyed_matches(wanted, found),
        Format::Unknown => true,
    }
}

fn number_matches(unit: u64, wanted: &str, found: &str) -> bool {
    let Some((wanted, found)) = parse_number(wanted).zip(parse_number(found)) else {
        return false;
    };
    // The kernel counts pages in a signed number, and prints the largest as `max`
    // (`PAGE_COUNTER_MAX`).
    let largest = i64::MAX.unsigned_abs() / unit;
    match found {
        u64::MAX => wanted / unit >= largest,
        found => found == wanted - wanted % unit,
    }
}

/// The kernel adds the present period if the value is only a quota.
fn bandwidth_matches(wanted: &str, found: &str) -> bool {
    let mut found = found.split_ascii_whitespace();
    let mut wanted = wanted.split_ascii_whitespace();
    wanted.all(|word| found.next().is_some_and(|there| parse_number(there) == parse_number(word)))
}

fn keyed_matches(wanted: &str, found: &str) -> bool {
    let (key, values) = key_and_values(wanted);
    let lines = || found.lines().map(key_and_values);
    match lines().find(|(name, _)| *name == key) {
        Some((_, there)) => values.iter().all(|value| there.contains(value)),
        // The kernel omits a device without limits.
        None => values.iter().all(|value| value.ends_with("=max") || *value == "default"),
    }
}

/// The key of a line and the values behind it. A weight without a key is the default weight.
fn key_and_values(line: &str) -> (&str, Vec<&str>) {
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        [] => ("", words),
        [_] => ("default", words),
        _ => (words.remove(0), words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_down_to_pages() {
        for (wanted, found, expected) in [
            ("67108864", "67108864", true),
            ("64M", "67108864", true),
            ("67108865", "67108864", true),
            ("67108864", "134217728", false),
            ("67108864", "max", false),
            ("max", "max", true),
            ("max", "0", false),
            ("1", "0", true),
        ] {
            assert_eq!(matches("memory.max", wanted, found), expected, "{wanted} {found}");
        }
        assert!(matches("memory.max", &i64::MAX.to_string(), "max"));
        assert!(matches("hugetlb.2MB.max", "3000000", "2097152"));
        assert!(!matches("pids.max", "7", "6"));
        assert!(matches("cpu.weight.nice", "-5", "-5"));
    }

    #[test]
    fn other_files_have_their_own_forms() {
        for (file, wanted, found, expected) in [
            ("cpu.max", "50000", "50000 100000\n", true),
            ("cpu.max", "50000 100000", "5000 100000\n", false),
            ("cpu.max", "max 100000", "max 100000\n", true),
            ("cpu.max", "max 100000", "max 50000\n", false),
            ("cpuset.cpus", "2,0-1", "0-2\n", true),
            ("cpuset.cpus", "0", "0-1\n", false),
            ("cpuset.cpus", "", "\n", true),
            ("io.weight", "4950", "default 4950\n8:0 100\n", true),
            ("io.weight", "4950", "default 100\n", false),
            ("io.weight", "8:0 4950", "default 100\n8:0 4950\n", true),
            ("io.weight", "8:0 4950", "default 4950\n", false),
            ("io.bfq.weight", "500", "500\n", true),
            ("io.max", "8:0 rbps=9", "8:0 rbps=9 wbps=max riops=max wiops=max\n", true),
            ("io.max", "8:0 rbps=9", "8:16 rbps=9 wbps=max riops=max wiops=max\n", false),
            ("io.max", "8:0 rbps=max", "", true),
            ("io.max", "8:0 rbps=9", "", false),
            ("rdma.max", "mlx5_0 hca_handle=2", "mlx5_0 hca_handle=2 hca_object=max\n", true),
            ("memory.reclaim", "1M", "", true),
        ] {
            assert_eq!(matches(file, wanted, found), expected, "{file}: {wanted}: {found}");
        }
    }
}
