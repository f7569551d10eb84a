//! The container state that an OCI runtime passes to a hook (runtime-spec, "State").

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Error;

/// The fields that the hooks need. The spec allows further fields.
#[derive(Debug, Deserialize)]
pub(crate) struct State {
    pub(crate) id: String,
    /// The pid of the init process, in the runtime's PID namespace. Missing after the container has
    /// stopped.
    pub(crate) pid: Option<i32>,
    /// The folder with the container's `config.json`.
    pub(crate) bundle: Option<PathBuf>,
    #[serde(default)]
    pub(crate) annotations: HashMap<String, String>,
}

/// In bytes. A state has all annotations of the container; engines write a few kilobytes.
const MAX_SIZE: u64 = 4 << 20;

impl State {
    pub(crate) fn read(from: impl Read) -> Result<Self, Error> {
        let mut text = Vec::new();
        from.take(MAX_SIZE + 1).read_to_end(&mut text).map_err(Error::Unreadable)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(Error::TooLarge(MAX_SIZE));
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty);
        }
        let state: Self = serde_json::from_slice(&text).map_err(Error::Malformed)?;
        Ok(state)
    }

    pub(crate) fn request(&self) -> Result<Option<vf::Request>, Error> {
        let pairs = self.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(vf::Request::from_annotations(pairs)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_line(text: &[u8]) -> String {
        State::read(text).expect_err("must be refused").line()
    }

    #[test]
    fn unknown_fields_of_a_state_are_ignored() {
        let text = br#"{"ociVersion":"1.2.0","id":"c","status":"creating","pid":7,"bundle":"/b",
            "annotations":{"io.runvf.vlan":"100"},"x":[1]}"#;
        let state = State::read(text.as_slice()).unwrap();
        assert_eq!((state.id.as_str(), state.pid), ("c", Some(7)));
        assert_eq!(state.request().unwrap().unwrap().interfaces[0].vlan, 100);
    }

    #[test]
    fn stopped_container_has_no_pid() {
        let state = State::read(br#"{"id":"c","status":"stopped"}"#.as_slice()).unwrap();
        assert_eq!(state.pid, None);
        assert_eq!(state.request().unwrap(), None);
    }

    #[test]
    fn invalid_state_is_refused_with_one_line() {
        assert!(error_line(b"").starts_with("the container state on stdin is empty; "));
        assert!(error_line(b" \n").starts_with("the container state on stdin is empty; "));
        assert!(error_line(b"hello").contains("the container state on stdin is not valid: "));
        assert!(error_line(b"{\"pid\":1}").contains("missing field `id`"));
        assert!(
            error_line(b"{\"id\":\"c\",\"annotations\":{\"io.runvf.vlan\":1}}")
                .contains("is not valid: ")
        );
        let too_large = vec![b' '; MAX_SIZE as usize + 1];
        assert!(error_line(&too_large).starts_with("the container state on stdin is larger than"));
    }
}
