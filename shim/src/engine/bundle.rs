//! The bundle of a container that another runtime creates. runvf parses only the parts of
//! config.json that it needs, because the engine may implement a newer spec than libcontainer.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::vf::{Netns, net_device};

#[derive(Debug, Deserialize)]
pub(super) struct Bundle {
    #[serde(skip)]
    pub(super) folder: PathBuf,
    pub(super) annotations: Option<HashMap<String, String>>,
    linux: Option<Linux>,
    process: Option<Process>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
    net_devices: Option<BTreeMap<String, NetDevice>>,
}

#[derive(Debug, Deserialize)]
struct NetDevice {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    r#type: String,
    path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Process {
    terminal: Option<bool>,
}

impl Bundle {
    pub(super) fn load(folder: &Path) -> Result<Self, Error> {
        let folder = fs::canonicalize(folder).map_err(Error::file("find the bundle", folder))?;
        let path = folder.join("config.json");
        let text = fs::read(&path).map_err(Error::file("read", &path))?;
        let bundle: Self =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
        Ok(Self { folder, ..bundle })
    }

    pub(super) fn netns(&self) -> Netns<'_> {
        let namespaces = self.linux.as_ref().and_then(|linux| linux.namespaces.as_deref());
        let mut namespaces = namespaces.unwrap_or_default().iter();
        let network = namespaces.find(|namespace| namespace.r#type == "network");
        match network.map(|namespace| namespace.path.as_deref()) {
            None => Netns::Host,
            Some(None) => Netns::New,
            // Engines written in Go may write "" for an absent path.
            Some(Some(path)) if path.as_os_str().is_empty() => Netns::New,
            Some(Some(path)) => Netns::Joined(path),
        }
    }

    /// The netdevs of the host that the runtime moves into the container.
    pub(super) fn net_devices(&self) -> Vec<vf::NetDevice> {
        let devices = self.linux.as_ref().and_then(|linux| linux.net_devices.as_ref());
        let all = devices.into_iter().flatten();
        all.map(|(host_name, device)| net_device(host_name, device.name.as_deref())).collect()
    }

    pub(super) fn wants_terminal(&self) -> bool {
        self.process.as_ref().and_then(|process| process.terminal).unwrap_or(false)
    }

    /// The annotations with runvf's prefix.
    pub(super) fn annotations_of_runvf(&self) -> HashMap<String, String> {
        let all = self.annotations.iter().flatten();
        let matching = all.filter(|(key, _)| key.starts_with(vf::PREFIX));
        matching.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Bundle, Error> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), text).unwrap();
        Bundle::load(folder.path())
    }

    #[test]
    fn unknown_parts_of_a_bundle_are_ignored() {
        let bundle = load(
            r#"{"ociVersion": "9", "process": {"terminal": true, "new": []}, "annotations": {"io.runvf.vlan": "7", "a": "b"},
                "linux": {"namespaces": [{"type": "brand-new"}, {"type": "network", "path": "/n"}]}}"#,
        )
        .unwrap();
        assert!(bundle.wants_terminal());
        assert!(matches!(bundle.netns(), Netns::Joined(path) if path == Path::new("/n")));
        let expected = HashMap::from([("io.runvf.vlan".to_owned(), "7".to_owned())]);
        assert_eq!(bundle.annotations_of_runvf(), expected);
    }

    #[test]
    fn moved_netdevs_are_found() {
        let devices = |text: &str| {
            let bundle = load(&format!(r#"{{"linux": {{"netDevices": {text}}}}}"#)).unwrap();
            let names = bundle.net_devices().into_iter().map(|one| (one.host_name, one.name));
            names.collect::<Vec<_>>()
        };
        let pair = |host: &str, name: &str| (host.to_owned(), name.to_owned());
        let found = devices(r#"{"v0": {"name": "x0"}, "v1": {}, "v2": {"name": ""}}"#);
        assert_eq!(found, [pair("v0", "x0"), pair("v1", "v1"), pair("v2", "v2")]);
        assert_eq!(devices("null"), []);
    }

    #[test]
    fn a_bundle_without_a_network_namespace_uses_the_hosts() {
        let netns =
            |text: &str| load(&format!(r#"{{"linux": {{"namespaces": {text}}}}}"#)).unwrap();
        assert!(matches!(netns("[]").netns(), Netns::Host));
        assert!(matches!(netns("null").netns(), Netns::Host));
        assert!(matches!(netns(r#"[{"type": "network"}]"#).netns(), Netns::New));
        assert!(matches!(netns(r#"[{"type": "network", "path": ""}]"#).netns(), Netns::New));
        assert!(matches!(load("{}").unwrap().netns(), Netns::Host));
        assert!(load("{").is_err());
    }
}
