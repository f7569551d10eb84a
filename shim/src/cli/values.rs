//! Parsers of option values.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};

/// A path that is made absolute, because `create` changes the working directory.
pub(super) fn absolute_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// Parses a size as Docker does: a number of bytes, or a number with the unit k, m, g, t or p
/// (powers of 1024), with or without `b` or `ib`. -1 means unlimited.
pub(super) fn bytes(typed: &str) -> Result<i64, String> {
    let lower = typed.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Ok(-1);
    }
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.trim_start();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err("expected a size, such as 1048576 or 64m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a size, such as 1048576 or 64m")?;
    Ok((number * (1_i64 << shift) as f64) as i64)
}

/// Parses a duration in Go's format: `5s`, `100ms`, `1m30s`.
pub(super) fn duration(typed: &str) -> Result<Duration, String> {
    let problem = || "expected a duration, such as 5s, 100ms or 1m30s".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = typed;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(problem)?;
        let number: f64 = rest[..digits].parse().map_err(|_| problem())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return Err(problem()),
        };
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| problem())?;
        rest = &rest[letters..];
    }
    // An interval of 0 would make `events` a busy loop.
    if total.is_zero() { Err("must be greater than 0".to_owned()) } else { Ok(total) }
}

/// Accepts runc's `auto` and `false`, and refuses `true`.
pub(super) fn not_rootless(value: &str) -> Result<String, String> {
    match value {
        "auto" | "false" => Ok(value.to_owned()),
        "true" => Err("runvf must run as root: only root can move a VF".to_owned()),
        _ => Err("expected auto or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_dockers_units() {
        for (typed, expected) in
            [("4096", 4096), ("64m", 64 << 20), ("1.5G", 3 << 29), ("2KiB", 2048), ("-1", -1)]
        {
            assert_eq!(bytes(typed), Ok(expected), "{typed}");
        }
        for typed in ["", "m", "64x", "-2", "1 2"] {
            assert!(bytes(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_duration_has_gos_format() {
        for (typed, expected) in [("5s", 5000), ("100ms", 100), ("1m30s", 90000), ("0.5s", 500)] {
            assert_eq!(duration(typed), Ok(Duration::from_millis(expected)), "{typed}");
        }
        for typed in ["", "5", "0s", "s", "-1s", "5x"] {
            assert!(duration(typed).is_err(), "{typed}");
        }
    }
}
