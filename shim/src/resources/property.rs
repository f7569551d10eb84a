//! The properties of a systemd unit for files of its cgroup. systemd writes files that it has
//! properties for again and again, so a value must be in both places. For other files, systemd has
//! no property, or (`io.max`) it leaves the devices alone that it does not know.
//!
//! See systemd.resource-control(5), `org.freedesktop.systemd1`(5), and `unifiedResToSystemdProps` in
//! runc.

use super::conversion::{DEFAULT_PERIOD, quota_per_second};
use super::cpu_list;
use super::error::LimitError;
use super::setting::{Setting, parse_number};

/// systemd's value for "no limit" and for "not set".
const INFINITY: u64 = u64::MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) value: PropertyValue,
    /// The version of systemd that added the property. An older one leaves the file alone.
    pub(super) since: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PropertyValue {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The properties for the settings, in the same order.
///
/// # Errors
/// A value cannot be converted.
pub(super) fn of_all(settings: &[Setting]) -> Result<Vec<Property>, LimitError> {
    let mut properties = Vec::new();
    for setting in settings {
        let of = of(&setting.file, setting.value.trim());
        let bad = |problem| LimitError::field(&setting.field, problem);
        properties.extend(of.map_err(|problem| bad(format!("`{}`: {problem}", setting.value)))?);
    }
    Ok(properties)
}

fn of(file: &str, value: &str) -> Result<Vec<Property>, String> {
    // The versions are those that runc checks. 0: all versions with cgroup v2.
    let number = |name, since| {
        let value = parse_number(value).ok_or("not a number")?;
        Ok(vec![Property { name, value: PropertyValue::Number(value), since }])
    };
    match file {
        "cpu.weight" => number("CPUWeight", 0),
        "cpu.idle" => idle(value),
        "cpu.max" => bandwidth(value),
        "cpuset.cpus" => set("AllowedCPUs", value),
        "cpuset.mems" => set("AllowedMemoryNodes", value),
        "memory.min" => number("MemoryMin", 0),
        "memory.low" => number("MemoryLow", 0),
        "memory.high" => number("MemoryHigh", 0),
        "memory.max" => number("MemoryMax", 0),
        "memory.swap.max" => number("MemorySwapMax", 0),
        "pids.max" => number("TasksMax", 0),
        "io.weight" => io_weight(value, |weight| weight),
        // systemd converts its own weight for BFQ (`BFQ_WEIGHT` in `cgroup.c`); this is the inverse.
        "io.bfq.weight" => io_weight(value, |weight| match weight {
            0..=100 => weight,
            _ => (weight - 100).saturating_mul(11).saturating_add(100),
        }),
        _ => Ok(vec![]),
    }
}

/// A CPU weight of 0 makes the unit idle. The largest number is systemd's default weight.
fn idle(value: &str) -> Result<Vec<Property>, String> {
    let weight = match value {
        "0" => INFINITY,
        "1" => 0,
        _ => return Err("neither 0 nor 1".to_owned()),
    };
    let value = PropertyValue::Number(weight);
    Ok(vec![Property { name: "CPUWeight", value, since: 252 }])
}

fn bandwidth(value: &str) -> Result<Vec<Property>, String> {
    let mut words = value.split_ascii_whitespace();
    let mut word = || words.next().map(|word| parse_number(word).ok_or("not a number"));
    let quota = word().ok_or("the value is empty")??;
    let period = word().transpose()?.unwrap_or(DEFAULT_PERIOD);
    if word().is_some() {
        return Err("more than quota and period".to_owned());
    }
    let per_second = match quota {
        INFINITY => INFINITY,
        quota => quota_per_second(quota, period)?,
    };
    let property =
        |name, value, since| Property { name, value: PropertyValue::Number(value), since };
    Ok(vec![
        property("CPUQuotaPeriodUSec", period, 242),
        property("CPUQuotaPerSecUSec", per_second, 0),
    ])
}

fn set(name: &'static str, value: &str) -> Result<Vec<Property>, String> {
    let bits = cpu_list::parse(value).ok_or("not a list such as 0-2,5")?;
    Ok(vec![Property { name, value: PropertyValue::Bytes(bits), since: 244 }])
}

/// The default weight, which is the line `default WEIGHT` or only the number. A weight of a device
/// has no property, because systemd leaves devices alone that it does not know.
fn io_weight(value: &str, convert: fn(u64) -> u64) -> Result<Vec<Property>, String> {
    let defaults = value.lines().filter_map(|line| {
        let line = line.strip_prefix("default").unwrap_or(line).trim();
        (!line.contains(' ')).then_some(line)
    });
    let numbers = defaults.map(|line| parse_number(line).ok_or("not a weight"));
    let property = |number| Property {
        name: "IOWeight",
        value: PropertyValue::Number(convert(number)),
        since: 0,
    };
    Ok(numbers.collect::<Result<Vec<_>, _>>()?.into_iter().map(property).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str, value: &str) -> String {
        let properties = of(file, value).unwrap();
        let text = |property: &Property| match &property.value {
            PropertyValue::Number(INFINITY) => format!("{}=infinity", property.name),
            PropertyValue::Number(number) => format!("{}={number}", property.name),
            PropertyValue::Bytes(bytes) => format!("{}={bytes:?}", property.name),
        };
        properties.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn files_have_the_properties_that_runc_sets() {
        for (file, value, expected) in [
            ("cpu.weight", "59", "CPUWeight=59"),
            ("cpu.idle", "1", "CPUWeight=0"),
            ("cpu.idle", "0", "CPUWeight=infinity"),
            ("cpu.max", "50000", "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000"),
            ("cpu.max", "50000 100000", "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000"),
            ("cpu.max", "500000 900000", "CPUQuotaPeriodUSec=900000 CPUQuotaPerSecUSec=560000"),
            ("cpu.max", "max 50000", "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=infinity"),
            ("cpuset.cpus", "0-2,5", "AllowedCPUs=[39]"),
            ("cpuset.mems", "0", "AllowedMemoryNodes=[1]"),
            ("memory.max", "max", "MemoryMax=infinity"),
            ("memory.swap.max", "0", "MemorySwapMax=0"),
            ("memory.high", "64M", "MemoryHigh=67108864"),
            ("pids.max", "max", "TasksMax=infinity"),
            ("io.weight", "4950", "IOWeight=4950"),
            ("io.weight", "default 200\n8:0 100", "IOWeight=200"),
            ("io.weight", "8:0 100", ""),
            ("io.bfq.weight", "500", "IOWeight=4500"),
            ("memory.oom.group", "1", ""),
            ("hugetlb.2MB.max", "0", ""),
        ] {
            assert_eq!(text(file, value), expected, "{file} {value}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_converted_is_an_error() {
        for (file, value) in [
            ("cpu.max", ""),
            ("cpu.max", "1 2 3"),
            ("cpu.max", "1 0"),
            ("cpu.max", "x"),
            ("cpu.idle", "2"),
            ("cpuset.cpus", "a"),
            ("pids.max", "-1"),
            ("io.weight", "default x"),
        ] {
            assert!(of(file, value).is_err(), "{file} {value}");
        }
    }
}
