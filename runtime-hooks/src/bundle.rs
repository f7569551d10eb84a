//! The container's `config.json`, as far as the hooks need it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;

#[derive(Debug, Default, Deserialize)]
struct Bundle {
    linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    net_devices: Option<BTreeMap<String, NetDevice>>,
}

#[derive(Debug, Deserialize)]
struct NetDevice {
    name: Option<String>,
}

/// Reads `linux.netDevices`. A bundle without a `config.json` has none: runtimes may read the
/// configuration from another file.
pub(crate) fn net_devices(bundle: &Path) -> Result<Vec<vf::NetDevice>, Error> {
    let path = bundle.join("config.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|source| Error::UnreadableBundle { path: path.clone(), source })?,
    };
    let bundle: Bundle =
        serde_json::from_slice(&text).map_err(|source| Error::MalformedBundle { path, source })?;
    let devices = bundle.linux.and_then(|linux| linux.net_devices).unwrap_or_default();
    let device = |(host_name, device): (String, NetDevice)| {
        let name = device.name.filter(|name| !name.is_empty());
        vf::NetDevice { name: name.unwrap_or_else(|| host_name.clone()), host_name }
    };
    Ok(devices.into_iter().map(device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(config: &str) -> Result<Vec<(String, String)>, String> {
        let bundle = tempfile::tempdir().unwrap();
        fs::write(bundle.path().join("config.json"), config).unwrap();
        let devices = net_devices(bundle.path()).map_err(|error| error.line())?;
        Ok(devices.into_iter().map(|device| (device.host_name, device.name)).collect())
    }

    #[test]
    fn a_device_keeps_its_name_unless_it_gets_another() {
        let config = r#"{"ociVersion": "1.3.0", "linux": {"namespaces": [], "netDevices":
            {"v0": {"name": "x0"}, "v1": {}, "v2": {"name": ""}}}}"#;
        let expected = [("v0", "x0"), ("v1", "v1"), ("v2", "v2")];
        let expected = expected.map(|(host, name)| (host.to_owned(), name.to_owned()));
        assert_eq!(names(config), Ok(expected.to_vec()));
    }

    #[test]
    fn a_bundle_without_devices_has_none() {
        for config in ["{}", r#"{"linux": null}"#, r#"{"linux": {"netDevices": null}}"#] {
            assert_eq!(names(config), Ok(vec![]), "{config}");
        }
        assert!(net_devices(Path::new("/nonexistent")).unwrap().is_empty());
        assert!(names("{").unwrap_err().contains("config.json is not valid: "));
    }
}
