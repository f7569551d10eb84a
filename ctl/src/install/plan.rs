//! What an install or uninstall will do, computed before any file is written.

use super::change::Change;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// One line for each step that was done.
    pub(super) done: Vec<String>,
    /// Lines for the user that are not steps, such as a restart that is still needed.
    pub(super) notes: Vec<String>,
}
