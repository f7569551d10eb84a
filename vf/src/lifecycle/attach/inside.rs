//! The container's part of an attach: the netdev becomes a sensor's interface.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::ethtool;
use crate::kernel::netlink::{Flags, LinkEvents, Netlink};
use crate::kernel::netns::set_ipv6_sysctl;
use crate::kernel::retry::retry_while_busy;
use crate::ledger::claim::Claim;
use crate::lifecycle::error::LifecycleError;
use crate::policy::config::{Carrier, Pool, Profile};
use crate::policy::request::Interface;

/// How long an interface may take from up to carrier. A PF reset on i40e takes seconds; igbvf looks every two, and has been seen
/// to take more than ten on a busy machine whose PF had just made its VFs.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(30);

/// The kernel tells of a carrier at most once a second unless it finds that urgent (`linkwatch_urgent_event`,
/// `net/core/link_watch.c`), so that there may be one of which no event has told yet.
const LINKWATCH_INTERVAL: Duration = Duration::from_millis(20);

/// Runs inside the container's namespace.
pub(crate) fn set_up(claim: &Claim, interface: &Interface, pool: &Pool) -> Result<(), Error> {
    let silent = pool.profile == Profile::Sensor;
    let flags = Flags { up: true, promisc: true, allmulti: true, noarp: silent };
    let mtu = interface.mtu.or(pool.mtu);
    let name = &interface.name;
    let failed = |action| {
        move |source| {
            Error::Kernel(KernelError::Link {
                action,
                object: format!("{name} (VF {})", claim.vf),
                source,
            })
        }
    };
    let not = |what| {
        Error::Lifecycle(LifecycleError::NotInside {
            vf: claim.vf.clone(),
            interface: name.clone(),
            what,
        })
    };
    let netlink = Netlink::open()?;
    // By PCI address: the index may have changed on the way, and so may the name if it clashed.
    let ifindex = netlink.link_of(&claim.vf)?.ok_or_else(|| not("there"))?.ifindex;
    if let Some(mtu) = mtu {
        netlink.set_mtu(ifindex, mtu).map_err(failed("set the MTU of"))?;
    }
    if silent {
        // Before it is up, or it would say hello to the tenant's network first.
        set_ipv6_sysctl(name, "disable_ipv6", "1")?;
        ethtool::no_receive_merging(name)?;
    }
    // Before it is up, too: a carrier that came in between would never be told of again.
    let events = LinkEvents::open()?;
    // iavf is busy until its PF has answered it (`iavf_open`, `drivers/net/ethernet/intel/iavf`).
    retry_while_busy(NetlinkError::errno, || netlink.set_flags(ifindex, flags))
        .map_err(failed("bring up"))?;

    let deadline = Instant::now() + CARRIER_TIMEOUT;
    loop {
        let link = netlink.link(ifindex)?.ok_or_else(|| not("there"))?;
        if link.carrier || pool.carrier == Carrier::Ignore {
            return match link {
                _ if link.flags != flags => Err(not("up and promiscuous")),
                _ if link.name != *name => Err(not("known by its name")),
                _ if mtu.is_some_and(|mtu| mtu != link.mtu) => Err(not("of that MTU")),
                _ if interface.mac.is_some_and(|mac| mac != link.mac) => Err(not("of that MAC")),
                _ => Ok(()),
            };
        }
        if Instant::now() >= deadline {
            let (vf, interface) = (claim.vf.clone(), name.clone());
            return Err(Error::Lifecycle(LifecycleError::NoCarrier {
                vf,
                interface,
                seconds: CARRIER_TIMEOUT.as_secs(),
            }));
        }
        events.wait(deadline.min(Instant::now() + LINKWATCH_INTERVAL));
    }
}
