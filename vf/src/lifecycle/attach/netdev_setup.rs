//! The container's part of an attach: the VF's netdev becomes the sensor's interface.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::Error;
use crate::kernel::carrier::CarrierCounts;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::netlink::{Flags, Link, LinkEvents, Netlink};
use crate::kernel::netns::set_ipv6_sysctl;
use crate::kernel::nftables;
use crate::kernel::retry::retry_while_busy;
use crate::ledger::claim::Claim;
use crate::lifecycle::error::LifecycleError;
use crate::nic::capture;
use crate::nic::driver::Driver;
use crate::nic::rearm::{Requests, wake_driver};
use crate::policy::authorize::may_send;
use crate::policy::config::{Carrier, Pool, Profile};
use crate::policy::request::Interface;

/// How long an interface may take from up to carrier. A PF reset on i40e takes seconds. igbvf
/// checks its link every two seconds, and has taken more than ten seconds on a busy machine on
/// which the PF had just created its VFs.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for a link event before the carrier is read again. The kernel reports a carrier
/// at most once a second unless the change is urgent (`linkwatch_urgent_event`,
/// `net/core/link_watch.c`), so the carrier may be up before its event arrives.
const CARRIER_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The same, where each look also wakes the VF driver: see [`wake_driver`].
const WAKE_INTERVAL: Duration = Duration::from_millis(10);

/// Sets up the VF's netdev: alias, MTU, IPv6, queues and offloads, the drop of sent frames, flags. Waits
/// for the carrier and verifies the netdev. With `pf_driver` of the VF's PF, also waits until the PF
/// has been told about promiscuity. Must run inside the container's network namespace.
///
/// Returns the carrier counters from before that wait, so that a later reset shows.
pub(crate) fn set_up_netdev(
    claim: &Claim,
    interface: &Interface,
    pool: &Pool,
    pf_driver: Driver,
) -> Result<CarrierCounts, Error> {
    let is_sensor = pool.profile == Profile::Sensor;
    let flags = Flags { up: true, promisc: true, allmulti: true, noarp: is_sensor };
    let mtu = interface.mtu.or(pool.mtu);
    let netlink = Netlink::open()?;
    // The netdev is found by its PCI address, because the move may have changed its index, and also
    // its name if the name was in use.
    let link = netlink.link_by_pci(&claim.vf)?;
    let ifindex = link.ok_or_else(|| bad_netdev(claim, interface, MISSING))?.ifindex;
    let alias = claim.alias();
    prepare(&netlink, ifindex, claim, &alias, interface, pool)?;
    // The socket is opened before the interface is up, because an event in between would be missed
    // and the kernel would not repeat it.
    let events = LinkEvents::open()?;
    let requests = pf_driver.forgets_promisc.then(|| Requests::watch(claim));
    // iavf is busy until its PF has answered it (`iavf_open`, `drivers/net/ethernet/intel/iavf`).
    retry_while_busy(NetlinkError::errno, || netlink.set_flags(ifindex, flags))
        .map_err(|source| failed(claim, interface, "bring up", source))?;
    let wakes_driver = pf_driver.forgets_promisc;
    let waited = wait_for_carrier(&netlink, &events, ifindex, claim, interface, pool, wakes_driver);
    let link = waited?;
    if let Some(problem) = difference(&link, flags, mtu, &alias, interface) {
        return Err(bad_netdev(claim, interface, problem));
    }
    // The interface has a carrier before iavf has sent all that it has to tell its PF.
    if let Some(mut requests) = requests {
        requests.wait_until_sent(ifindex);
        requests.wait_until_applied();
    }
    Ok(link.carrier_counts)
}

/// The first setting that the netdev does not report as this module has set it. `None`: it reports all.
fn difference(
    link: &Link,
    flags: Flags,
    mtu: Option<u32>,
    alias: &str,
    interface: &Interface,
) -> Option<&'static str> {
    Some(match link {
        _ if link.flags != flags => "is not up and promiscuous",
        _ if link.name != interface.name => "has another name",
        _ if mtu.is_some_and(|mtu| mtu != link.mtu) => "does not have the requested MTU",
        _ if interface.mac.is_some_and(|mac| mac != link.mac) => "does not have the requested MAC",
        _ if link.alias != alias => "does not have the alias that names its VLAN",
        _ => return None,
    })
}

/// Does what must be done before the interface is up.
fn prepare(
    netlink: &Netlink,
    ifindex: u32,
    claim: &Claim,
    alias: &str,
    interface: &Interface,
    pool: &Pool,
) -> Result<(), Error> {
    netlink
        .set_alias(ifindex, alias)
        .map_err(|source| failed(claim, interface, "set the alias of", source))?;
    if let Some(mtu) = interface.mtu.or(pool.mtu) {
        netlink
            .set_mtu(ifindex, mtu)
            .map_err(|source| failed(claim, interface, "set the MTU of", source))?;
    }
    if pool.profile == Profile::Sensor {
        // The kernel would otherwise send IPv6 packets to the tenant's network first.
        set_ipv6_sysctl(&interface.name, "disable_ipv6", "1")?;
    }
    // Before the settings, because a change of the channels opens the netdev for a moment.
    match may_send(interface, pool) {
        true => nftables::allow_egress(&interface.name)
            .map_err(|source| failed(claim, interface, "let a container send by", source)),
        false => keep_from_sending(claim, interface),
    }?;
    capture::apply(netlink, ifindex, &interface.name, &claim.vf, &pool.capture())
}

fn failed(
    claim: &Claim,
    interface: &Interface,
    action: &'static str,
    source: NetlinkError,
) -> Error {
    let object = format!("{} (VF {})", interface.name, claim.vf);
    Error::Kernel(KernelError::Link { action, object, source })
}

fn keep_from_sending(claim: &Claim, interface: &Interface) -> Result<(), Error> {
    nftables::drop_egress(&interface.name).map_err(|source| match source.errno() {
        // Without nf_tables, without its netdev family, and without the egress hook.
        Some(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => {
            let (vf, interface) = (claim.vf.clone(), interface.name.clone());
            Error::Lifecycle(LifecycleError::NoEgressHook { vf, interface })
        }
        _ => failed(claim, interface, "drop the frames that a container sends by", source),
    })
}

/// Waits until the interface has a carrier, unless the pool ignores it. With `wakes_driver`, makes
/// iavf send its requests without its pauses of 20 ms.
fn wait_for_carrier(
    netlink: &Netlink,
    events: &LinkEvents,
    ifindex: u32,
    claim: &Claim,
    interface: &Interface,
    pool: &Pool,
    wakes_driver: bool,
) -> Result<Link, Error> {
    let deadline = Instant::now() + CARRIER_TIMEOUT;
    let interval = if wakes_driver { WAKE_INTERVAL } else { CARRIER_POLL_INTERVAL };
    loop {
        let link = netlink.link(ifindex)?.ok_or_else(|| bad_netdev(claim, interface, MISSING))?;
        if link.carrier || pool.carrier == Carrier::Ignore {
            return Ok(link);
        }
        if Instant::now() >= deadline {
            return Err(Error::Lifecycle(LifecycleError::NoCarrier {
                vf: claim.vf.clone(),
                interface: interface.name.clone(),
                seconds: CARRIER_TIMEOUT.as_secs(),
            }));
        }
        if wakes_driver {
            wake_driver(ifindex);
        }
        events.wait(deadline.min(Instant::now() + interval));
    }
}

const MISSING: &str = "does not exist";

fn bad_netdev(claim: &Claim, interface: &Interface, problem: &'static str) -> Error {
    Error::Lifecycle(LifecycleError::BadNetdev {
        vf: claim.vf.clone(),
        interface: interface.name.clone(),
        problem,
    })
}
