//! What a container uses, from the files of its cgroup. libcgroups has no numbers at all if one file is missing, and under systemd
//! those of hugetlb always are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// In runc's shape (`types/events.go`).
pub(crate) fn of(cgroup: &Path) -> Value {
    CgroupFiles(cgroup).data()
}

/// A cgroup's folder. What is not there counts as 0: not every controller is on everywhere.
struct CgroupFiles<'a>(&'a Path);

impl CgroupFiles<'_> {
    fn data(&self) -> Value {
        json!({
            "cpu": self.cpu(),
            "memory": self.memory(),
            "pids": { "current": self.number("pids.current"), "limit": self.limit("pids.max", 0) },
            "blkio": self.blkio(),
            "hugetlb": self.hugetlb(),
            "intel_rdt": {},
            "network_interfaces": null,
        })
    }

    /// Nanoseconds; the kernel's are microseconds.
    fn cpu(&self) -> Value {
        let stat = self.table("cpu.stat");
        let get = |key: &str| stat.get(key).copied().unwrap_or(0);
        json!({
            "usage": {
                "total": get("usage_usec") * 1000,
                "kernel": get("system_usec") * 1000,
                "user": get("user_usec") * 1000,
            },
            "throttling": {
                "periods": get("nr_periods"),
                "throttledPeriods": get("nr_throttled"),
                "throttledTime": get("throttled_usec") * 1000,
            },
        })
    }

    /// Swap as in cgroup v1, which is memory and swap together.
    fn memory(&self) -> Value {
        let raw = self.table("memory.stat");
        let (usage, limit) = (self.number("memory.current"), self.limit("memory.max", u64::MAX));
        let swap_limit = match self.limit("memory.swap.max", u64::MAX) {
            u64::MAX => u64::MAX,
            swap => swap.saturating_add(limit),
        };
        let failed = |file: &str, key: &str| self.table(file).get(key).copied().unwrap_or(0);
        json!({
            "cache": raw.get("file").copied().unwrap_or(0),
            "usage": {
                "limit": limit,
                "usage": usage,
                "max": self.number("memory.peak"),
                "failcnt": failed("memory.events", "max"),
            },
            "swap": {
                "limit": swap_limit,
                "usage": usage + self.number("memory.swap.current"),
                "failcnt": failed("memory.swap.events", "fail"),
            },
            "kernel": { "limit": 0, "failcnt": 0 },
            "kernelTCP": { "limit": 0, "failcnt": 0 },
            "raw": raw,
        })
    }

    fn blkio(&self) -> Value {
        let (mut bytes, mut operations) = (Vec::new(), Vec::new());
        for line in self.text("io.stat").lines() {
            let mut words = line.split_ascii_whitespace();
            let Some((major, minor)) = words.next().and_then(|device| device.split_once(':'))
            else {
                continue;
            };
            let numbers = (major.parse::<u64>(), minor.parse::<u64>());
            let (Ok(major), Ok(minor)) = numbers else { continue };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let (list, op) = match key {
                    "rbytes" => (&mut bytes, "Read"),
                    "wbytes" => (&mut bytes, "Write"),
                    "dbytes" => (&mut bytes, "Discard"),
                    "rios" => (&mut operations, "Read"),
                    "wios" => (&mut operations, "Write"),
                    "dios" => (&mut operations, "Discard"),
                    _ => continue,
                };
                let value: u64 = value.parse().unwrap_or(0);
                list.push(json!({ "major": major, "minor": minor, "op": op, "value": value }));
            }
        }
        json!({ "ioServiceBytesRecursive": bytes, "ioServicedRecursive": operations })
    }

    fn hugetlb(&self) -> Map<String, Value> {
        let names = fs::read_dir(self.0).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let sizes = names.filter_map(|name| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(".current")?;
            (!size.contains('.')).then(|| size.to_owned())
        });
        let one = |size: String| {
            let usage = self.number(&format!("hugetlb.{size}.current"));
            let events = self.table(&format!("hugetlb.{size}.events"));
            let failed = events.get("max").copied().unwrap_or(0);
            (size, json!({ "usage": usage, "failcnt": failed }))
        };
        sizes.map(one).collect()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    fn limit(&self, name: &str, max: u64) -> u64 {
        match self.text(name).trim() {
            "max" => max,
            number => number.parse().unwrap_or(0),
        }
    }

    fn table(&self, name: &str) -> BTreeMap<String, u64> {
        let text = self.text(name);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_in_the_shape_of_runc() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"),
            ("memory.current", "100\n"),
            ("memory.max", "max\n"),
            ("memory.swap.current", "20\n"),
            ("memory.swap.max", "max\n"),
            ("memory.stat", "anon 1\nfile 2\n"),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            ("io.stat", "253:0 rbytes=7 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n8:0\n"),
            ("hugetlb.2MB.current", "0\n"),
            ("hugetlb.2MB.rsvd.current", "0\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let data = of(folder.path());
        assert_eq!(data["cpu"]["usage"], json!({ "total": 5000, "kernel": 2000, "user": 3000 }));
        assert_eq!(data["memory"]["usage"]["limit"], u64::MAX);
        assert_eq!(
            (&data["memory"]["cache"], &data["memory"]["swap"]["usage"]),
            (&2.into(), &120.into())
        );
        assert_eq!(data["pids"], json!({ "current": 3, "limit": 0 }));
        let read = json!({ "major": 253, "minor": 0, "op": "Read", "value": 7 });
        assert_eq!(data["blkio"]["ioServiceBytesRecursive"][0], read);
        assert_eq!(data["hugetlb"], json!({ "2MB": { "usage": 0, "failcnt": 0 } }));
    }

    #[test]
    fn an_empty_cgroup_is_all_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let data = of(folder.path());
        assert_eq!(
            (&data["pids"]["current"], &data["cpu"]["usage"]["total"]),
            (&0.into(), &0.into())
        );
    }
}
