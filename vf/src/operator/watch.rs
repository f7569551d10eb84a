//! For the monitor: read claims one by one, receive the link events of an attached VF, and find VFs
//! with settings that another tool has changed.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::netlink::{NetdevEvent, NetdevEvents, NetdevState, Netlink};
use crate::kernel::netns::Netns;
use crate::kernel::netns_life::oldest_process_in;
use crate::kernel::netns_sysfs::NetnsSysfs;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::nic::diff::to_set_back;
use crate::nic::find_link::find_link;
use crate::nic::locate::{Location, locate};
use crate::nic::pf::Pf;
use crate::nic::pf_promisc::TurnedOff;

/// The folder of the claims. It is created if it is missing, as an attach does, so that it can be
/// watched. A claim is the file `PCI-ADDRESS.json` in it.
///
/// # Errors
/// [`KernelError::File`].
pub fn claims_folder(host: &Host) -> Result<PathBuf, Error> {
    let folder = host.run.join("claims");
    let created = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    created.map_err(Error::file("create", &folder))?;
    Ok(folder)
}

/// Reads the claims of all VFs. A claim that cannot be read is the error for it.
///
/// # Errors
/// When the folder cannot be listed.
pub fn claims(host: &Host) -> Result<Vec<Result<Claim, Error>>, Error> {
    Claims::read_only(&host.run).all()
}

/// Reads the claim of one VF, given its PCI address. `None`: the VF is free.
///
/// # Errors
/// [`LedgerError::BadClaim`](crate::LedgerError::BadClaim),
/// [`LedgerError::NewerClaim`](crate::LedgerError::NewerClaim).
pub fn claim(host: &Host, vf: &str) -> Result<Option<Claim>, Error> {
    Claims::read_only(&host.run).get(vf)
}

/// Finds the process that keeps a claim with [`Keeper::Netns`](crate::Keeper::Netns): the oldest
/// process in the network namespace. `None`: no process runs there.
///
/// # Errors
/// When the processes cannot be listed in time. The caller must not take this for the end of all.
pub fn keeper_in_netns(claim: &Claim) -> Result<Option<ProcessId>, Error> {
    oldest_process_in(claim.netns)
}

/// The link of a PF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PfLink {
    pub name: String,
    pub ifindex: u32,
    pub up: bool,
    pub carrier: bool,
}

/// Reads the link of the PF with this PCI address. `None`: it has no netdev in the host netns.
///
/// # Errors
/// When netlink cannot be asked.
pub fn pf_link(host: &Host, pf: &str) -> Result<Option<PfLink>, Error> {
    let Ok(pf) = Pf::at(&Sysfs(host.sysfs.clone()), pf) else { return Ok(None) };
    let link = Netlink::open()?.link(pf.ifindex)?;
    let name = pf.name;
    Ok(link.map(|link| PfLink {
        name,
        ifindex: link.ifindex,
        up: link.flags.up,
        carrier: link.carrier,
    }))
}

/// The attached VFs of a PF that another tool has changed: their VLAN, their trust, their link state,
/// or what they need of the PF. Also those that the PF does not report now. It asks the PF once for
/// all VFs.
///
/// # Errors
/// When the PF does not exist or cannot be asked.
pub fn changed_vfs(host: &Host, pf: &str, claims: &[Claim]) -> Result<Vec<String>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let found = Pf::at(&sysfs, pf).map_err(|_| Error::file("find the netdev of", pf)(gone()))?;
    let settings = Netlink::open()?.vf_settings(&found.name, found.ifindex)?;
    let is_turned_off = matches!(TurnedOff::find(&sysfs, pf), Ok(Some(_)));
    let is_changed = |claim: &&Claim| {
        let have = settings.get(&claim.index);
        is_turned_off && claim.promisc_required
            || have.is_none_or(|have| to_set_back(have, &claim.want).is_some())
    };
    let attached = claims.iter().filter(|claim| claim.pf == pf && claim.state == State::Attached);
    Ok(attached.filter(is_changed).map(|claim| claim.vf.clone()).collect())
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Receives the link events of an attached VF in its container's network namespace. It keeps the
/// namespace alive until it is dropped (`sk_alloc`, `net/core/sock.c`), so the caller drops it when
/// the claim's keeper has ended.
#[derive(Debug)]
pub struct VfEvents {
    events: NetdevEvents,
    /// The state of the link when the events began.
    pub first: NetdevState,
}

impl VfEvents {
    /// Opens the socket in the network namespace where the VF is. `None`: the VF has no netdev, or
    /// its netdev is in the host netns.
    ///
    /// # Errors
    /// When the namespace cannot be found or entered, or the kernel refuses the socket.
    pub fn open(host: &Host, claim: &Claim) -> Result<Option<Self>, Error> {
        let sysfs = Sysfs(host.sysfs.clone());
        let Location::OtherNetns(other) = locate(&sysfs, claim)? else { return Ok(None) };
        Self::open_in(&other.netns, &claim.vf)
    }

    fn open_in(netns: &Netns, vf: &str) -> Result<Option<Self>, Error> {
        netns.inside(|| {
            let mounted = NetnsSysfs::mount()?;
            let netlink = Netlink::open()?;
            let Some(link) = find_link(&mounted.sysfs, &netlink, vf)? else { return Ok(None) };
            let events = NetdevEvents::open(link.ifindex).map_err(|error| {
                let action = "open a socket for the link events of a VF";
                let source = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default());
                Error::Kernel(KernelError::Call { action, source })
            })?;
            // Read again, because the link may have changed before the socket was open.
            let first = netlink.link(link.ifindex)?;
            Ok(first.map(|link| Self { events, first: NetdevState::of(&link) }))
        })
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none.
    pub fn read(&self) -> io::Result<NetdevEvent> {
        self.events.read()
    }
}

impl AsRawFd for VfEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::claim::tests::claim as claim_of;

    const VF: &str = "0000:01:10.0";

    #[test]
    fn the_folder_is_created_and_claims_are_read_one_by_one() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        assert!(claims(&host).unwrap().is_empty());
        let folder = claims_folder(&host).unwrap();
        assert_eq!(claims_folder(&host).unwrap(), folder);
        assert_eq!(claim(&host, VF).unwrap(), None);
        assert!(Claims::open(&host.run).unwrap().create(&claim_of(VF, "n")).unwrap());
        assert_eq!(claim(&host, VF).unwrap().unwrap().nonce, "n");
        std::fs::write(folder.join(format!("{VF}.json")), "{").unwrap();
        claim(&host, VF).unwrap_err();
        assert!(claims(&host).unwrap()[0].is_err());
    }

    #[test]
    fn a_pf_without_a_netdev_has_no_link() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        assert_eq!(pf_link(&host, "0000:01:00.0").unwrap(), None);
        changed_vfs(&host, "0000:01:00.0", &[]).unwrap_err();
    }
}
