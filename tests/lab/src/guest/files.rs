//! Copies files into the guest and out of it, over the ssh connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::guest::ssh::quote;

/// Long enough for the largest sensor image on an emulated CPU.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);

impl Lab {
    /// Copies one file with its mode, and creates its folder.
    pub fn push(&self, local: impl AsRef<Path>, guest_path: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let local = local.as_ref();
        let mode = fs::metadata(local).map_err(at(local))?.permissions().mode() & 0o7777;
        self.push_tree(vec![(local.to_owned(), guest_path.to_owned(), mode)])
    }

    /// Writes `bytes` to a file in the guest, and creates its folder.
    pub fn write(&self, guest_path: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let path = quote(guest_path);
        let script = format!("mkdir -p \"$(dirname {path})\" && cat > {path}");
        let raw = self.raw(&script, bytes.into(), TRANSFER_TIMEOUT)?;
        self.checked(&script, raw.into()).map(drop)
    }

    /// Copies files in one stream. Each is a local path, a path in the guest and a mode; all are
    /// owned by root.
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
        // -m: the guest's clock may be behind the host's, and tar warns about files from the
        // future.
        let script = "tar -C / --no-overwrite-dir -xmf -";
        let raw = self.raw(script, stream, TRANSFER_TIMEOUT)?;
        self.checked(script, raw.into()).map(drop)
    }

    /// Returns the contents of a file in the guest.
    pub fn pull(&self, guest_path: &str) -> Result<Vec<u8>> {
        let script = format!("cat {}", quote(guest_path));
        let raw = self.raw(&script, Vec::new(), TRANSFER_TIMEOUT)?;
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
