//! What Podman and netavark pass to the plugin (netavark, `src/network/types.rs`).

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::error::Error;

/// In bytes. A network has a few options; netavark writes a few kilobytes.
const MAX_SIZE: u64 = 1 << 20;

/// A network, as Podman stores it. Podman writes `null` for an empty map or list.
#[derive(Debug, Deserialize)]
pub(super) struct Network {
    pub(super) name: String,
    options: Option<BTreeMap<String, String>>,
    subnets: Option<Vec<IgnoredAny>>,
}

/// The connection of a container to a network.
#[derive(Debug, Deserialize)]
pub(super) struct Exec {
    pub(super) container_id: String,
    pub(super) network: Network,
    pub(super) network_options: ContainerOptions,
}

/// What the user has asked for with `podman run --network NAME:…`.
#[derive(Debug, Deserialize)]
pub(super) struct ContainerOptions {
    /// `eth0`, `eth1`, …, unless the user gives a name.
    pub(super) interface_name: String,
    pub(super) static_mac: Option<String>,
    static_ips: Option<Vec<IgnoredAny>>,
    options: Option<BTreeMap<String, String>>,
}

/// Reads a JSON object from stdin.
pub(super) fn read(from: impl Read) -> Result<Value, Error> {
    let mut text = Vec::new();
    from.take(MAX_SIZE + 1).read_to_end(&mut text).map_err(Error::UnreadableNetwork)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(Error::NetworkTooLarge(MAX_SIZE));
    }
    serde_json::from_slice(&text).map(Value::Object).map_err(Error::MalformedNetwork)
}

fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(value).map_err(Error::MalformedNetwork)
}

impl Network {
    pub(super) fn of(value: &Value) -> Result<Self, Error> {
        parse(value)
    }

    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.options.as_ref()?.get(key).map(String::as_str)
    }

    pub(super) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let options = self.options.iter().flatten();
        options.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn has_subnets(&self) -> bool {
        self.subnets.as_ref().is_some_and(|subnets| !subnets.is_empty())
    }
}

impl Exec {
    pub(super) fn of(value: &Value) -> Result<Self, Error> {
        parse(value)
    }
}

impl ContainerOptions {
    pub(super) fn has_addresses(&self) -> bool {
        self.static_ips.as_ref().is_some_and(|addresses| !addresses.is_empty())
    }

    /// A driver's option of this connection, if the user gave one.
    pub(super) fn first_option(&self) -> Option<&str> {
        self.options.as_ref()?.keys().next().map(String::as_str)
    }
}
