//! For `make bench`: measures how long it takes to find a free VF among many and to claim it.
//! `/sys` is simulated, because no emulated NIC has that many VFs. The settings that the PF driver
//! would report are assumed to be the defaults for all VFs.

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::ledger::claim::{BlindTotal, CLAIM_VERSION, Claim, State, VfSnapshot};
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::reconcile::reconcile;
use crate::nic::create_vfs::{create_vfs, wanted_vfs};
use crate::nic::free_vfs::FreeVfs;
use crate::nic::pf::Pf;
use crate::policy::config::{Config, Pool, Rest};

/// Claims a VF of the first PF of the first pool and removes the claim. `None`: no VF is free.
///
/// # Errors
/// As [`crate::lifecycle::attach::Grant::attach`].
#[doc(hidden)]
pub fn claim_and_forget(host: &Host, vfs: u32) -> Result<Option<String>, Error> {
    let config = Config::load(host)?;
    let pool: &Pool = config.pool(None, &host.config)?;
    let (sysfs, netlink) = (Sysfs(host.sysfs.clone()), Netlink::open()?);
    let claims = Claims::open(&host.run)?;
    reconcile(host)?;
    let pf = Pf::find(&sysfs, pool.pfs.first().map_or("", String::as_str), pool)?;
    let _lock = lock_pf(&host.run, &pf.pci)?;
    create_vfs(&sysfs, &pf, wanted_vfs(&pf, pool))?;
    let settings = (0..vfs).map(|index| (index, Settings::default())).collect();
    let mut free = FreeVfs::new(&sysfs, &netlink, &claims, &pf, settings, Rest::Bound);
    let Some(vf) = free.next()? else { return Ok(None) };
    let read = |link| NetdevSettings::read_from_link(&netlink, &vf.pci, link);
    let netdev = vf.link.as_ref().map(read).transpose()?;
    let no_own_process = || {
        Error::Lifecycle(LifecycleError::ContainerGone { container: "bench".to_owned(), pid: 0 })
    };
    let this_process = ProcessId::own().ok_or_else(no_own_process)?;
    let (driver, settings) = (vf.driver, vf.settings);
    let claim = Claim {
        version: CLAIM_VERSION,
        vf: vf.pci.clone(),
        index: vf.index,
        pf: pf.pci.clone(),
        pf_name: pf.name.clone(),
        state: State::Claiming,
        nonce: "bench".to_owned(),
        boot_id: boot_id()?,
        container: "bench".to_owned(),
        tenant: None,
        pod: None,
        interface: "mon0".to_owned(),
        netns: Netns::own()?.record()?,
        init: Some(this_process),
        worker: this_process,
        since: 0,
        scrub: pool.scrub,
        on_loss: pool.on_loss,
        want: settings,
        before: VfSnapshot { driver, driver_override: None, settings, netdev },
        park: false,
        carrier: None,
        checked: None,
        gap: None,
        network: None,
        idle_since: None,
        iommu_group: None,
        transmit: None,
        promisc_required: false,
        blind: BlindTotal::default(),
        on_promisc_off: pool.on_promisc_off,
        joined: Vec::new(),
    };
    claims.create(&claim)?;
    claims.remove(&vf.pci)?;
    Ok(Some(vf.pci))
}
