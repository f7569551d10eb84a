//! Who holds which VF, on disk: `claims/<PCI address>.json`.
//!
//! ```text
//!            create            update             update
//!   (free) ─────────▶ claiming ──────▶ configured ──────▶ attached ──────▶ lost
//!      ▲                  │                 │                │              │
//!      │ remove           └────────┬────────┴────────────────┴──────────────┘
//!      │                           ▼              could not be cleaned
//!      └────────────────────── releasing ◀────────────────────────────▶ quarantined
//!                                                      repair
//! ```
//!
//! The record is written ahead: `claiming` before the first setting is touched, `configured` before the netdev is moved,
//! `releasing` before the driver is unbound, `quarantined` once the VF has been disarmed. `lost` is no step of ours: the
//! container lives and its VF is not with it any more. The record is removed last, after the VF has read back clean. Whatever
//! stands at `claims/<PCI address>.json`, readable or not, keeps the VF from being claimed.
//!
//! A record is only ever changed under its PF's lock, and by whoever has read it again under that lock: its worker, a release
//! or the reconciliation. Every record has a nonce; who holds another nonce leaves it alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fault;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::{ProcessId, boot_id_of};
use crate::kernel::sysfs::is_pci_address;
use crate::kernel::time::rfc3339;
use crate::kernel::vf_settings::Settings;
use crate::ledger::error::LedgerError;
use crate::policy::config::{OnLoss, Scrub};
use crate::policy::request::Interface;

/// Where a VF is in its life. No record: free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Chosen; its settings may be changing.
    Claiming,
    /// The PF's side is right; its netdev may be on the move.
    Configured,
    /// Up inside the container.
    Attached,
    /// The container lives without it: it vanished, or its netdev did. Not claimed again before the container has ended.
    Lost { reason: String },
    /// On its way back.
    Releasing,
    /// It could not be brought to a clean state. Never claimed again until `runvfctl repair` could clean it.
    Quarantined { reason: String },
}

/// Who of those that a claim names is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alive {
    /// The machine has not been booted since.
    pub(crate) boot: bool,
    pub(crate) init: bool,
    pub(crate) worker: bool,
}

impl State {
    /// The arrows between records in this module's drawing.
    pub(crate) fn may_become(&self, next: &Self) -> bool {
        use State::{Attached, Claiming, Configured, Lost, Quarantined, Releasing};
        match (self, next) {
            (Claiming, Configured) | (Configured, Attached) | (Attached, Lost { .. }) => true,
            // A release that was cut short is begun anew; so is that of a VF in quarantine, by its repair.
            (_, Releasing) | (Releasing, Quarantined { .. }) => true,
            _ => false,
        }
    }

    /// Whether nobody will bring this claim any further, so that anybody may release it.
    pub(crate) fn is_abandoned(&self, alive: Alive) -> bool {
        match self {
            Self::Quarantined { .. } => false,
            _ if !alive.boot => true,
            Self::Attached | Self::Lost { .. } => !alive.init,
            Self::Claiming | Self::Configured | Self::Releasing => !alive.worker,
        }
    }
}

/// A container outlives an upgrade of runvf, so that a field which is added has a `#[serde(default)]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// PCI address of the VF.
    pub vf: String,
    pub index: u32,
    /// PCI address of the PF.
    pub pf: String,
    /// The PF's netdev when the claim was made, for people.
    pub pf_name: String,
    pub state: State,
    /// Told apart from any other claim on the same VF.
    pub nonce: String,
    pub boot_id: String,
    pub container: String,
    pub tenant: Option<String>,
    /// The VF's name inside.
    pub interface: String,
    pub netns: NetnsRecord,
    /// The container's init process.
    pub init: ProcessId,
    /// Who works on it now. Meaningless once attached.
    pub worker: ProcessId,
    /// Seconds since 1970.
    pub since: u64,
    /// How the VF is to be cleaned.
    pub scrub: Scrub,
    /// What is to become of the container if it loses the VF.
    pub on_loss: OnLoss,
    /// The PF's side while the claim lasts. What was changed is the difference to `before`.
    pub want: Settings,
    pub before: Before,
}

/// What was found, as far as it shall be so again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// `None`: the VF had no driver, and shall have none afterwards unless the kernel is to bind VFs by itself.
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub settings: Settings,
    /// `None`: without a driver there is no netdev.
    pub netdev: Option<NetdevSettings>,
}

/// Who has the VFs of a probe. Engines give no container an id with parentheses.
pub(crate) const PROBE: &str = "(probe)";

impl Claim {
    /// Whether it is the attached VF that a container asks for as this interface.
    pub(crate) fn holds(&self, interface: &Interface) -> bool {
        self.state == State::Attached
            && self.interface == interface.name
            && self.want.vlan == u32::from(interface.vlan)
    }

    /// `since` as text, RFC 3339 in UTC. `None`: a year that has not four digits, which only a hand could have written.
    pub fn claimed_at(&self) -> Option<String> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.since)).and_then(rfc3339)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.is_abandoned(self.alive(Path::new("/")))
    }

    /// On the machine whose root is this folder.
    pub(crate) fn alive(&self, root: &Path) -> Alive {
        // One of the two does not count (`State::is_abandoned`), and each is a look into /proc.
        let by_init = matches!(self.state, State::Attached | State::Lost { .. });
        Alive {
            // One that cannot be told is this one: see `ProcessId::is_alive_on`.
            boot: boot_id_of(root).map_or(true, |now| self.boot_id == now),
            init: by_init && self.init.is_alive_on(root),
            worker: !by_init && self.worker.is_alive_on(root),
        }
    }
}

/// The folder of all claims.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    folder: PathBuf,
}

/// A claim of a sensible size is a kilobyte.
const MAX_CLAIM_BYTES: u64 = 64 * 1024;

impl Claims {
    pub(crate) fn open(run: &Path) -> Result<Self, Error> {
        let folder = run.join("claims");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(Error::file("create", &folder))?;
        Ok(Self { folder })
    }

    /// For those who only look: the folder may be missing, and is not made.
    pub(crate) fn look(run: &Path) -> Self {
        Self { folder: run.join("claims") }
    }

    fn path(&self, vf: &str) -> PathBuf {
        self.folder.join(format!("{vf}.json"))
    }

    /// Whether anything stands in the claim's place.
    pub(crate) fn is_taken(&self, vf: &str) -> bool {
        // Not `exists`: a dangling link is something, too.
        self.path(vf).symlink_metadata().is_ok()
    }

    /// Writes the first record of a claim. `false`: somebody was faster, and nothing has been written.
    ///
    /// This and every other change of a record is made under the lock of its PF.
    pub(crate) fn create(&self, claim: &Claim) -> Result<bool, Error> {
        let path = self.path(&claim.vf);
        let whole = self.write_aside(claim)?;
        fault::point("claim-create").map_err(Error::errno("create", &path))?;
        match renameat2(AT_FDCWD, &whole, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(true),
            Err(errno) => {
                let _ = fs::remove_file(&whole);
                match errno {
                    Errno::EEXIST => Ok(false),
                    other => Err(Error::errno("create", &path)(other)),
                }
            }
        }
    }

    /// Puts a record where something is that cannot be read, whatever it is.
    pub(crate) fn overwrite(&self, claim: &Claim) -> Result<(), Error> {
        let path = self.path(&claim.vf);
        let whole = self.write_aside(claim)?;
        fault::point("claim-overwrite").map_err(Error::errno("replace", &path))?;
        // A rename would not replace a folder.
        renameat2(AT_FDCWD, &whole, AT_FDCWD, &path, RenameFlags::RENAME_EXCHANGE)
            .map_err(Error::errno("replace", &path))?;
        fault::point("claim-overwritten").map_err(Error::errno("remove", &whole))?;
        clear(&whole)
    }

    /// Puts the next state on record. To be called before anything is done for it.
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
        let whole = self.write_aside(claim)?;
        fault::point("claim-replace").map_err(Error::errno("replace", &path))?;
        fs::rename(&whole, &path).map_err(Error::file("replace", path))
    }

    /// A record appears whole or not at all. What a killed writer leaves aside is overwritten by the next: there is one such
    /// file for each PF, and the PF's lock is held.
    fn write_aside(&self, claim: &Claim) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!(".{}", claim.pf));
        let failed = Error::file("write", path.clone());
        let text = serde_json::to_vec_pretty(claim).map_err(|error| failed(error.into()))?;
        fault::point("claim-write").map_err(Error::errno("write", &path))?;
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // A repair was cut short right after it had put this away.
            clear(&path)?;
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

    pub(crate) fn remove(&self, vf: &str) -> Result<(), Error> {
        let path = self.path(vf);
        fault::point("claim-remove").map_err(Error::errno("remove", &path))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::file("remove", path)),
        }
    }

    /// Removes whatever stands in the place of the claim on a VF that is not on this machine.
    pub(crate) fn clear(&self, vf: &str) -> Result<(), Error> {
        let path = self.path(vf);
        fault::point("claim-remove").map_err(Error::errno("remove", &path))?;
        clear(&path)
    }

    /// The claim on a VF; `None` when it is free.
    ///
    /// # Errors
    /// [`LedgerError::BadClaim`] when what is there is no claim of ours.
    pub(crate) fn get(&self, vf: &str) -> Result<Option<Claim>, Error> {
        let path = self.path(vf);
        let file = match OpenOptions::new()
            .read(true)
            // A link leads elsewhere and a FIFO waits for ever: neither is followed.
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&path)
        {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let problem = match error.raw_os_error() {
                    Some(nix::libc::ELOOP) => "it is a symbolic link".to_owned(),
                    // A socket, or a device that is not there.
                    _ => format!("it cannot be opened: {error}"),
                };
                return Err(Error::Ledger(LedgerError::BadClaim { path, problem }));
            }
            Ok(file) => file,
        };
        read(file, &path, vf).map(Some)
    }

    /// Every claim, and every failure to read one, in the order of the PCI addresses.
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
        addresses.sort();
        Ok(addresses.iter().filter_map(|vf| self.get(vf).transpose()).collect())
    }

    pub(crate) fn readable(&self) -> Result<Vec<Claim>, Error> {
        Ok(self.all()?.into_iter().filter_map(Result::ok).collect())
    }

    /// The readable claims of one container.
    pub(crate) fn of_container(&self, container: &str) -> Result<Vec<Claim>, Error> {
        let ours = |claim: &Claim| claim.container == container;
        Ok(self.readable()?.into_iter().filter(ours).collect())
    }
}

fn clear(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.map_err(Error::file("remove", path))
}

fn read(file: File, path: &Path, vf: &str) -> Result<Claim, Error> {
    let bad = |problem: &str| {
        Error::Ledger(LedgerError::BadClaim { path: path.to_owned(), problem: problem.to_owned() })
    };
    let metadata = file.metadata().map_err(Error::file("read", path))?;
    if !metadata.is_file() {
        return Err(bad("it is not a file"));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(bad("somebody else owns it"));
    }
    // What it will hold and a byte more, so that one read(2) gets it.
    let mut text = Vec::with_capacity(metadata.len().min(MAX_CLAIM_BYTES) as usize + 1);
    file.take(MAX_CLAIM_BYTES).read_to_end(&mut text).map_err(Error::file("read", path))?;
    let claim: Claim = serde_json::from_slice(&text).map_err(|error| bad(&error.to_string()))?;
    if claim.vf != vf || !is_pci_address(&claim.pf) {
        return Err(bad("it is a claim on something else"));
    }
    Ok(claim)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::netns::NetnsId;

    pub(crate) fn claim(vf: &str, nonce: &str) -> Claim {
        Claim {
            vf: vf.to_owned(),
            index: 0,
            pf: "0000:01:00.0".to_owned(),
            pf_name: "pf0".to_owned(),
            state: State::Claiming,
            nonce: nonce.to_owned(),
            boot_id: "b".to_owned(),
            container: "c".to_owned(),
            tenant: None,
            interface: "mon0".to_owned(),
            netns: NetnsRecord { id: NetnsId { dev: 4, ino: 5 }, cookie: 6 },
            init: ProcessId { pid: 1, start_time: 2 },
            worker: ProcessId { pid: 3, start_time: 4 },
            since: 0,
            scrub: Scrub::default(),
            on_loss: OnLoss::default(),
            want: Settings::default(),
            before: Before {
                driver: None,
                driver_override: None,
                settings: Settings::default(),
                netdev: None,
            },
        }
    }

    const VF: &str = "0000:01:10.0";

    #[test]
    fn claimed_at_is_the_time_of_the_claim() {
        assert_eq!(claim("0000:01:10.0", "n").claimed_at().unwrap(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn looking_makes_nothing() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::look(run.path());
        assert!(claims.all().unwrap().is_empty());
        assert_eq!(claims.get(VF).unwrap(), None);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_second_to_claim_a_vf_does_not_get_it() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        assert!(claims.create(&claim(VF, "first")).unwrap());
        assert!(!claims.create(&claim(VF, "second")).unwrap());
        assert_eq!(claims.get(VF).unwrap().unwrap().nonce, "first");
        let left: Vec<_> = fs::read_dir(run.path().join("claims")).unwrap().collect();
        assert_eq!(left.len(), 1, "the loser leaves nothing behind");
    }

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let mut written = claim(VF, "n");
        claims.create(&written).unwrap();
        claims.advance(&mut written, State::Releasing).unwrap();
        let dirty = State::Quarantined { reason: "trust is still on".to_owned() };
        claims.advance(&mut written, dirty).unwrap();
        assert_eq!(claims.get(VF).unwrap(), Some(written.clone()));
        assert_eq!(claims.of_container("c").unwrap(), [written.clone()]);
        assert_eq!(claims.of_container("d").unwrap(), []);
        claims.remove(VF).unwrap();
        assert_eq!(claims.get(VF).unwrap(), None);
        claims.remove(VF).unwrap();
    }

    #[test]
    fn a_record_follows_the_drawing_or_stays() {
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        let mut attached = claim(VF, "n");
        claims.create(&attached).unwrap();
        claims.advance(&mut attached, State::Attached).unwrap_err();
        assert_eq!(claims.get(VF).unwrap().unwrap().state, State::Claiming);
    }

    #[test]
    fn a_claim_of_the_first_version_is_read() {
        for text in [
            include_str!("../../../tests/corpus/seeds/claim/attached.json"),
            include_str!("../../../tests/corpus/seeds/claim/quarantined.json"),
        ] {
            serde_json::from_str::<Claim>(text).unwrap();
        }
    }

    #[test]
    fn what_is_no_claim_keeps_its_vf_taken() {
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
            assert!(claims.is_taken(VF));
            assert!(!claims.create(&claim(VF, "n")).unwrap());
        }
        let other = serde_json::to_string(&claim("0000:01:10.2", "n")).unwrap();
        fs::write(&path, other).unwrap();
        assert_eq!(problem(), "it is a claim on something else");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(problem(), "it is not a file");
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(problem(), "it is not a file");
        fs::remove_file(&path).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(problem().starts_with("it cannot be opened: "));
        drop(socket);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        assert_eq!(problem(), "it is a symbolic link");
        assert!(claims.is_taken(VF));
        assert_eq!(claims.all().unwrap().len(), 1);
    }

    #[test]
    fn a_repair_puts_its_record_over_anything() {
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
        // A repair that was killed between its two steps.
        fs::create_dir_all(run.path().join("claims/.0000:01:00.0/x")).unwrap();
        assert!(claims.create(&claim(VF, "n")).unwrap());
    }
}
