//! What runvf must know of a bundle whose container another runtime makes. Nothing else in its config.json is looked at:
//! an engine may be newer than the spec that libcontainer knows.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::vf::Netns;

#[derive(Debug, Deserialize)]
pub(super) struct Bundle {
    #[serde(skip)]
    pub(super) folder: PathBuf,
    pub(super) annotations: Option<HashMap<String, String>>,
    linux: Option<Linux>,
    process: Option<Process>,
}

#[derive(Debug, Deserialize)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
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
        let folder = fs::canonicalize(folder).map_err(Error::file("find bundle", folder))?;
        let path = folder.join("config.json");
        let text = fs::read(&path).map_err(Error::file("read", &path))?;
        let bundle: Self =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
        Ok(Self { folder, ..bundle })
    }

    pub(super) fn netns(&self) -> Netns<'_> {
        let namespaces = self.linux.as_ref().and_then(|linux| linux.namespaces.as_deref());
        let network = namespaces.unwrap_or_default().iter().find(|one| one.r#type == "network");
        match network.map(|namespace| namespace.path.as_deref()) {
            None => Netns::Host,
            // Go's JSON has no absent strings: "" is none.
            Some(None) => Netns::New,
            Some(Some(path)) if path.as_os_str().is_empty() => Netns::New,
            Some(Some(path)) => Netns::Joined(path),
        }
    }

    pub(super) fn wants_terminal(&self) -> bool {
        self.process.as_ref().and_then(|process| process.terminal).unwrap_or(false)
    }

    pub(super) fn annotations_of_runvf(&self) -> HashMap<String, String> {
        let all = self.annotations.iter().flatten();
        let ours = all.filter(|(key, _)| key.starts_with(vf::PREFIX));
        ours.map(|(key, value)| (key.clone(), value.clone())).collect()
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
    fn only_what_is_needed_is_read() {
        let bundle = load(
            r#"{"ociVersion": "9", "process": {"terminal": true, "new": []}, "annotations": {"io.runvf.vlan": "7", "a": "b"},
                "linux": {"namespaces": [{"type": "brand-new"}, {"type": "network", "path": "/n"}]}}"#,
        )
        .unwrap();
        assert!(bundle.wants_terminal());
        assert!(matches!(bundle.netns(), Netns::Joined(path) if path == Path::new("/n")));
        let ours = HashMap::from([("io.runvf.vlan".to_owned(), "7".to_owned())]);
        assert_eq!(bundle.annotations_of_runvf(), ours);
    }

    #[test]
    fn a_network_is_the_hosts_unless_a_namespace_is_named() {
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
