//! Reads the state of PFs, executes steps on them, and reads the results back.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::plan::{PfState, Step};
use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::ethtool;
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claims::Claims;
use crate::ledger::lock::{PfLock, lock_pf};
use crate::nic::create_vfs::create_vfs;
use crate::nic::find_link::wait_for_link;
use crate::nic::netdev::UDEV_TIMEOUT;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, same_card};
use crate::nic::udev::{UnmarkedVf, has_rules, is_marked, unmarked_vfs};
use crate::operator::error::OperatorError;
use crate::policy::config::Pool;

/// The time between two checks whether udev has processed the VFs.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Sets a private flag of a netdev's driver (`ethtool --set-priv-flags`) and reads it back.
///
/// # Errors
/// [`KernelError::Link`] when the driver has no such flag or refuses to change it (ice does while a
/// VF is promiscuous); [`OperatorError::PfReadbackDiffers`] when the driver reports success but the
/// flag is unchanged.
pub fn set_private_flag(interface: &str, flag: &str, on: bool) -> Result<(), Error> {
    let failed = |errno| {
        Error::Kernel(KernelError::Link {
            action: "set a private flag of",
            object: interface.to_owned(),
            source: NetlinkError::Refused(errno),
        })
    };
    ethtool::set_private_flag(interface, flag, on).map_err(failed)?;
    let flags = ethtool::private_flags(interface).map_err(failed)?;
    match flags.iter().any(|(name, state)| name == flag && *state == on) {
        true => Ok(()),
        false => {
            let wanted = format!("{flag} {}", if on { "on" } else { "off" });
            Err(Error::Operator(OperatorError::PfReadbackDiffers {
                pf: interface.to_owned(),
                wanted,
            }))
        }
    }
}

/// The handles to read and change PFs and claims.
pub(super) struct Machine {
    pub(super) sysfs: Sysfs,
    netlink: Netlink,
    claims: Claims,
}

impl Machine {
    pub(super) fn open(host: &Host, claims: Claims) -> Result<Self, Error> {
        Ok(Self { sysfs: Sysfs(host.sysfs.clone()), netlink: Netlink::open()?, claims })
    }

    /// The PCI addresses of the PFs of the same card.
    fn pfs_of_card(&self, pf: &Pf) -> Vec<String> {
        let all = self.sysfs.sriov_netdevs().into_iter().map(|(pci, _)| pci);
        all.filter(|pci| same_card(pci, &pf.pci)).collect()
    }

    /// Locks all PFs of the card, because a private flag can apply to the whole card. This cannot
    /// deadlock: no other code holds two of these locks at once, and every setup takes them in the
    /// same order.
    pub(super) fn lock_card(&self, host: &Host, pf: &Pf) -> Result<Vec<PfLock>, Error> {
        self.pfs_of_card(pf).iter().map(|pci| lock_pf(&host.run, pci)).collect()
    }

    pub(super) fn pf_state(&self, pf: &Pf) -> Result<PfState, Error> {
        let link = wait_for_link(&self.netlink, pf.ifindex)?.unwrap_or_default();
        let vfs = self.pfs_of_card(pf).into_iter().flat_map(|pci| self.sysfs.virtfns(&pci));
        Ok(PfState {
            up: link.flags.up,
            vfs: self.sysfs.virtfns(&pf.pci).len(),
            facts: Facts::read(&self.sysfs, &pf.pci, link.flags.promisc)?,
            claimed_vf: vfs.map(|(_, vf)| vf).find(|vf| self.claims.is_claimed(vf)),
            unmarked_vfs: self.unmarked_vfs(pf),
        })
    }

    /// Executes a step and reads the result back.
    pub(super) fn execute(&self, pf: &Pf, step: &Step, pool: &Pool) -> Result<(), Error> {
        let done = match step {
            Step::Vfs { .. } => return create_vfs(&self.sysfs, pf, pool).map(drop),
            Step::Flag { on, flag } => return set_private_flag(on, flag, true),
            Step::MarkVfs { .. } => self.mark_vfs(pf)?,
            Step::Up => self.add_flags(pf, Flags { up: true, ..Flags::default() })?.up,
            Step::Promisc => {
                self.add_flags(pf, Flags { promisc: true, ..Flags::default() })?.promisc
            }
        };
        match done {
            true => Ok(()),
            false => Err(Error::Operator(OperatorError::PfReadbackDiffers {
                pf: pf.name.clone(),
                wanted: step.to_string(),
            })),
        }
    }

    /// The unclaimed VFs that udev has not marked. None if the rules are not installed.
    fn unmarked_vfs(&self, pf: &Pf) -> Vec<UnmarkedVf> {
        let root = Path::new("/");
        let all =
            if has_rules(root) { unmarked_vfs(root, &self.sysfs, &pf.pci) } else { Vec::new() };
        all.into_iter().filter(|unmarked| !self.claims.is_claimed(&unmarked.vf)).collect()
    }

    /// Lets udev apply its rules to the unmarked VFs. Returns whether udev has marked all of them
    /// within [`UDEV_TIMEOUT`]; udev works asynchronously.
    fn mark_vfs(&self, pf: &Pf) -> Result<bool, Error> {
        let unmarked = self.unmarked_vfs(pf);
        for UnmarkedVf { vf, name, .. } in &unmarked {
            self.sysfs.send_change_uevent(vf, name)?;
        }
        let deadline = Instant::now() + UDEV_TIMEOUT;
        let marked = |vf: &UnmarkedVf| is_marked(Path::new("/"), vf.ifindex) == Some(true);
        while !unmarked.iter().all(marked) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    /// Adds flags to the PF's netdev and returns the flags that read back.
    fn add_flags(&self, pf: &Pf, flags: Flags) -> Result<Flags, Error> {
        self.netlink.add_flags(pf.ifindex, flags).map_err(|source| {
            Error::Kernel(KernelError::Link {
                action: "set the flags of PF",
                object: pf.name.clone(),
                source,
            })
        })?;
        Ok(wait_for_link(&self.netlink, pf.ifindex)?.unwrap_or_default().flags)
    }
}
