//! The name of the interface in the container.

use std::path::Path;

use super::input::Exec;
use crate::error::Error;

/// The user's name for this connection, or that of the network, or the first of `mon0`, `mon1`, …
/// that is unused. Podman's own names (`eth0`, …) do not count: a sensor expects the same name
/// behind every door, and beside any number of other networks.
pub(super) fn choose(exec: &Exec, netns: &Path) -> Result<String, Error> {
    let given = exec.network_options.interface_name.as_str();
    match (is_given_by_podman(given), exec.network.option("interface")) {
        (false, _) => Ok(given.to_owned()),
        (true, Some(of_network)) => Ok(of_network.to_owned()),
        (true, None) => Ok(vf::unused_interface(netns)?),
    }
}

fn is_given_by_podman(name: &str) -> bool {
    let number = name.strip_prefix("eth");
    name.is_empty()
        || number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_like_eth0_are_podmans() {
        for (name, expected) in [
            ("eth0", true),
            ("eth12", true),
            ("", true),
            ("eth", false),
            ("ethx", false),
            ("mon0", false),
        ] {
            assert_eq!(is_given_by_podman(name), expected, "{name}");
        }
    }
}
