//! Prepares the VFs of a probe: choose, claim, configure, move to the probe's netns.

use std::os::fd::AsFd;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{TestVf, Testbed};
use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::netlink::Link;
use crate::kernel::process::boot_id;
use crate::kernel::vf_settings::Settings;
use crate::kernel::vlan::VlanProto;
use crate::ledger::audit;
use crate::ledger::audit::Entry;
use crate::ledger::claim::{BlindTotal, CLAIM_VERSION, Claim, PROBE_CONTAINER, State};
use crate::ledger::lock::lock_pf;
use crate::lifecycle::attach::{bind_driver, configure, take_snapshot, wanted_settings};
use crate::lifecycle::error::LifecycleError;
use crate::nic::create_vfs::wait_for_netdev;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::free_vfs::{FreeVf, UnavailableVfs, free_vfs};
use crate::operator::error::OperatorError;
use crate::operator::probe::options::{ProbeOptions, Watch};
use crate::operator::probe::topology::{Role, Vlans, topology};
use crate::policy::config::{Config, OnLoss, OnPromiscOff, Rest, Scrub};
use crate::policy::request::Interface;

impl Testbed<'_> {
    /// Chooses, claims, configures and moves the VFs, under the PF's lock. Returns the error line
    /// if a driver refuses a setting.
    pub(super) fn prepare(
        &mut self,
        config: &Config,
        options: &ProbeOptions,
        watch: Watch<'_>,
    ) -> Result<Option<String>, Error> {
        let _lock = lock_pf(&self.host.run, &self.pf.pci)?;
        let (free, UnavailableVfs { claimed, foreign }) =
            free_vfs(&self.sysfs, &self.netlink, &self.claims, &self.pf, self.rest())?;
        let (pf, count) = (self.pf.name.clone(), free.len());
        let roles = topology(count);
        if roles.is_empty() {
            return Err(Error::Operator(OperatorError::TooFewFree {
                pf,
                free: count,
                claimed,
                foreign,
            }));
        }
        let settings = self.netlink.vf_settings(&self.pf.name, self.pf.ifindex)?;
        let used = settings.values().map(|settings| settings.vlan).collect();
        self.vlans = Vlans::choose(options, &used, &config.tenants)
            .ok_or_else(|| Error::Operator(OperatorError::NoSpareVlan { pf: pf.clone() }))?;
        for vf in &free {
            if self.pool.scrub == Scrub::Flr && !self.sysfs.has_flr(&vf.pci) {
                return Err(Error::Nic(NicError::NoFlr {
                    vf: vf.pci.clone(),
                    pool: self.pool.name.clone(),
                }));
            }
        }
        (watch.progress)(&format!("preparing {} VFs", roles.len()));
        for (role, vf) in roles.iter().zip(&free) {
            watch.check_stop(&pf)?;
            match self.claim_and_move(*role, vf, config) {
                Err(
                    error @ (Error::Nic(NicError::SetVf { .. })
                    | Error::Nic(NicError::ReadbackDiffers { .. })),
                ) => {
                    return Ok(Some(error.line()));
                }
                other => other?,
            }
        }
        Ok(None)
    }

    /// Claims and configures one VF and moves its netdev to the probe's netns.
    fn claim_and_move(&mut self, role: Role, vf: &FreeVf, config: &Config) -> Result<(), Error> {
        let interface = Interface {
            name: format!("probe{}", self.test_vfs.len()),
            vlan: self.vlans.of(role),
            pool: None,
            mtu: None,
            mac: None,
            qos: 0,
            proto: VlanProto::Dot1Q,
            transmit: None,
            vfio: false,
        };
        let claim = self.new_claim(role, vf, &interface, config)?;
        if !self.claims.create(&claim)? {
            return Err(Error::Lifecycle(LifecycleError::ClaimLost {
                vf: claim.vf,
                container: claim.container,
            }));
        }
        // From here on the release at the end includes this VF, even after an error.
        self.test_vfs.push(TestVf { role, claim, interface });
        let Some(TestVf { claim, .. }) = self.test_vfs.last_mut() else { return Ok(()) };
        configure(&self.sysfs, &self.netlink, &self.pf, vf, claim)?;
        bind_driver(&self.sysfs, claim)?;
        let Link { name, ifindex, .. } = wait_for_netdev(&self.sysfs, &self.netlink, &claim.vf)?;
        self.claims.advance(claim, State::Configured)?;
        // The audit entry is written before the VF can receive frames of the VLAN.
        audit::append_entry(self.host, &Entry::attached(claim))?;
        let object = format!("{name} (VF {})", claim.vf);
        let failed = |source| Error::Kernel(KernelError::Link { action: "move", object, source });
        self.netlink.move_to(ifindex, self.netns.as_fd(), &claim.interface).map_err(failed)
    }

    fn rest(&self) -> Rest {
        driver(self.sysfs.driver(&self.pf.pci).as_deref()).rest(&self.pool)
    }

    fn new_claim(
        &self,
        role: Role,
        vf: &FreeVf,
        interface: &Interface,
        config: &Config,
    ) -> Result<Claim, Error> {
        let rest = self.rest();
        let owner = config.tenants.iter().find(|tenant| tenant.owns(interface.vlan));
        Ok(Claim {
            version: CLAIM_VERSION,
            vf: vf.pci.clone(),
            index: vf.index,
            pf: self.pf.pci.clone(),
            pf_name: self.pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id()?,
            container: PROBE_CONTAINER.to_owned(),
            tenant: owner.map(|tenant| tenant.name.clone()),
            pod: None,
            interface: interface.name.clone(),
            netns: self.netns_record,
            init: Some(self.worker),
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: self.pool.scrub,
            on_loss: OnLoss::Keep,
            want: Settings { trust: role.trusted(), ..wanted_settings(&vf.settings, interface) },
            before: take_snapshot(&self.sysfs, &self.netlink, vf)?,
            park: rest == Rest::Unbound,
            carrier: None,
            checked: None,
            gap: None,
            network: None,
            idle_since: None,
            iommu_group: None,
            transmit: None,
            promisc_required: false,
            blind: BlindTotal::default(),
            on_promisc_off: OnPromiscOff::default(),
            joined: Vec::new(),
        })
    }
}
