//! `runvfctl status --settings`: the settings that the netdevs of attached VFs really have.

use serde::Serialize;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::netlink::Netlink;
use crate::kernel::nftables;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::nic::capture::CaptureState;
use crate::operator::inside::netns_of;

/// The settings of one VF's netdev, read from the kernel. `None`: the driver has no such setting, or
/// it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptureSettings {
    pub vf: String,
    pub container: String,
    /// The name of the netdev in the container.
    pub interface: String,
    /// The number of channels that receive.
    pub channels: Option<u32>,
    /// Whether both directions of a flow arrive in the same channel.
    pub symmetric: Option<bool>,
    /// In descriptors.
    pub rx_ring: Option<u32>,
    pub rx_ring_max: Option<u32>,
    /// The shortest time between two receive interrupts, in microseconds.
    pub rx_usecs: Option<u32>,
    pub rx_adaptive: Option<bool>,
    /// The active offloads that merge received frames.
    pub merging: Vec<String>,
    /// Whether the kernel drops the frames that the container sends.
    pub drops_sent: Option<bool>,
    /// The CPUs that may handle each interrupt of the VF, as the kernel lists them.
    pub interrupt_cpus: Vec<String>,
}

/// Reads the settings of each attached VF. A lost VF is left out, and so is the VF of a container that
/// ends meanwhile. Changes nothing.
///
/// # Errors
/// When the claims cannot be read.
pub fn capture_settings(host: &Host) -> Result<Vec<CaptureSettings>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let claims = Claims::read_only(&host.run).all()?.into_iter().filter_map(Result::ok);
    let attached = claims.filter(|claim| claim.state == State::Attached);
    Ok(attached.filter_map(|claim| of_claim(&sysfs, &claim)).collect())
}

fn of_claim(sysfs: &Sysfs, claim: &Claim) -> Option<CaptureSettings> {
    let read = || {
        let link = Netlink::open()?.link_by_pci(&claim.vf)?;
        let Some(link) = link else { return Ok(None) };
        let state = CaptureState::read(&link.name).map_err(|errno| {
            let (action, object) = ("read the settings of", link.name.clone());
            let source = NetlinkError::Refused(errno);
            Error::Kernel(KernelError::Link { action, object, source })
        })?;
        let drops_sent = nftables::drops_egress(&claim.interface).ok();
        Ok(Some((link.name, state, drops_sent)))
    };
    let (interface, state, drops_sent) = netns_of(claim)?.inside(read).ok()??;
    let interrupts = sysfs.interrupt_cpus(&claim.vf);
    Some(CaptureSettings {
        vf: claim.vf.clone(),
        container: claim.container.clone(),
        interface,
        channels: state.channels.map(|it| it.receiving),
        symmetric: state.symmetric,
        rx_ring: state.rx_ring.map(|it| it.size),
        rx_ring_max: state.rx_ring.map(|it| it.max),
        rx_usecs: state.coalesce.map(|it| it.usecs),
        rx_adaptive: state.coalesce.map(|it| it.adaptive),
        merging: state.merging().map(str::to_owned).collect(),
        drops_sent,
        interrupt_cpus: interrupts.iter().map(ToString::to_string).collect(),
    })
}
