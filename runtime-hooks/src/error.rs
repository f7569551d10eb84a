//! The error type of the hooks. It wraps the errors of the library.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the container state from stdin")]
    Unreadable(#[source] std::io::Error),
    #[error("the container state on stdin is empty")]
    Empty,
    #[error("the container state on stdin is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the container state on stdin is not valid")]
    Malformed(#[source] serde_json::Error),
    #[error("cannot read {}", .path.display())]
    UnreadableBundle { path: PathBuf, source: std::io::Error },
    #[error("{} is not valid", .path.display())]
    MalformedBundle { path: PathBuf, source: serde_json::Error },
    #[error("cannot read {}", .path.display())]
    UnreadableConfig { path: PathBuf, source: std::io::Error },
    #[error("{}: {problem}", .path.display())]
    BadConfig { path: PathBuf, problem: String },
    #[error("the state of container {0} has no pid")]
    NoProcess(String),
    #[error(transparent)]
    Vf(#[from] vf::Error),

    // Of the netavark plugin.
    #[error("the plugin has no verb `{0}`")]
    UnknownVerb(String),
    #[error("the path of the network namespace is missing")]
    NoNetns,
    #[error("cannot read the network from stdin")]
    UnreadableNetwork(#[source] std::io::Error),
    #[error("the network on stdin is larger than {0} bytes")]
    NetworkTooLarge(u64),
    #[error("the network on stdin is not valid")]
    MalformedNetwork(#[source] serde_json::Error),
    #[error("the network has no VLAN")]
    NoVlan,
    #[error("`{option}` is not an option of a network of runvf")]
    UnknownOption { option: String, known: String },
    #[error("`{0}` cannot be an option of one container")]
    OptionOfContainer(String),
    #[error("a VF of runvf has no address")]
    Addresses(&'static str),
    /// A running container keeps its VF, for this reason.
    #[error("{0}")]
    StillInUse(String),
    /// An error of the library, in the words of a network's options.
    #[error("{0}")]
    Network(String),
}

/// How to choose the interface's name of a network.
const NAME_HINT: &str = "choose another name with `--network NETWORK:interface_name=NAME`, or with \
                         `--opt interface=NAME` of the network";

const HINT: &str = "runvf-hook is run by container engines, see /usr/share/containers/oci/hooks.d";

const PLUGIN_HINT: &str = "netavark runs this program as a plugin, see netavark(1)";

impl Error {
    /// An error of the library, for the user of a Podman network, who knows no annotations.
    pub(crate) fn of_network(error: vf::Error) -> Self {
        match &error {
            vf::Error::Lifecycle(vf::LifecycleError::NameTaken { .. }) => {
                Self::Network(vf::one_line(&error, Some(NAME_HINT)))
            }
            vf::Error::Lifecycle(vf::LifecycleError::MacInUse { .. }) => {
                let hint = "give each container another `--mac-address`";
                Self::Network(vf::one_line(&error, Some(hint)))
            }
            vf::Error::Policy(_) => Self::Network(as_options(&error.line())),
            _ => Self::Vf(error),
        }
    }

    /// The error and its causes on one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Vf(error) => error.line(),
            Self::UnreadableConfig { .. } | Self::BadConfig { .. } => {
                vf::one_line(self, Some(vf::MANUAL))
            }
            Self::Network(line) | Self::StillInUse(line) => line.clone(),
            Self::NoVlan => vf::one_line(self, Some("add `--opt vlan=<1-4094>`")),
            Self::UnknownOption { known, .. } => {
                vf::one_line(self, Some(&format!("the options are {known}")))
            }
            Self::OptionOfContainer(_) => vf::one_line(self, Some("create another network for it")),
            Self::Addresses(hint) => vf::one_line(self, Some(hint)),
            Self::UnknownVerb(_)
            | Self::NoNetns
            | Self::UnreadableNetwork(_)
            | Self::NetworkTooLarge(_)
            | Self::MalformedNetwork(_) => vf::one_line(self, Some(PLUGIN_HINT)),
            _ => vf::one_line(self, Some(HINT)),
        }
    }
}

/// Replaces the annotations in a message by the options of a network: `io.runvf.vlan.mon0=5000` by
/// `--opt vlan=5000`, and `io.runvf.vlan.a/b`, which names a wrong interface, by
/// `--opt interface=a/b`.
fn as_options(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let quoted = word.strip_prefix('`').unwrap_or(word);
        let Some(rest) = quoted.strip_prefix(vf::PREFIX) else {
            words.push(word.to_owned());
            continue;
        };
        let quote = if quoted == word { "" } else { "`" };
        let (key, value) =
            rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value)));
        words.push(match (key.split_once('.'), value) {
            (Some((option, _)), Some(value)) => format!("{quote}--opt {option}={value}"),
            (Some((_, interface)), None) => format!("{quote}--opt interface={interface}"),
            (None, _) => format!("{quote}--opt {rest}"),
        });
    }
    words.join(" ")
}
