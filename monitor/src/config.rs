//! `/etc/runvf/monitor.toml`: the monitor's configuration. Without the file, the defaults apply.
//!
//! It is separate from `/etc/runvf/config.toml`, because an error in the monitor's settings must
//! keep no container from its VF.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;

pub(crate) const FILE: &str = "/etc/runvf/monitor.toml";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The Unix socket of metrics and page, mode 0660. Empty: none. Not in `/run/runvf`, because
    /// only root can enter that folder, but the socket's group may be another one.
    pub(crate) socket: PathBuf,
    /// A loopback address and a TCP port for metrics and page.
    pub(crate) listen: Option<SocketAddr>,
    /// A file for node_exporter's textfile collector (`*.prom`).
    pub(crate) textfile: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/runvf-monitor.sock"), listen: None, textfile: None }
    }
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::ReadConfig { path: path.to_owned(), source };
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(unreadable)?,
        };
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            let problem = "users other than root can write it; `chown root:root` and `chmod 644`";
            return Err(Error::BadConfig { path: path.to_owned(), problem: problem.to_owned() });
        }
        vf::check_folder_owners(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    /// `path`: for messages only.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let invalid = |problem| Error::BadConfig { path: path.to_owned(), problem };
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            invalid(format!("line {line}: {}", error.message()))
        })?;
        if let Some(address) = config.listen.filter(|address| !address.ip().is_loopback()) {
            return Err(invalid(format!(
                "listen: {address} is not a loopback address; put a proxy with authentication in \
                 front of the monitor to reach it from other hosts"
            )));
        }
        let is_relative = |path: &&PathBuf| !path.as_os_str().is_empty() && !path.is_absolute();
        let paths = [Some(&config.socket), config.textfile.as_ref()];
        if let Some(path) = paths.into_iter().flatten().find(is_relative) {
            return Err(invalid(format!("{} is not an absolute path", path.display())));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/m.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_a_unix_socket_without_tcp() {
        let absent = Config::read(Path::new("/nonexistent/monitor.toml")).unwrap();
        assert_eq!(absent, parse("").unwrap());
        assert_eq!((absent.listen, absent.textfile), (None, None));
    }

    #[test]
    fn only_loopback_addresses_are_served() {
        for address in ["127.0.0.1:9808", "[::1]:9808"] {
            assert!(parse(&format!("listen = \"{address}\"")).unwrap().listen.is_some());
        }
        for address in ["0.0.0.0:9808", "[::]:9808", "192.0.2.1:9808"] {
            let message = parse(&format!("listen = \"{address}\"")).unwrap_err();
            assert!(message.contains("is not a loopback address"), "{message}");
        }
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        for (text, expected) in [
            ("\nlisten = 5\n", "/m.toml: line 2: "),
            ("port = 5\n", "/m.toml: line 1: unknown field `port`"),
            ("textfile = \"a.prom\"", "/m.toml: a.prom is not an absolute path"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
