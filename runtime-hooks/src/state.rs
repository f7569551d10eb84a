//! The container's state as an OCI runtime gives it to a hook (runtime-spec, "State").

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use crate::Error;

/// What a hook needs of it. There may be more: the spec allows further fields.
#[derive(Debug, Deserialize)]
pub(crate) struct State {
    pub(crate) id: String,
    /// Of the init process, in the runtime's pid namespace. Not there once the container has stopped.
    pub(crate) pid: Option<i32>,
    #[serde(default)]
    pub(crate) annotations: HashMap<String, String>,
}

/// A state holds every annotation of a container; engines write some kilobytes.
const LARGEST: u64 = 4 << 20;

impl State {
    pub(crate) fn read(from: impl Read) -> Result<Self, Error> {
        let mut text = Vec::new();
        from.take(LARGEST + 1).read_to_end(&mut text).map_err(Error::Unreadable)?;
        if text.len() as u64 > LARGEST {
            return Err(Error::Huge(LARGEST));
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

    fn refused(text: &[u8]) -> String {
        State::read(text).expect_err("must be refused").line()
    }

    #[test]
    fn a_state_is_read_whatever_else_it_holds() {
        let text = br#"{"ociVersion":"1.2.0","id":"c","status":"creating","pid":7,"bundle":"/b",
            "annotations":{"io.runvf.vlan":"100"},"x":[1]}"#;
        let state = State::read(text.as_slice()).unwrap();
        assert_eq!((state.id.as_str(), state.pid), ("c", Some(7)));
        assert_eq!(state.request().unwrap().unwrap().interfaces[0].vlan, 100);
    }

    #[test]
    fn a_stopped_container_has_no_pid() {
        let state = State::read(br#"{"id":"c","status":"stopped"}"#.as_slice()).unwrap();
        assert_eq!(state.pid, None);
        assert_eq!(state.request().unwrap(), None);
    }

    #[test]
    fn what_is_no_state_is_refused_with_one_line() {
        assert!(refused(b"").starts_with("the container's state on stdin is empty; "));
        assert!(refused(b" \n").starts_with("the container's state on stdin is empty; "));
        assert!(refused(b"hello").contains("is not what the OCI runtime spec says: "));
        assert!(refused(b"{\"pid\":1}").contains("missing field `id`"));
        assert!(
            refused(b"{\"id\":\"c\",\"annotations\":{\"io.runvf.vlan\":1}}")
                .contains("is not what")
        );
        let huge = vec![b' '; LARGEST as usize + 1];
        assert!(refused(&huge).starts_with("the container's state on stdin is larger than"));
    }
}
