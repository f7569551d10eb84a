//! The folder of claims: `claims/<PCI address>.json`.
//!
//! A file at `claims/<PCI address>.json` keeps the VF from being claimed, even if runvf cannot read
//! it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::fault;
use crate::kernel::sysfs::{compare_pci, is_pci_address};
use crate::ledger::claim::{Claim, MAX_CLAIM_VERSION, State};
use crate::ledger::error::LedgerError;
use crate::ledger::unknown_fields::keep_unknown_fields;

/// The folder of all claims.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    folder: PathBuf,
}

/// The largest file that is read as a claim. A real claim has about one kilobyte.
const MAX_CLAIM_BYTES: u64 = 64 * 1024;

impl Claims {
    /// Opens the folder below `run` and creates it if it does not exist.
    pub(crate) fn open(run: &Path) -> Result<Self, Error> {
        let folder = run.join("claims");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(Error::file("create", &folder))?;
        Ok(Self { folder })
    }

    /// As [`Claims::open`], for callers that only read. The folder may be missing and is not
    /// created.
    pub(crate) fn read_only(run: &Path) -> Self {
        Self { folder: run.join("claims") }
    }

    fn path(&self, vf: &str) -> PathBuf {
        self.folder.join(format!("{vf}.json"))
    }

    /// Whether the VF has a claim, readable or not.
    pub(crate) fn is_claimed(&self, vf: &str) -> bool {
        // `exists` would follow a symbolic link and miss a dangling one.
        self.path(vf).symlink_metadata().is_ok()
    }

    /// Writes the first record of a claim. Returns `false` and changes nothing if the VF has a
    /// claim already.
    ///
    /// The caller holds the lock of the PF, as for every change of a record.
    pub(crate) fn create(&self, claim: &Claim) -> Result<bool, Error> {
        let path = self.path(&claim.vf);
        let temporary = self.write_temporary(claim, None)?;
        fault::point("claim-create").map_err(Error::errno("create", &path))?;
        match renameat2(AT_FDCWD, &temporary, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(true),
            Err(errno) => {
                let _ = fs::remove_file(&temporary);
                match errno {
                    Errno::EEXIST => Ok(false),
                    other => Err(Error::errno("create", &path)(other)),
                }
            }
        }
    }

    /// Writes a record in place of an unreadable one. That may be a file of any type, or a folder.
    pub(crate) fn overwrite(&self, claim: &Claim) -> Result<(), Error> {
        let path = self.path(&claim.vf);
        let temporary = self.write_temporary(claim, None)?;
        fault::point("claim-overwrite").map_err(Error::errno("replace", &path))?;
        // Exchange, because rename(2) does not replace a folder with a file.
        renameat2(AT_FDCWD, &temporary, AT_FDCWD, &path, RenameFlags::RENAME_EXCHANGE)
            .map_err(Error::errno("replace", &path))?;
        fault::point("claim-overwritten").map_err(Error::errno("remove", &temporary))?;
        remove_path(&temporary)
    }

    /// Writes the next state of a claim. Callers do this before they act on that state.
    ///
    /// # Errors
    /// [`LedgerError::BadClaim`] when [`State::may_become`] does not allow the change.
    pub(crate) fn advance(&self, claim: &mut Claim, next: State) -> Result<(), Error> {
        if !claim.state.may_become(&next) {
            let problem = format!("it cannot go from {:?} to {next:?}", claim.state);
            return Err(Error::Ledger(LedgerError::BadClaim {
                path: self.path(&claim.vf),
                problem,
            }));
        }
        claim.state = next;
        let path = self.path(&claim.vf);
        let temporary = self.write_temporary(claim, self.unknown_fields(claim))?;
        fault::point("claim-replace").map_err(Error::errno("replace", &path))?;
        fs::rename(&temporary, &path).map_err(Error::file("replace", path))
    }

    /// The record of a claim with the fields of its record on disk that this runvf does not know.
    /// `None` if there are none.
    fn unknown_fields(&self, claim: &Claim) -> Option<Value> {
        // The caller has just read this record. If it cannot be read now, there is nothing to keep.
        let stored: Value = serde_json::from_slice(&fs::read(self.path(&claim.vf)).ok()?).ok()?;
        let known = Claim::deserialize(&stored).ok().filter(|known| known.nonce == claim.nonce)?;
        let plain = serde_json::to_value(claim).ok()?;
        let mut record = plain.clone();
        keep_unknown_fields(&stored, &serde_json::to_value(known).ok()?, &mut record);
        (record != plain).then_some(record)
    }

    /// Writes the record to a temporary file, so that the rename that follows publishes a complete
    /// record.
    ///
    /// `record` is the claim with the fields of a newer runvf, if it has any.
    ///
    /// Each VF has one temporary file, because the threads of one lock holder write the records of
    /// several VFs at once. The next writer overwrites a file that a killed writer left.
    fn write_temporary(&self, claim: &Claim, record: Option<Value>) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!(".{}", claim.vf));
        let failed = Error::file("write", path.clone());
        let text = match record {
            Some(record) => serde_json::to_vec_pretty(&record),
            None => serde_json::to_vec_pretty(claim),
        };
        let text = text.map_err(|error| failed(error.into()))?;
        fault::point("claim-write").map_err(Error::errno("write", &path))?;
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // `overwrite` was interrupted after its exchange and left the unreadable record here.
            remove_path(&path)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(&failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(&failed)?;
        Ok(path)
    }

    /// Removes a claim. A missing record is no error.
    pub(crate) fn remove(&self, vf: &str) -> Result<(), Error> {
        let path = self.path(vf);
        fault::point("claim-remove").map_err(Error::errno("remove", &path))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::file("remove", path)),
        }
    }

    /// Removes an unreadable record, which may also be a folder. For a VF that does not exist on
    /// this machine.
    pub(crate) fn remove_unreadable(&self, vf: &str) -> Result<(), Error> {
        let path = self.path(vf);
        fault::point("claim-remove").map_err(Error::errno("remove", &path))?;
        remove_path(&path)
    }

    /// Reads the claim on a VF. `None`: the VF is free.
    ///
    /// # Errors
    /// [`LedgerError::BadClaim`] when the file is not a claim that runvf wrote.
    pub(crate) fn get(&self, vf: &str) -> Result<Option<Claim>, Error> {
        let path = self.path(vf);
        let file = match OpenOptions::new()
            .read(true)
            // O_NOFOLLOW, because a link may point anywhere. O_NONBLOCK, because opening a FIFO may
            // block without end.
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&path)
        {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let problem = match error.raw_os_error() {
                    Some(nix::libc::ELOOP) => "it is a symbolic link".to_owned(),
                    // For example a socket, or a node of a missing device.
                    _ => format!("it cannot be opened: {error}"),
                };
                return Err(Error::Ledger(LedgerError::BadClaim { path, problem }));
            }
            Ok(file) => file,
        };
        read_claim(file, &path, vf).map(Some)
    }

    /// Reads every claim, sorted by PCI address. Each result is a claim or the reason why runvf
    /// could not read it.
    pub(crate) fn all(&self) -> Result<Vec<Result<Claim, Error>>, Error> {
        let failed = Error::file("list", &self.folder);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(&failed)?,
        };
        let mut addresses: Vec<String> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|name| is_pci_address(name))
            .collect();
        addresses.sort_by(|one, other| compare_pci(one, other));
        Ok(addresses.iter().filter_map(|vf| self.get(vf).transpose()).collect())
    }

    /// Reads every claim and skips unreadable ones.
    pub(crate) fn readable(&self) -> Result<Vec<Claim>, Error> {
        Ok(self.all()?.into_iter().filter_map(Result::ok).collect())
    }

    /// The readable claims of one container.
    pub(crate) fn of_container(&self, container: &str) -> Result<Vec<Claim>, Error> {
        let has_container = |claim: &Claim| claim.container == container;
        Ok(self.readable()?.into_iter().filter(has_container).collect())
    }
}

/// Removes a file of any type, or a folder with its content.
fn remove_path(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.map_err(Error::file("remove", path))
}

/// Reads and checks a record: a regular file of this user, at most [`MAX_CLAIM_BYTES`], on the VF
/// of its file name.
fn read_claim(file: File, path: &Path, vf: &str) -> Result<Claim, Error> {
    let bad_claim = |problem: &str| {
        Error::Ledger(LedgerError::BadClaim { path: path.to_owned(), problem: problem.to_owned() })
    };
    let metadata = file.metadata().map_err(Error::file("read", path))?;
    if !metadata.is_file() {
        return Err(bad_claim("it is not a regular file"));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(bad_claim("it belongs to another user"));
    }
    // The spare byte lets `read_to_end` read the whole file with one read(2).
    let mut text = Vec::with_capacity(metadata.len().min(MAX_CLAIM_BYTES) as usize + 1);
    file.take(MAX_CLAIM_BYTES).read_to_end(&mut text).map_err(Error::file("read", path))?;
    let claim = parse_claim(&text, path)?;
    if claim.vf != vf || !is_pci_address(&claim.pf) {
        return Err(bad_claim("it is a claim on another VF"));
    }
    Ok(claim)
}

/// The part of a claim that every version has.
#[derive(Deserialize)]
struct AnyVersion {
    #[serde(default)]
    version: u32,
    #[serde(default)]
    container: String,
    #[serde(default)]
    interface: String,
}

/// # Errors
/// [`LedgerError::NewerClaim`], also if this runvf could parse the claim; [`LedgerError::BadClaim`].
fn parse_claim(text: &[u8], path: &Path) -> Result<Claim, Error> {
    let problem = match serde_json::from_slice::<Claim>(text) {
        Ok(claim) if claim.version > MAX_CLAIM_VERSION => String::new(),
        Ok(claim) if claim.version >= claim.min_readable_version() => return Ok(claim),
        Ok(claim) if claim.iommu_group.is_some() => "its version knows no vfio-pci".to_owned(),
        Ok(_) => "it names no init process".to_owned(),
        Err(error) => error.to_string(),
    };
    let path = path.to_owned();
    Err(Error::Ledger(match serde_json::from_slice::<AnyVersion>(text) {
        Ok(AnyVersion { version, container, interface }) if version > MAX_CLAIM_VERSION => {
            let readable = MAX_CLAIM_VERSION;
            LedgerError::NewerClaim { path, version, readable, container, interface }
        }
        _ => LedgerError::BadClaim { path, problem },
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::claim::NETNS_CLAIM_VERSION;
    use crate::ledger::claim::tests::claim;

    const VF: &str = "0000:01:10.0";

    #[test]
    fn reading_creates_no_folder() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::read_only(run.path());
        assert!(claims.all().unwrap().is_empty());
        assert_eq!(claims.get(VF).unwrap(), None);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_claimed_vf_cannot_be_claimed_again() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        assert!(claims.create(&claim(VF, "first")).unwrap());
        assert!(!claims.create(&claim(VF, "second")).unwrap());
        assert_eq!(claims.get(VF).unwrap().unwrap().nonce, "first");
        let files: Vec<_> = fs::read_dir(run.path().join("claims")).unwrap().collect();
        assert_eq!(files.len(), 1, "a refused claim leaves no file behind");
    }

    #[test]
    fn a_claim_reads_back_as_written() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let mut written = claim(VF, "n");
        claims.create(&written).unwrap();
        claims.advance(&mut written, State::Releasing).unwrap();
        let quarantined = State::Quarantined { reason: "trust is still on".to_owned() };
        claims.advance(&mut written, quarantined).unwrap();
        assert_eq!(claims.get(VF).unwrap(), Some(written.clone()));
        assert_eq!(claims.of_container("c").unwrap(), [written.clone()]);
        assert_eq!(claims.of_container("d").unwrap(), []);
        claims.remove(VF).unwrap();
        assert_eq!(claims.get(VF).unwrap(), None);
        claims.remove(VF).unwrap();
    }

    #[test]
    fn a_forbidden_change_of_state_leaves_the_record() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let mut attached = claim(VF, "n");
        claims.create(&attached).unwrap();
        claims.advance(&mut attached, State::Attached).unwrap_err();
        assert_eq!(claims.get(VF).unwrap().unwrap().state, State::Claiming);
    }

    /// Behind Intel VMD, domains have five digits.
    #[test]
    fn claims_are_listed_in_the_order_of_their_pci_addresses() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let addresses = ["0000:41:02.0", "2000:01:02.0", "10000:e1:02.0"];
        for vf in addresses.iter().rev() {
            assert!(claims.create(&claim(vf, "n")).unwrap());
        }
        let listed = claims.readable().unwrap().into_iter().map(|claim| claim.vf);
        assert_eq!(listed.collect::<Vec<_>>(), addresses);
    }

    #[test]
    fn an_unreadable_record_keeps_its_vf_claimed() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let path = run.path().join(format!("claims/{VF}.json"));
        let problem = || match claims.get(VF) {
            Err(Error::Ledger(LedgerError::BadClaim { problem, .. })) => problem,
            other => panic!("{other:?}"),
        };
        let long = "x".repeat(200_000);
        for text in [&b""[..], b"{", b"[]", b"{\"vf\":1}", b"\xff", long.as_bytes()] {
            fs::write(&path, text).unwrap();
            problem();
            assert!(claims.is_claimed(VF));
            assert!(!claims.create(&claim(VF, "n")).unwrap());
        }
        let other_vf = serde_json::to_string(&claim("0000:01:10.2", "n")).unwrap();
        fs::write(&path, other_vf).unwrap();
        assert_eq!(problem(), "it is a claim on another VF");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(problem(), "it is not a regular file");
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(problem(), "it is not a regular file");
        fs::remove_file(&path).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(problem().starts_with("it cannot be opened: "));
        drop(socket);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        assert_eq!(problem(), "it is a symbolic link");
        assert!(claims.is_claimed(VF));
        assert_eq!(claims.all().unwrap().len(), 1);
    }

    /// Puts the record of `claim` on disk, changed as a newer runvf would write it.
    fn write_changed(run: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut record = serde_json::to_value(claim(VF, "n")).unwrap();
        change(&mut record);
        let path = run.join(format!("claims/{VF}.json"));
        fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        path
    }

    #[test]
    fn the_fields_of_a_newer_runvf_survive_a_change_of_state() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let path = write_changed(run.path(), |record| {
            record["resets"] = json!([1]);
            record["want"]["isolated"] = json!(true);
            record["before"]["rings"] = json!({"rx": 512});
        });
        let mut read = claims.get(VF).unwrap().unwrap();
        assert_eq!(read, claim(VF, "n"));
        claims.advance(&mut read, State::Releasing).unwrap();
        claims.advance(&mut read, State::Quarantined { reason: "r".to_owned() }).unwrap();
        let stored: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(stored["state"]["quarantined"]["reason"], "r");
        assert_eq!(
            (&stored["resets"], &stored["want"]["isolated"], &stored["before"]["rings"]["rx"]),
            (&json!([1]), &json!(true), &json!(512))
        );
    }

    #[test]
    fn a_claim_of_a_higher_version_is_named_and_kept() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let raise = |record: &mut Value| record["version"] = json!(MAX_CLAIM_VERSION + 1);
        let unreadable = |record: &mut Value| {
            raise(record);
            record["state"] = json!("parked");
        };
        for change in [&raise as &dyn Fn(&mut Value), &unreadable] {
            let path = write_changed(run.path(), change);
            let error = claims.get(VF).unwrap_err();
            assert_eq!(
                error.line(),
                format!(
                    "{} was written by a newer runvf: it has version 4, and this runvf reads \
                     claims up to version 3; the VF stays claimed; install that version of runvf \
                     again to release it",
                    path.display()
                )
            );
            let Error::Ledger(LedgerError::NewerClaim { container, interface, .. }) = error else {
                panic!("{error:?}")
            };
            assert_eq!((container.as_str(), interface.as_str()), ("c", "mon0"));
            assert!(claims.is_claimed(VF) && !claims.create(&claim(VF, "another")).unwrap());
        }
    }

    #[test]
    fn a_claim_without_an_init_process_or_with_vfio_needs_its_version() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        write_changed(run.path(), |record| record["init"] = json!(null));
        let line = claims.get(VF).unwrap_err().line();
        assert!(line.contains("it names no init process"), "{line}");
        write_changed(run.path(), |record| {
            record["init"] = json!(null);
            record["version"] = json!(NETNS_CLAIM_VERSION);
        });
        assert_eq!(claims.get(VF).unwrap().unwrap().init, None);
        write_changed(run.path(), |record| record["iommu_group"] = json!(7));
        let line = claims.get(VF).unwrap_err().line();
        assert!(line.contains("its version knows no vfio-pci"), "{line}");
    }

    #[test]
    fn overwrite_replaces_a_path_of_any_type() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let path = run.path().join(format!("claims/{VF}.json"));
        let overwrite = || {
            claims.overwrite(&claim(VF, "n")).unwrap();
            assert_eq!(claims.get(VF).unwrap(), Some(claim(VF, "n")));
            assert_eq!(fs::read_dir(run.path().join("claims")).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        };
        fs::write(&path, "").unwrap();
        overwrite();
        fs::create_dir_all(path.join("with/something")).unwrap();
        overwrite();
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        overwrite();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        overwrite();
        // An `overwrite` that was killed between its exchange and its removal.
        fs::create_dir_all(run.path().join(format!("claims/.{VF}/x"))).unwrap();
        assert!(claims.create(&claim(VF, "n")).unwrap());
    }
}
