//! The error type of this crate. A variant is an operation that failed: it names its object (file,
//! engine, program), keeps the cause in `source`, and [`Error::hint`] has the remedy.
//! [`Error::line`] prints all three.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Vf(#[from] vf::Error),
    /// An error of the library, in the words of this command's options.
    #[error("{0}")]
    Options(String),

    #[error("{object} is not installed")]
    NotInstalled { object: String, hint: String },
    #[error("no NIC with SR-IOV found")]
    NoSriovNic,
    #[error("{problem}")]
    Conflict { problem: String, hint: String },
    #[error("{}: {problem}", .path.display())]
    Content { path: PathBuf, problem: String, hint: String },
    #[error("no VF is claimed for {target}")]
    NoClaim { target: String },
    #[error("changing the configuration of {engine} requires root")]
    NotRoot { engine: &'static str },

    #[error("cannot {action} {}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot block SIGINT and SIGTERM")]
    Signals { source: nix::errno::Errno },
    #[error("cannot run `{command}`")]
    Spawn { command: String, source: io::Error },
    #[error("`{command}` did not finish within {seconds} s")]
    Timeout { command: String, seconds: u64 },
    #[error("`{command}` failed: {reason}")]
    Command { command: String, reason: String },
    #[error("{engine} {problem}; its configuration is unchanged")]
    NotApplied { engine: &'static str, problem: String, hint: String },
    #[error("{failed}; its configuration was restored, and {unit} does not start again: {then}")]
    NotStarted { unit: String, failed: String, then: String },
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// An error of the library, for a user who gave options and no annotations:
    /// `io.runvf.pool.mon0=a` becomes `--pool a`, and `io.runvf.vlan.a/b`, which names a wrong
    /// interface, `--name a/b`.
    pub(crate) fn of_options(error: vf::Error) -> Self {
        match &error {
            vf::Error::Lifecycle(vf::LifecycleError::NameTaken { .. }) => {
                Self::Options(vf::one_line(&error, Some("choose another name with --name")))
            }
            vf::Error::Lifecycle(vf::LifecycleError::MacInUse { .. }) => {
                Self::Options(vf::one_line(&error, Some("choose another address with --mac")))
            }
            vf::Error::Policy(_) => Self::Options(as_options(&error.line())),
            _ => Self::Vf(error),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { hint, .. }
            | Self::Conflict { hint, .. }
            | Self::Content { hint, .. }
            | Self::NotApplied { hint, .. } => Some(hint.clone()),
            Self::NotStarted { unit, .. } => Some(format!("see `journalctl -u {unit}`")),
            Self::NoSriovNic => Some(
                "enable SR-IOV in the firmware of the machine and of the NIC; see `runvfctl doctor`"
                    .to_owned(),
            ),
            Self::NoClaim { .. } => Some("see `runvfctl status`".to_owned()),
            Self::NotRoot { .. } => {
                Some("run it as root; a rootless engine cannot move a VF".to_owned())
            }
            _ => None,
        }
    }

    /// The error, its causes and the hint, on one line.
    pub(crate) fn line(&self) -> String {
        if let Self::Vf(error) = self {
            return error.line();
        }
        vf::one_line(self, self.hint().as_deref())
    }
}

fn as_options(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let quoted = word.strip_prefix('`').unwrap_or(word);
        let Some(rest) = quoted.strip_prefix(vf::PREFIX) else { return word.to_owned() };
        let quote = if quoted == word { "" } else { "`" };
        match (rest.split_once('='), rest.split_once('.')) {
            (Some((key, value)), _) => {
                let (option, _) = key.split_once('.').unwrap_or((key, ""));
                format!("{quote}--{option} {value}")
            }
            (None, Some((_, interface))) => format!("{quote}--name {interface}"),
            (None, None) => format!("{quote}--{rest}"),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
