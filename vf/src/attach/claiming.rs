//! The PF's part of an attach: a VF is chosen, claimed and configured, all under the PF's lock.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Attach;
use crate::claim::{Before, Claim, State};
use crate::config::{Pool, Scrub};
use crate::configure::converge;
use crate::creation::{LOOK, NETDEV, create_vfs};
use crate::driver::driver;
use crate::inventory::{FreeVf, Pf, Taken, free_vfs};
use crate::kernel::sysfs::Sysfs;
use crate::lock::{PATIENCE, lock_pf_within, lock_tenant};
use crate::netdev::Netdev;
use crate::plan::{LinkState, Settings, changes};
use crate::process::boot_id;
use crate::promisc::fit;
use crate::{Error, Interface};

impl Attach<'_> {
    /// Claims and configures a VF on the first of the pool's PFs that has one. A PF that cannot serve is passed over; what
    /// was wrong with it is the error if no other can.
    ///
    /// PFs that are busy with another attach are left for a second round, so that two attaches do not queue for one PF while the
    /// next is idle.
    pub(super) fn claim(&self, interface: &Interface, pool: &Pool) -> Result<Claim, Error> {
        let mut unfit = None;
        let mut full = Vec::new();
        let mut busy = Vec::new();
        let first_round = pool.pfs.iter().map(|named| (named, Duration::ZERO));
        let mut rounds = first_round.collect::<VecDeque<_>>();
        while let Some((named, patience)) = rounds.pop_front().or_else(|| busy.pop()) {
            match self.claim_on(named, interface, pool, patience) {
                Ok(Ok(claim)) => return Ok(claim),
                Ok(Err(taken)) => full.push(format!(
                    "{named} has {} claimed and {} in use by something else",
                    taken.claimed, taken.foreign
                )),
                Err(Error::Locked { .. }) if patience.is_zero() => {
                    busy.insert(0, (named, PATIENCE))
                }
                Err(
                    error @ (Error::NoPf { .. }
                    | Error::NoSriov { .. }
                    | Error::PfDown { .. }
                    | Error::NotPromiscuous { .. }
                    | Error::NoProto { .. }),
                ) => {
                    unfit.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match unfit {
            Some(error) if full.is_empty() => Err(error),
            unfit => {
                full.extend(unfit.map(|error| error.to_string()));
                Err(Error::NoFreeVf { pool: pool.name.clone(), detail: full.join(", ") })
            }
        }
    }

    /// The PF's part, all under its lock: choose, write the claim down, configure, read back, wait for the netdev.
    fn claim_on(
        &self,
        named: &str,
        interface: &Interface,
        pool: &Pool,
        patience: Duration,
    ) -> Result<Result<Claim, Taken>, Error> {
        let pf = Pf::find(&self.sysfs, named, pool)?;
        let _lock = lock_pf_within(&self.grant.host.run, &pf.pci, patience)?;
        let link = self.netlink.link(pf.ifindex)?.filter(|link| link.flags.up);
        let link = link.ok_or_else(|| Error::PfDown { pf: pf.name.clone() })?;
        fit(&self.sysfs, &pf, link.flags.promisc, interface, pool)?;
        create_vfs(&self.sysfs, &pf, pool)?;
        let (free, taken) = free_vfs(&self.sysfs, &self.netlink, &self.claims, &pf)?;
        for vf in preferred(free) {
            if pool.scrub == Scrub::Flr && !self.sysfs.has_flr(&vf.pci) {
                return Err(Error::NoFlr { vf: vf.pci, pool: pool.name.clone() });
            }
            let claim = self.claim_of(&pf, &vf, interface, pool)?;
            // Somebody without our lock may put a record there by hand; then the next VF is as good.
            if self.create(&claim)? {
                return self.configure(&pf, &vf, claim, interface).map(Ok);
            }
        }
        Ok(Err(taken))
    }

    /// Writes the claim down, if its tenant may have one VF more. No other attach of that tenant can count in between, whatever
    /// PF it is on.
    fn create(&self, claim: &Claim) -> Result<bool, Error> {
        let bounded = self.grant.party.as_ref().filter(|party| party.tenant.max.is_some());
        let Some(party) = bounded else { return self.claims.create(claim) };
        let _lock = lock_tenant(&self.grant.host.run, &party.tenant.name)?;
        party.admit(&self.claims.readable()?, 1)?;
        self.claims.create(claim)
    }

    fn claim_of(
        &self,
        pf: &Pf,
        vf: &FreeVf,
        interface: &Interface,
        pool: &Pool,
    ) -> Result<Claim, Error> {
        let netdev = match &vf.netdev {
            Some((_, ifindex)) => Some(Netdev::read(&self.netlink, &vf.pci, *ifindex)?.1),
            None => None,
        };
        Ok(Claim {
            vf: vf.pci.clone(),
            index: vf.index,
            pf: pf.pci.clone(),
            pf_name: pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id(),
            container: self.container.id.clone(),
            tenant: self.grant.tenant().map(str::to_owned),
            interface: interface.name.clone(),
            netns: self.record,
            init: self.init,
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: pool.scrub,
            on_loss: pool.on_loss,
            want: wanted(&vf.settings, interface),
            before: Before {
                driver: vf.driver.clone(),
                driver_override: self.sysfs.driver_override(&vf.pci),
                settings: vf.settings,
                netdev,
            },
        })
    }

    fn configure(
        &self,
        pf: &Pf,
        vf: &FreeVf,
        mut claim: Claim,
        interface: &Interface,
    ) -> Result<Claim, Error> {
        let known = driver(self.sysfs.driver(&pf.pci).as_deref());
        let right = changes(&vf.settings, &claim.want).is_empty();
        // Without its driver there is no VF that a change could reset; and an assigned address is read when a driver binds
        // (igb: "Reload the VF driver").
        if (interface.mac.is_some() || !(known.quiet || right))
            && let Some(driver) = &vf.driver
        {
            self.sysfs.unbind(&vf.pci, driver)?;
        }
        converge(&self.netlink, pf, &claim, &claim.want)?;
        if self.sysfs.driver(&vf.pci).is_none() {
            self.sysfs.probe(&vf.pci, vf.driver.as_deref().or(known.vf))?;
        }
        wait_for_netdev(&self.sysfs, &vf.pci)?;
        self.claims.advance(&mut claim, State::Configured)?;
        Ok(claim)
    }
}

/// A VF that is trusted already needs one change less, and on i40e and ice every change is a reset.
fn preferred(mut free: Vec<FreeVf>) -> Vec<FreeVf> {
    free.sort_by_key(|vf| (!vf.settings.trust, vf.driver.is_none(), vf.index));
    free
}

fn wanted(have: &Settings, interface: &Interface) -> Settings {
    let mac = interface.mac.unwrap_or_default();
    Settings {
        vlan: interface.vlan.into(),
        qos: interface.qos.into(),
        proto: interface.proto,
        trust: true,
        // A sensor has nothing to send, least of all in another's name. Without an address to compare with, mlx5 would drop
        // what the VF sends and receives nothing for it.
        spoof_check: have.spoof_check || mac.is_unicast() || have.mac.is_unicast(),
        link_state: match have.link_state {
            LinkState::Disable => LinkState::Auto,
            other => other,
        },
        mac,
        // The operator's, if anybody's.
        min_rate: have.min_rate,
        max_rate: have.max_rate,
    }
}

pub(crate) fn wait_for_netdev(sysfs: &Sysfs, vf: &str) -> Result<(String, u32), Error> {
    let deadline = Instant::now() + NETDEV;
    loop {
        if let Some(netdev) = sysfs.netdevs(vf).into_iter().next() {
            return Ok(netdev);
        }
        if Instant::now() >= deadline {
            return Err(Error::NoNetdev { vf: vf.to_owned(), seconds: NETDEV.as_secs() });
        }
        thread::sleep(LOOK);
    }
}
