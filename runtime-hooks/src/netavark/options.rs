//! The options of a network (`--opt`), and the request that they make.

use vf::{PREFIX, Request};

use super::input::{ContainerOptions, Network};
use crate::error::Error;

/// The options that are a part of the request, as the annotations of the same names.
const OF_REQUEST: [&str; 7] = ["vlan", "tenant", "pool", "mtu", "qos", "proto", "transmit"];
/// The name of the interface in all containers of the network.
const INTERFACE: &str = "interface";

/// Refuses what runvf would not apply.
pub(super) fn check_network(network: &Network) -> Result<(), Error> {
    for (key, _) in network.options() {
        if key != INTERFACE && !OF_REQUEST.contains(&key) {
            let known = [&OF_REQUEST[..], &[INTERFACE]].concat().join(", ");
            return Err(Error::UnknownOption { option: printable(key), known });
        }
    }
    if network.option("vlan").is_none() {
        return Err(Error::NoVlan);
    }
    if network.has_subnets() {
        return Err(Error::Addresses("leave out `--subnet`"));
    }
    Ok(())
}

/// Refuses what a user asks for at `podman run --network NAME:…`, and runvf would not apply. The
/// VLAN is a property of the network.
pub(super) fn check_container(options: &ContainerOptions) -> Result<(), Error> {
    if options.has_addresses() {
        return Err(Error::Addresses("leave out `--ip`"));
    }
    match options.first_option() {
        Some(option) => Err(Error::OptionOfContainer(printable(option))),
        None => Ok(()),
    }
}

/// The request for one interface.
pub(super) fn request(
    network: &Network,
    interface: &str,
    mac: Option<&str>,
) -> Result<Request, Error> {
    let options = network.options().filter(|(key, _)| *key != INTERFACE);
    let options = options.chain(mac.filter(|mac| !mac.is_empty()).map(|mac| ("mac", mac)));
    let annotations: Vec<(String, &str)> = options
        .map(|(key, value)| match key {
            "tenant" => (format!("{PREFIX}{key}"), value),
            _ => (format!("{PREFIX}{key}.{interface}"), value),
        })
        .collect();
    let pairs = annotations.iter().map(|(key, value)| (key.as_str(), *value));
    Request::from_annotations(pairs).map_err(Error::of_network)?.ok_or(Error::NoVlan)
}

/// Escapes control characters and shortens the text, because it is printed to terminals.
fn printable(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}
