//! The PFs with VFs that rest without a driver because of `runvfctl setup`:
//! `parked/<PCI address of the PF>`.
//!
//! `runvfctl setup --undo` needs to know them: an operator may have turned the automatic binding of
//! a PF's VFs off as well, and then it stays off.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::fault;
use crate::kernel::sysfs::{compare_pci, is_pci_address};

/// The folder of all records. A record is an empty file, which lasts until the next boot, as the
/// setting of the PF does.
#[derive(Debug, Clone)]
pub(crate) struct ParkedPfs {
    folder: PathBuf,
}

impl ParkedPfs {
    pub(crate) fn of(run: &Path) -> Self {
        Self { folder: run.join("parked") }
    }

    /// Records a PF. The caller has the PF's lock, and changes the PF afterwards.
    pub(crate) fn add(&self, pf: &str) -> Result<(), Error> {
        let path = self.folder.join(pf);
        fault::point("parked-add").map_err(Error::errno("create", &path))?;
        let mut folder = DirBuilder::new();
        let created = folder.recursive(true).mode(0o700).create(&self.folder);
        created.and_then(|()| fs::write(&path, "")).map_err(Error::file("create", &path))
    }

    /// Removes the record of a PF that is as before. The caller has the PF's lock.
    pub(crate) fn remove(&self, pf: &str) -> Result<(), Error> {
        let path = self.folder.join(pf);
        fault::point("parked-remove").map_err(Error::errno("remove", &path))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::file("remove", path)),
        }
    }

    /// The PCI addresses of the PFs, in their order.
    pub(crate) fn all(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list", &self.folder))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found: Vec<String> = names.filter(|name| is_pci_address(name)).collect();
        found.sort_by(|one, other| compare_pci(one, other));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pf_is_recorded_until_it_is_removed() {
        let run = tempfile::tempdir().unwrap();
        let parked = ParkedPfs::of(run.path());
        assert!(parked.all().unwrap().is_empty());
        parked.remove("0000:01:00.0").unwrap();
        for pf in ["10000:e1:00.0", "0000:01:00.0", "0000:01:00.0"] {
            parked.add(pf).unwrap();
        }
        assert_eq!(parked.all().unwrap(), ["0000:01:00.0", "10000:e1:00.0"]);
        parked.remove("0000:01:00.0").unwrap();
        assert_eq!(parked.all().unwrap(), ["10000:e1:00.0"]);
    }
}
