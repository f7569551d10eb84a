//! `/proc/PID/stat` (`proc_pid_stat(5)`).

/// The fields after the command name. The command name is in parentheses and may contain any
/// character, `)` among them.
#[derive(Debug, Clone, Copy)]
pub struct PidStat<'a>(&'a str);

impl<'a> PidStat<'a> {
    /// `None`: the text has no command name.
    pub fn parse(text: &'a str) -> Option<Self> {
        text.rsplit_once(')').map(|(_, fields)| Self(fields))
    }

    /// A field by its number in `proc_pid_stat(5)`; the first one after the command name is 3.
    fn field(self, number: usize) -> Option<&'a str> {
        self.0.split_ascii_whitespace().nth(number - 3)
    }

    /// The pid of the parent process.
    pub fn parent(self) -> Option<i32> {
        self.field(4)?.parse().ok()
    }

    /// The start time in clock ticks since boot. `None`: the process has ended, or the text is
    /// malformed. A process has not ended while one of its threads runs, even if the first one has.
    pub(crate) fn start_time(self) -> Option<u64> {
        let state = self.field(3)?;
        let threads: u64 = self.field(20)?.parse().ok()?;
        if matches!(state, "X" | "x") || (state == "Z" && threads <= 1) {
            return None;
        }
        self.field(22)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_time(text: &str) -> Option<u64> {
        PidStat::parse(text)?.start_time()
    }

    #[test]
    fn a_command_name_may_contain_parentheses() {
        let parent = |text| PidStat::parse(text)?.parent();
        assert_eq!(parent("7 (a) R 1 (b) S 42 7 7 0"), Some(42));
        assert_eq!(parent("7 (sh"), None);
        assert_eq!(parent("7 (sh) S"), None);
    }

    #[test]
    fn a_process_name_may_contain_parentheses() {
        let stat = "7 (a) Z 1 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4242 20 21";
        assert_eq!(start_time(stat), Some(4242));
        assert_eq!(start_time("7 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4242 20"), None);
        // Two threads: the first has ended.
        assert_eq!(
            start_time("7 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 2 18 4242 20"),
            Some(4242)
        );
        assert_eq!(start_time("nonsense"), None);
    }
}
