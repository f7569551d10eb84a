//! Lines for the journal: standard error, with the priority that systemd reads (`sd-daemon(3)`).

use std::fmt::Display;
use std::io::Write as _;

/// A finding, or a change that the monitor made.
pub(crate) fn notice(text: impl Display) {
    write(5, &text);
}

/// Work that failed and is tried again, or that needs the operator.
pub(crate) fn warning(text: impl Display) {
    write(4, &text);
}

/// An error is ignored, because the monitor must go on without a journal.
fn write(priority: u8, text: &dyn Display) {
    let line = text.to_string().replace(char::is_control, " ");
    let _ = writeln!(std::io::stderr(), "<{priority}>{line}");
}
