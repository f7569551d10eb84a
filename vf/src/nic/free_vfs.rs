//! PFs and VFs as they are now.

use std::collections::VecDeque;

use crate::error::Error;
use crate::kernel::netlink::{Flags, Link, Netlink, VfSettings};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::ledger::claim::Claims;
use crate::nic::pf::Pf;

/// A VF that nobody holds.
#[derive(Debug, Clone)]
pub(crate) struct FreeVf {
    pub(crate) pci: String,
    pub(crate) index: u32,
    /// `None`: it has no driver yet.
    pub(crate) link: Option<Link>,
    pub(crate) driver: Option<String>,
    pub(crate) settings: Settings,
}

/// What stands between a PF's VFs and a claim, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) claimed: usize,
    pub(crate) foreign: usize,
}

/// The VFs of a PF that may be claimed, the best first: those with nothing in their claim's place, that nobody else seems to use.
///
/// Each is looked at only when it is asked for: a PF may have hundreds, and one is wanted.
pub(crate) struct FreeVfs<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    claims: &'a Claims,
    pf: &'a Pf,
    settings: VfSettings,
    /// Indices, those not looked at yet.
    left: VecDeque<u32>,
    /// Free, but without a driver.
    bare: VecDeque<FreeVf>,
    taken: Taken,
}

impl<'a> FreeVfs<'a> {
    /// `settings` are what the PF says of its VFs. One that is trusted already needs one change less, and on i40e and ice every
    /// change is a reset; binding a driver takes longer than anything else.
    pub(crate) fn new(
        sysfs: &'a Sysfs,
        netlink: &'a Netlink,
        claims: &'a Claims,
        pf: &'a Pf,
        settings: VfSettings,
    ) -> Self {
        let mut left: Vec<u32> = settings.keys().copied().collect();
        left.sort_by_key(|index| (!settings[index].trust, *index));
        let (left, bare, taken) = (left.into(), VecDeque::new(), Taken::default());
        Self { sysfs, netlink, claims, pf, settings, left, bare, taken }
    }

    pub(crate) fn next(&mut self) -> Result<Option<FreeVf>, Error> {
        while let Some(index) = self.left.pop_front() {
            let Some(pci) = self.sysfs.virtfn(&self.pf.pci, index) else { continue };
            if self.claims.is_taken(&pci) {
                self.taken.claimed += 1;
                continue;
            }
            let settings = self.settings[&index];
            let (why, link) = look_at(self.sysfs, self.netlink, &pci, Some(&settings))?;
            if why.is_some() {
                self.taken.foreign += 1;
                continue;
            }
            let driver = self.sysfs.driver(&pci);
            let vf = FreeVf { pci, index, link, driver, settings };
            if vf.driver.is_some() {
                return Ok(Some(vf));
            }
            self.bare.push_back(vf);
        }
        Ok(self.bare.pop_front())
    }

    /// Why there was none, once there is none any more.
    pub(crate) fn taken(mut self) -> Taken {
        for (index, pci) in self.sysfs.virtfns(&self.pf.pci) {
            // Its PF tells nothing of it.
            match self.settings.contains_key(&index) {
                true => {}
                false if self.claims.is_taken(&pci) => self.taken.claimed += 1,
                false => self.taken.foreign += 1,
            }
        }
        self.taken
    }
}

/// All of them.
pub(crate) fn free_vfs(
    sysfs: &Sysfs,
    netlink: &Netlink,
    claims: &Claims,
    pf: &Pf,
) -> Result<(Vec<FreeVf>, Taken), Error> {
    let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
    let mut left = FreeVfs::new(sysfs, netlink, claims, pf, settings);
    let mut free = Vec::new();
    while let Some(vf) = left.next()? {
        free.push(vf);
    }
    Ok((free, left.taken()))
}

/// Why a VF on which there is no claim is not free either: somebody uses it, or somebody left it dirty.
pub(crate) fn foreign(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<Option<String>, Error> {
    look_at(sysfs, netlink, vf, settings).map(|(why, _)| why)
}

/// The same, and the VF's link if it is free and has one.
fn look_at(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
    settings: Option<&Settings>,
) -> Result<(Option<String>, Option<Link>), Error> {
    let because = |what: String| Ok((Some(what), None));
    match settings {
        None => because("its PF tells nothing of it".to_owned()),
        Some(settings) if settings.vlan != 0 => {
            because(format!("it is on VLAN {} and no claim says why", settings.vlan))
        }
        Some(_) => Ok(match use_of(sysfs, netlink, vf)? {
            (None, Some(link)) => (left_dirty(&link).map(str::to_owned), Some(link)),
            unused_or_not => unused_or_not,
        }),
    }
}

/// What tells that somebody else works with a VF.
pub(crate) fn in_use(sysfs: &Sysfs, netlink: &Netlink, vf: &str) -> Result<Option<String>, Error> {
    use_of(sysfs, netlink, vf).map(|(why, _)| why)
}

/// The same, and the VF's link if nobody does and it has one.
fn use_of(
    sysfs: &Sysfs,
    netlink: &Netlink,
    vf: &str,
) -> Result<(Option<String>, Option<Link>), Error> {
    let because = |what: &str| Ok((Some(what.to_owned()), None));
    match (sysfs.netdevs_or_empty(vf).into_iter().next(), sysfs.driver(vf)) {
        (Some((name, _)), _) if sysfs.has_upper(vf, &name) => {
            because("another interface stands on its own")
        }
        (Some((_, ifindex)), _) => match netlink.link(ifindex)? {
            None => because("its interface is on the move"),
            Some(link) if link.flags.up => because("its interface is up"),
            Some(link) if link.master => because("its interface has a master"),
            Some(_) if netlink.has_address(ifindex)? => because("its interface has an address"),
            link => Ok((None, link)),
        },
        (None, None) => Ok(match sysfs.driver_override(vf) {
            Some(driver) => (Some(format!("it is set aside for the driver {driver}")), None),
            None => (None, None),
        }),
        (None, Some(driver)) => {
            because(&format!("its interface is elsewhere, or its driver {driver} makes none"))
        }
    }
}

fn left_dirty(link: &Link) -> Option<&'static str> {
    match link {
        link if link.flags != Flags::default() => Some("its interface is promiscuous"),
        link if link.xdp => Some("its interface carries an XDP program"),
        _ => None,
    }
}
