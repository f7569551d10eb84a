//! `/etc/runvf/runtime.toml`: the configuration of runvf as a runtime. Most hosts have no such
//! file.
//!
//! It is separate from `/etc/runvf/config.toml`, which configures the VFs: a container that
//! requests no VF must start even if `config.toml` is not readable. Without `runtime.toml`, a
//! container costs only one failed open(2) more.

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
    /// The engine that makes the pods of this host.
    pub(crate) cri: Option<vf::CriEngine>,
    /// Refuse a container that requests no VF. Docker silently drops annotations when its API is
    /// older than 1.43, and then a sensor would run without a VF.
    pub(crate) require_annotation: bool,
}

impl Config {
    /// Reads `/etc/runvf/runtime.toml`; without that file, returns the defaults.
    pub(crate) fn load() -> Result<Self, Error> {
        Self::read(Path::new(RUNTIME_TOML))
    }

    /// Name or path of the runtime that creates the containers. `None` means libcontainer.
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
                problem: "users other than root can write it".to_owned(),
                hint: format!("`chown root:root {0} && chmod 644 {0}`", path.display()),
            });
        }
        vf::check_folder_owners(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let invalid = |problem: String| Error::BadConfig {
            path: path.to_owned(),
            problem,
            hint: vf::MANUAL.to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            invalid(format!("line {line}: {}", error.message()))
        })?;
        match config.engine.as_deref() {
            None | Some("builtin" | "runc" | "crun") => Ok(config),
            Some(path) if path.starts_with('/') => Ok(config),
            Some(other) => {
                let sets_engine = |line: &&str| line.trim_start().starts_with("engine");
                let line = text.lines().take_while(|line| !sets_engine(line)).count() + 1;
                Err(invalid(format!(
                    "line {line}: engine `{other}` is not valid: \
                     expected builtin, runc, crun or an absolute path"
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
    fn the_default_is_libcontainer_without_required_annotations() {
        let absent = Config::read(Path::new("/nonexistent/runtime.toml")).unwrap();
        assert_eq!(absent, Config::default());
        assert_eq!((absent.engine(), absent.require_annotation), (None, false));
        assert_eq!(parse("").unwrap(), absent);
        assert_eq!(parse("engine = \"builtin\"").unwrap().engine(), None);
    }

    #[test]
    fn an_engine_is_a_known_name_or_an_absolute_path() {
        assert_eq!(parse("engine = \"crun\"").unwrap().engine(), Some("crun"));
        assert_eq!(parse("engine = \"/opt/runc\"").unwrap().engine(), Some("/opt/runc"));
        for other in ["", "kata", "bin/runc", "./runc"] {
            let message = parse(&format!("engine = \"{other}\"")).unwrap_err();
            let expected = format!("/r.toml: line 1: engine `{other}` is not valid: expected ");
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn cri_is_containerd_or_crio() {
        assert_eq!(parse("").unwrap().cri, None);
        assert_eq!(parse("cri = \"crio\"").unwrap().cri, Some(vf::CriEngine::Crio));
        let message = parse("\ncri = \"docker\"").unwrap_err();
        assert!(message.starts_with("/r.toml: line 2: unknown variant `docker`"), "{message}");
    }

    #[test]
    fn an_error_names_the_line() {
        for (text, expected) in [
            ("engine = \"runc\"\nstrict = true\n", "/r.toml: line 2: unknown field `strict`"),
            ("require_annotation = 1\n", "/r.toml: line 1: invalid type"),
            ("\nengine\n", "/r.toml: line 2: "),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn only_root_can_write_or_replace_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runtime.toml");
        std::fs::write(&path, "require_annotation = true").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        let message = line(&Config::read(&path).unwrap_err());
        assert!(message.contains("users other than root can write it"), "{message}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Config::read(&path).unwrap().require_annotation);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let message = line(&Config::read(&path).unwrap_err());
        assert!(
            message.contains("users other than root can replace it by writing to"),
            "{message}"
        );
    }
}
