//! The plugin for Podman's networks: whether Podman finds it.

use super::command::{self, COMMAND_TIMEOUT};
use super::engine::NAME;
use crate::error::Error;

/// Why `podman network create --driver runvf` fails, with the remedy, if it does.
///
/// # Errors
/// When Podman does not answer.
pub(crate) fn podman_network_problem() -> Result<Option<(String, &'static str)>, Error> {
    let drivers = "{{.Host.NetworkBackend}}{{range .Plugins.Network}} {{.}}{{end}}";
    let answer = command::stdout(&["podman", "info", "--format", drivers], COMMAND_TIMEOUT)?;
    Ok(problem(&answer))
}

/// `answer`: the network backend, and the network drivers.
fn problem(answer: &str) -> Option<(String, &'static str)> {
    let mut words = answer.split_ascii_whitespace();
    match words.next() {
        Some("netavark") if words.any(|driver| driver == NAME) => None,
        Some("netavark") => Some((
            "Podman does not find the network driver runvf".to_owned(),
            "add /usr/libexec/netavark to `netavark_plugin_dirs` in containers.conf",
        )),
        backend => Some((
            format!("Podman's network backend is {}", backend.unwrap_or("unknown")),
            "use the annotation `io.runvf.vlan`; networks of the driver runvf need netavark",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_must_have_netavark_and_the_driver() {
        assert_eq!(problem("netavark bridge macvlan ipvlan runvf\n"), None);
        let (missing, remedy) = problem("netavark bridge macvlan ipvlan").unwrap();
        assert_eq!(missing, "Podman does not find the network driver runvf");
        assert!(remedy.contains("netavark_plugin_dirs"));
        let (missing, _) = problem("cni bridge macvlan").unwrap();
        assert_eq!(missing, "Podman's network backend is cni");
        assert!(problem("").is_some());
    }
}
