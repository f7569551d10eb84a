//! `cri` in `/etc/runvf/runtime.toml`, which names the engine that makes the pods of this host.
//! CRI-O runs hooks, too.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Deserialize;
use vf::CriEngine;

use crate::error::Error;

const PATH: &str = "/etc/runvf/runtime.toml";

/// The only key that the hooks read. `runvf` reports unknown keys.
#[derive(Debug, Deserialize)]
struct RuntimeToml {
    cri: Option<CriEngine>,
}

pub(crate) fn engine() -> Result<Option<CriEngine>, Error> {
    read(Path::new(PATH))
}

fn read(path: &Path) -> Result<Option<CriEngine>, Error> {
    let failed = |source| Error::UnreadableConfig { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    let bad =
        |problem: &str| Error::BadConfig { path: path.to_owned(), problem: problem.to_owned() };
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(bad("users other than root can write it"));
    }
    vf::check_folder_owners(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let parsed: RuntimeToml = toml::from_str(&text).map_err(|error| bad(error.message()))?;
    Ok(parsed.cri)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_engine_is_read_from_a_file_of_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runtime.toml");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, "engine = \"runc\"\n").unwrap();
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, "engine = \"runc\"\ncri = \"crio\"\n").unwrap();
        assert_eq!(read(&path).unwrap(), Some(CriEngine::Crio));
        fs::write(&path, "cri = \"kubelet\"\n").unwrap();
        let line = read(&path).unwrap_err().line();
        assert!(line.contains("unknown variant `kubelet`"), "{line}");
        fs::write(&path, "cri = \"crio\"\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let line = read(&path).unwrap_err().line();
        assert!(line.contains("users other than root can write it"), "{line}");
    }
}
