//! `/etc/runvf/runtime.toml`: what runvf is as a runtime. Most machines have no such file.
//!
//! It is no part of `/etc/runvf/config.toml`, on purpose: that one says where VFs are to be had, and a container which asks
//! for none must not depend on it being readable. Without this file all that a container pays for it is an open(2) that fails.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, RUNTIME_TOML};

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    engine: Option<String>,
    /// Refuse a container that asks for no VF: Docker drops annotations without a word when its API is older than 1.43, and
    /// what was meant to be a sensor would see nothing.
    pub(crate) require_annotation: bool,
}

impl Config {
    pub(crate) fn load() -> Result<Self, Error> {
        Self::read(Path::new(RUNTIME_TOML))
    }

    /// The runtime that makes the containers, a name or a path; `None`: libcontainer does.
    pub(crate) fn engine(&self) -> Option<&str> {
        self.engine.as_deref().filter(|name| *name != "builtin")
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(Error::file("read", path))?,
        };
        let metadata = file.metadata().map_err(Error::file("read", path))?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Err(Error::BadConfig {
                path: path.to_owned(),
                problem: "somebody other than root may write it".to_owned(),
                hint: format!("`chown root:root {0} && chmod 644 {0}`", path.display()),
            });
        }
        vf::folders_are_roots(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| Error::BadConfig {
            path: path.to_owned(),
            problem,
            hint: vf::MANUAL.to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message()))
        })?;
        match config.engine.as_deref() {
            None | Some("builtin" | "runc" | "crun") => Ok(config),
            Some(path) if path.starts_with('/') => Ok(config),
            Some(other) => {
                let says = |line: &&str| line.trim_start().starts_with("engine");
                let line = text.lines().take_while(|line| !says(line)).count() + 1;
                Err(wrong(format!(
                    "line {line}: engine `{other}` is none of builtin, runc, crun and an absolute path"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::error::line;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/r.toml")).map_err(|error| line(&error))
    }

    #[test]
    fn nothing_is_libcontainer_and_no_strictness() {
        let absent = Config::read(Path::new("/nonexistent/runtime.toml")).unwrap();
        assert_eq!(absent, Config::default());
        assert_eq!((absent.engine(), absent.require_annotation), (None, false));
        assert_eq!(parse("").unwrap(), absent);
        assert_eq!(parse("engine = \"builtin\"").unwrap().engine(), None);
    }

    #[test]
    fn an_engine_is_a_known_name_or_a_whole_path() {
        assert_eq!(parse("engine = \"crun\"").unwrap().engine(), Some("crun"));
        assert_eq!(parse("engine = \"/opt/runc\"").unwrap().engine(), Some("/opt/runc"));
        for other in ["", "kata", "bin/runc", "./runc"] {
            let told = parse(&format!("engine = \"{other}\"")).unwrap_err();
            let expected = format!("/r.toml: line 1: engine `{other}` is none of ");
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("engine = \"runc\"\nstrict = true\n", "/r.toml: line 2: unknown field `strict`"),
            ("require_annotation = 1\n", "/r.toml: line 1: invalid type"),
            ("\nengine\n", "/r.toml: line 2: "),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.starts_with(expected) && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn it_is_roots_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runtime.toml");
        std::fs::write(&path, "require_annotation = true").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        let told = line(&Config::read(&path).unwrap_err());
        assert!(told.contains("somebody other than root may write it"), "{told}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Config::read(&path).unwrap().require_annotation);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let told = line(&Config::read(&path).unwrap_err());
        assert!(told.contains("somebody other than root may replace it, by way of"), "{told}");
    }
}
