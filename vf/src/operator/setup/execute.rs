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
use crate::ledger::parked_pfs::ParkedPfs;
use crate::nic::create_vfs::{create_vfs, wait_for_netdev};
use crate::nic::driver::driver;
use crate::nic::find_link::wait_for_link;
use crate::nic::free_vfs::free_vfs;
use crate::nic::netdev::UDEV_TIMEOUT;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, same_card};
use crate::nic::udev::{UnmarkedVf, has_rules, is_marked, unmarked_vfs};
use crate::nic::vf_config::wait_for_reset;
use crate::operator::error::OperatorError;
use crate::policy::config::{Pool, Rest};

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
    pub(super) netlink: Netlink,
    pub(super) claims: Claims,
    pub(super) parked: ParkedPfs,
}

impl Machine {
    pub(super) fn open(host: &Host, claims: Claims) -> Result<Self, Error> {
        let parked = ParkedPfs::of(&host.run);
        Ok(Self { sysfs: Sysfs(host.sysfs.clone()), netlink: Netlink::open()?, claims, parked })
    }

    /// The PCI addresses of the PFs of the same card.
    fn pfs_of_card(&self, pf: &Pf) -> Vec<String> {
        let all = self.sysfs.sriov_netdevs().into_iter().map(|(pci, _)| pci);
        all.filter(|pci| same_card(pci, &pf.pci)).collect()
    }

    /// Locks all PFs of the card, because a private flag can apply to the whole card. This cannot
    /// deadlock: only `lifecycle::blind_pf` also holds two of these locks at once, and both take them
    /// in the order of the PCI addresses.
    pub(super) fn lock_card(&self, host: &Host, pf: &Pf) -> Result<Vec<PfLock>, Error> {
        self.pfs_of_card(pf).iter().map(|pci| lock_pf(&host.run, pci)).collect()
    }

    pub(super) fn pf_state(&self, pf: &Pf, pool: &Pool) -> Result<PfState, Error> {
        let rest = driver(self.sysfs.driver(&pf.pci).as_deref()).rest(pool);
        let link = wait_for_link(&self.netlink, pf.ifindex)?.unwrap_or_default();
        let vfs = self.pfs_of_card(pf).into_iter().flat_map(|pci| self.sysfs.virtfns(&pci));
        Ok(PfState {
            up: link.flags.up,
            vfs: self.sysfs.virtfns(&pf.pci).len(),
            facts: Facts::read(&self.sysfs, &pf.pci, link.flags.promisc)?,
            autoprobes: self.sysfs.pf_autoprobes(&pf.pci),
            rest,
            to_park: if rest == Rest::Unbound { self.bound_free_vfs(pf)? } else { Vec::new() },
            claimed_vf: vfs.map(|(_, vf)| vf).find(|vf| self.claims.is_claimed(vf)),
            unmarked_vfs: self.unmarked_vfs(pf),
        })
    }

    /// Executes a step and reads the result back.
    pub(super) fn execute(&self, pf: &Pf, step: &Step) -> Result<(), Error> {
        let done = match step {
            Step::Vfs { count } => return create_vfs(&self.sysfs, pf, *count).map(drop),
            Step::Flag { on, flag } => return set_private_flag(on, flag, true),
            Step::Autoprobe { on } => self.set_autoprobe(pf, *on)?,
            Step::Park { .. } => self.park_vfs(pf)?,
            Step::Bind { .. } => self.bind_vfs(pf)?,
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

    /// Returns whether the setting reads back. A PF is on record while its VFs rest without a driver
    /// because of runvf: from before the change until after the change back.
    fn set_autoprobe(&self, pf: &Pf, on: bool) -> Result<bool, Error> {
        if !on {
            self.parked.add(&pf.pci)?;
        }
        self.sysfs.set_autoprobe(&pf.pci, on)?;
        Ok(self.sysfs.pf_autoprobes(&pf.pci) == on)
    }

    /// The free VFs with a driver, and the driver.
    fn bound_free_vfs(&self, pf: &Pf) -> Result<Vec<(String, String)>, Error> {
        let (free, _) = free_vfs(&self.sysfs, &self.netlink, &self.claims, pf, Rest::Bound)?;
        Ok(free.into_iter().filter_map(|vf| Some((vf.pci, vf.driver?))).collect())
    }

    /// Unbinds all free VFs. The PF resets each of them afterwards, all at the same time.
    fn park_vfs(&self, pf: &Pf) -> Result<bool, Error> {
        for (vf, driver) in self.bound_free_vfs(pf)? {
            self.sysfs.unbind(&vf, &driver)?;
        }
        wait_for_reset(&self.sysfs, &pf.pci);
        Ok(self.bound_free_vfs(pf)?.is_empty())
    }

    /// The free VFs without a driver.
    pub(super) fn unbound_free_vfs(&self, pf: &Pf) -> Result<Vec<String>, Error> {
        let (free, _) = free_vfs(&self.sysfs, &self.netlink, &self.claims, pf, Rest::Unbound)?;
        Ok(free.into_iter().filter(|vf| vf.driver.is_none()).map(|vf| vf.pci).collect())
    }

    /// Lets the kernel bind a driver to all free VFs, and waits for their netdevs. A driver may
    /// create them later.
    fn bind_vfs(&self, pf: &Pf) -> Result<bool, Error> {
        let vfs = self.unbound_free_vfs(pf)?;
        vfs.iter().try_for_each(|vf| self.sysfs.probe(vf, None))?;
        for vf in &vfs {
            if self.sysfs.driver(vf).is_some() {
                wait_for_netdev(&self.sysfs, &self.netlink, vf)?;
            }
        }
        Ok(true)
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
