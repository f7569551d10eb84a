//! Re-arm: make a VF driver tell its PF again that the VF is promiscuous.
//!
//! A PF that resets a VF forgets the VF's promiscuity. iavf (`iavf_set_rx_mode` and
//! `iavf_set_promiscuous`, Linux 6.12) asks the PF only if promiscuous or allmulti mode differ from
//! its last request, and a reset does not clear its memory of that request. While the netdev is
//! promiscuous, each such request contains both modes. So [`rearm`] turns only allmulti off and on,
//! and the netdev stays promiscuous.
//!
//! iavf sends its requests from a watchdog. A change of the flags does not wake the watchdog, which
//! sleeps for 2 s when it is idle, and for 20 ms between two requests; a read of the driver's
//! counters does.

use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_indextoname;

use crate::error::Error;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::ethtool;
use crate::kernel::kernel_log::KernelLog;
use crate::kernel::netlink::{Flags, Link, Netlink};
use crate::kernel::retry::retry_while_busy;
use crate::ledger::claim::Claim;
use crate::nic::error::NicError;

/// How long iavf may take to send a request. It sends one message each 20 ms, and a new netdev
/// sends a dozen others first.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two calls that wake iavf. Newer kernels run `iavf_set_rx_mode` from a work queue, so it
/// may come after the first call. The calls need the kernel's network lock, so they must be rare
/// where many VFs are attached at once.
const WAKE_INTERVAL: Duration = Duration::from_millis(10);
/// How long the PF may take to apply a request. It needs a few milliseconds, and longer while it
/// resets other VFs: i40e does both in one task. Its log tells of the end only if the PF did not
/// count the VF as promiscuous before; i40e of Linux 6.12 forgets that in each reset
/// (`i40e_free_vf_res`).
const APPLY_TIMEOUT: Duration = Duration::from_millis(300);

/// What iavf logs right before it sends a request (`iavf_set_promiscuous`). The network core logs
/// "entered promiscuous mode" and "left promiscuous mode" about the same device
/// (`__dev_set_promiscuity`, `net/core/dev.c`), at the change of the flag.
const SENT: [&str; 4] = [
    "Entering promiscuous mode",
    "Leaving promiscuous mode",
    "Entering multicast promiscuous mode",
    "Leaving multicast promiscuous mode",
];

/// The requests of a VF for promiscuity, as the logs of the VF driver and the PF driver show them,
/// from the call of [`Requests::watch`] on.
pub(crate) struct Requests<'a> {
    claim: &'a Claim,
    /// `None`: the kernel's log cannot be read.
    log: Option<KernelLog>,
}

impl<'a> Requests<'a> {
    pub(crate) fn watch(claim: &'a Claim) -> Self {
        Self { claim, log: KernelLog::open_at_end() }
    }

    /// As [`Requests::watch`] where the kernel's log cannot be read.
    #[cfg(test)]
    pub(crate) fn unlogged(claim: &'a Claim) -> Self {
        Self { claim, log: None }
    }

    /// Of a driver that sends nothing.
    #[cfg(test)]
    pub(crate) fn unsent(claim: &'a Claim) -> Self {
        Self { claim, log: Some(KernelLog::of_others()) }
    }

    /// Wakes the VF driver until it has sent its next request. Returns whether it has. Without the
    /// kernel's log, this only waits and assumes so. The caller is in the network namespace of the
    /// netdev.
    pub(crate) fn wait_until_sent(&mut self, ifindex: u32) -> bool {
        let deadline = Instant::now() + SEND_TIMEOUT;
        loop {
            wake_driver(ifindex);
            let Some(log) = &mut self.log else {
                thread::sleep(APPLY_TIMEOUT);
                return true;
            };
            let next = deadline.min(Instant::now() + WAKE_INTERVAL);
            if log.wait_for(&self.claim.vf, &SENT, next) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Waits until the PF has applied the last request, for at most [`APPLY_TIMEOUT`].
    pub(crate) fn wait_until_applied(&mut self) {
        let Claim { pf, index, .. } = self.claim;
        // `i40e_vc_config_promiscuous_mode_msg`, `ice_vc_cfg_promiscuous_mode_msg`
        let applied = format!("VF {index} successfully set unicast promiscuous mode");
        let deadline = Instant::now() + APPLY_TIMEOUT;
        if let Some(log) = &mut self.log {
            log.wait_for(pf, &[&applied], deadline);
        }
    }
}

/// Makes the VF driver send to its PF what it has to send, in the network namespace of the calling
/// thread.
pub(crate) fn wake_driver(ifindex: u32) {
    // ethtool takes a name. A container may give the netdev a name that is not UTF-8.
    if let Ok(name) = if_indextoname(ifindex) {
        // An error is ignored: a driver without counters has no such watchdog.
        let _ = ethtool::read_statistics(name.as_bytes());
    }
}

/// Turns the flags of a sensor on: up, promiscuous and allmulti.
///
/// # Errors
/// The answer of the VF driver.
pub(crate) fn turn_flags_on(netlink: &Netlink, ifindex: u32) -> Result<(), NetlinkError> {
    let flags = Flags { up: true, promisc: true, allmulti: true, noarp: false };
    retry_while_busy(NetlinkError::errno, || netlink.add_flags(ifindex, flags))
}

/// Makes the VF driver tell its PF about promiscuity again. The flags of `link` are on. `requests`
/// watches the requests of the VF of `claim` from now on. `Ok(false)`: no change of the flags has an
/// effect, because processes in the network namespace hold both modes by sockets.
///
/// # Errors
/// [`KernelError::Link`] with the answer of the VF driver; [`NicError::NotTold`] when the driver has
/// not sent both requests. Then iavf may have seen the same flags before and after the change, and
/// the VF may be blind.
pub(crate) fn rearm(
    netlink: &Netlink,
    mut requests: Requests<'_>,
    link: &Link,
) -> Result<bool, Error> {
    let Some(toggled) = flag_to_toggle(link) else { return Ok(false) };
    let claim = requests.claim;
    let failed = |source| {
        let object = format!("{} (VF {})", link.name, claim.vf);
        Error::Kernel(KernelError::Link { action: "re-arm the promiscuity of", object, source })
    };
    retry_while_busy(NetlinkError::errno, || netlink.clear_flags(link.ifindex, toggled))
        .map_err(failed)?;
    // Without this wait, iavf would see the same flags as before and send nothing.
    let is_first_sent = requests.wait_until_sent(link.ifindex);
    retry_while_busy(NetlinkError::errno, || netlink.add_flags(link.ifindex, toggled))
        .map_err(failed)?;
    if !(is_first_sent && requests.wait_until_sent(link.ifindex)) {
        let (vf, pf, seconds) = (claim.vf.clone(), claim.pf.clone(), SEND_TIMEOUT.as_secs());
        return Err(Error::Nic(NicError::NotTold { vf, pf, seconds }));
    }
    requests.wait_until_applied();
    Ok(true)
}

/// The flag with an effect on the driver. A mode that a socket holds as well (`packet(7)`,
/// `PACKET_ADD_MEMBERSHIP`) stays on if its flag is turned off. If a socket holds allmulti, the
/// netdev leaves promiscuity for the moment between both requests.
fn flag_to_toggle(link: &Link) -> Option<Flags> {
    match link {
        Link { allmulticast: 0 | 1, .. } => Some(Flags { allmulti: true, ..Flags::default() }),
        Link { promiscuity: 0 | 1, .. } => Some(Flags { promisc: true, ..Flags::default() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_network_core_is_no_request() {
        for message in ["mon0: entered promiscuous mode", "mon0: left promiscuous mode"] {
            assert!(SENT.iter().all(|sent| !message.contains(sent)), "{message}");
        }
    }

    #[test]
    fn promiscuity_is_left_only_if_a_socket_holds_allmulti() {
        let toggled = |promiscuity, allmulticast| {
            let flags = flag_to_toggle(&Link { promiscuity, allmulticast, ..Link::default() })?;
            Some((flags.promisc, flags.allmulti))
        };
        // A kernel that does not count the holders of allmulti reports 0.
        for allmulticast in [0, 1] {
            assert_eq!(toggled(1, allmulticast), Some((false, true)));
            assert_eq!(toggled(2, allmulticast), Some((false, true)), "a socket of tcpdump");
        }
        assert_eq!(toggled(1, 2), Some((true, false)));
        assert_eq!(toggled(2, 2), None);
    }
}
