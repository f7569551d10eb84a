//! The journal of the X710's device model.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::{fs, thread};

use crate::error::{Result, at};

/// The file of the device model's journal. It must be empty when the guest ends, so that each test on
/// the X710 is also a test of the model.
pub(super) struct Journal(pub(super) PathBuf);

impl Journal {
    pub(super) fn read(&self) -> Result<String> {
        match fs::read_to_string(&self.0) {
            // The model creates the file with its first line.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(at(&self.0)),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A second panic would abort the process, and hide the first one.
        if !thread::panicking() {
            let lines = self.read().unwrap_or_else(|error| error.to_string());
            assert!(lines.is_empty(), "the journal of the X710 is not empty: {lines}");
        }
    }
}
