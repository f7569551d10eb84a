//! Points in time as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `None` for a year that has not four digits: humantime prints none.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let printable = time.duration_since(UNIX_EPOCH).is_ok_and(|since| since < YEAR_10000);
    printable.then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// The current time as text; empty after the year 9999.
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_sorts_as_text() {
        let time = rfc3339(UNIX_EPOCH + Duration::from_millis(1_700_000_000_007));
        assert_eq!(time.as_deref(), Some("2023-11-14T22:13:20.007Z"));
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
    }
}
