//! Files into the guest and out of it, through the one connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result, at};
use crate::guest::lab::{Lab, quote};

/// Enough for the largest sensor image through an emulated CPU.
const TRANSFER: Duration = Duration::from_secs(300);

impl Lab {
    /// Copies one file; its folder is made, its mode kept.
    pub fn push(&self, local: impl AsRef<Path>, guest_path: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let local = local.as_ref();
        let mode = fs::metadata(local).map_err(at(local))?.permissions().mode() & 0o7777;
        self.push_tree(vec![(local.to_owned(), guest_path.to_owned(), mode)])
    }

    /// Writes `bytes` to a file of the guest's.
    pub fn write(&self, guest_path: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let path = quote(guest_path);
        let script = format!("mkdir -p \"$(dirname {path})\" && cat > {path}");
        let raw = self.raw(&script, bytes.into(), TRANSFER)?;
        self.checked(&script, raw.into()).map(drop)
    }

    /// Copies any number of files in one stream, owned by root.
    pub fn push_tree(&self, files: Vec<(PathBuf, String, u32)>) -> Result<()> {
        let mut stream = tar::Builder::new(Vec::new());
        for (local, guest_path, mode) in &files {
            let bytes = fs::read(local).map_err(at(local))?;
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(*mode);
            stream
                .append_data(&mut header, guest_path.trim_start_matches('/'), bytes.as_slice())
                .map_err(at(guest_path))?;
        }
        let stream = stream.into_inner().map_err(at("the tar stream"))?;
        // -m: the guest's clock may be behind ours, and tar complains about files from the future.
        let script = "tar -C / --no-overwrite-dir -xmf -";
        let raw = self.raw(script, stream, TRANSFER)?;
        self.checked(script, raw.into()).map(drop)
    }

    pub fn pull(&self, guest_path: &str) -> Result<Vec<u8>> {
        let script = format!("cat {}", quote(guest_path));
        let raw = self.raw(&script, Vec::new(), TRANSFER)?;
        if raw.status == 0 {
            return Ok(raw.stdout);
        }
        Err(Error::Command {
            command: script,
            output: raw.into(),
            transcript: self.transcript().to_owned(),
        })
    }
}
