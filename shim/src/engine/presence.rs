//! Whether an engine has a container, from the output of its `state`.
//!
//! Only the exact words of runc and crun mean that a container is missing. Any other failure, such
//! as a shared library that the engine does not find, says nothing: the container may be running,
//! and its VFs and its record must stay.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::program::Engine;
use crate::error::Error;

#[derive(Debug)]
pub(super) enum Presence {
    Exists(State),
    Missing,
    Unknown(Error),
}

/// The part of an engine's `state` that runvf needs.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct State {
    pid: Option<i64>,
    pub(super) bundle: Option<PathBuf>,
}

impl State {
    pub(super) fn init_pid(&self, id: &str) -> Result<i32, Error> {
        // A stopped container has the pid 0.
        let pid = self.pid.and_then(|pid| pid.try_into().ok()).filter(|pid| *pid > 0);
        let problem = "the engine's `state` has no valid pid";
        pid.ok_or_else(|| Error::NoInitPid { id: id.to_owned(), problem })
    }
}

impl Engine {
    /// Asks the engine for a container under `root`.
    pub(super) fn presence(&self, root: Option<&Path>, id: &str) -> Presence {
        let output = match self.query(root, &["state"], id) {
            Ok(output) => output,
            Err(Error::Engine { problem, .. }) if says_missing(&problem, id) => {
                return Presence::Missing;
            }
            Err(error) => return Presence::Unknown(error),
        };
        match serde_json::from_slice(&output) {
            Ok(state) => Presence::Exists(state),
            Err(source) => {
                Presence::Unknown(Error::Json { path: format!("the state of {id}").into(), source })
            }
        }
    }
}

/// Whether stderr says that the container is missing, in the words of runc since 1.1 (`msg="…"`),
/// runc 1.0 (with the id in escaped quotes), crun (the path of its status file) and newer crun.
fn says_missing(stderr: &str, id: &str) -> bool {
    let has_line = |end: &str| stderr.lines().any(|line| line.trim_end().ends_with(end));
    has_line("msg=\"container does not exist\"")
        || has_line(&format!("msg=\"container \\\"{id}\\\" does not exist\""))
        || ["`", "'"]
            .iter()
            .any(|quote| has_line(&format!("/{id}/status{quote}: No such file or directory")))
        || stderr.lines().any(|line| line.starts_with(&format!("container `{id}` does not exist")))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_words_of_runc_and_crun_mean_that_a_container_is_missing() {
        for text in [
            "time=\"2026-01-31T12:00:00Z\" level=error msg=\"container does not exist\"",
            "time=\"2021-01-31T12:00:00Z\" level=error msg=\"container \\\"abc\\\" does not exist\"",
            "error opening file `/run/crun/abc/status`: No such file or directory",
            "error opening file '/run/crun/abc/status': No such file or directory\n",
            "container `abc` does not exist: error opening file `/run/crun/abc/status`: No such file or directory",
        ] {
            assert!(says_missing(text, "abc"), "{text}");
        }
        for text in [
            "runc: error while loading shared libraries: libseccomp.so.2: cannot open shared object file: \
             No such file or directory",
            "error opening file `/run/crun/abcd/status`: No such file or directory",
            "error opening file `/run/crun/abc/status`: Permission denied",
            "open /proc/self/mountinfo: No such file or directory",
            "container `abcd` does not exist",
            "time=\"x\" level=error msg=\"cgroup of container does not exist yet\"",
            "exit status: 1",
            "",
        ] {
            assert!(!says_missing(text, "abc"), "{text}");
        }
    }

    #[test]
    fn state_decides_whether_a_container_exists() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runc");
        let presence = |script: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            Engine { program: program.clone() }.presence(None, "abc")
        };
        let Presence::Exists(state) = presence(r#"echo '{"pid": 7, "bundle": "/b", "new": []}'"#)
        else {
            panic!("the container exists")
        };
        assert_eq!(
            (state.init_pid("abc").unwrap(), state.bundle.as_deref()),
            (7, Some(Path::new("/b")))
        );
        let Presence::Exists(state) = presence(r#"echo '{"pid": 0}'"#) else { panic!("it exists") };
        assert!(state.init_pid("abc").is_err());
        let missing = r#"echo 'level=error msg="container does not exist"' >&2; exit 1"#;
        assert!(matches!(presence(missing), Presence::Missing));
        let broken = "echo 'libseccomp.so.2: No such file or directory' >&2; exit 127";
        assert!(matches!(presence(broken), Presence::Unknown(_)));
        assert!(matches!(presence("echo no JSON"), Presence::Unknown(_)));
        assert!(matches!(presence("kill -9 $$"), Presence::Unknown(_)));
    }
}
