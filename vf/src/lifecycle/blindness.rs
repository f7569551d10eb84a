//! Blindness: find an attached VF that may not be promiscuous any more, and re-arm it.
//!
//! The gap is on disk before the kernel is asked, and its end is on disk after the audit entry. So
//! a `gc` that is killed at any point leaves an open gap, and the next one re-arms the VF again.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::carrier::CarrierCounts;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::kernel::netns_sysfs::NetnsSysfs;
use crate::kernel::retry::is_busy;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::now;
use crate::ledger::audit;
use crate::ledger::audit::Entry;
use crate::ledger::claim::{Claim, Gap, State};
use crate::ledger::claims::Claims;
use crate::nic::driver::driver;
use crate::nic::find_link::find_link;
use crate::nic::rearm::{rearm, turn_flags_on};
use crate::nic::vf_config::find_pf;

/// How long a VF may take to get its carrier back after a reset, while its PF has one. `gc` holds
/// the PF's lock meanwhile; a VF that takes longer is re-armed by the next `gc`.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a VF driver may take to notice that the PF has reset its VF.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What `gc` found on an attached VF.
pub(super) enum Sight {
    /// The VF is promiscuous, as far as the kernel tells.
    Promiscuous,
    /// It may not have been, for this reason, and was re-armed.
    Rearmed(String),
    /// It may not be, for this reason, and cannot be re-armed now.
    Blind(String),
    /// It cannot be re-armed, for this reason.
    Lost(String),
}

/// Checks an attached VF in the network namespace `netns`, and re-arms it if it may be blind.
/// `change`: a change of VLAN or trust by another tool that was set back just now, which has reset
/// the VF.
///
/// # Errors
/// When the namespace or the PF cannot be inspected, or the VF driver stays busy. The gap is then
/// on disk, and the next `gc` tries again.
pub(super) fn check_sight(
    host: &Host,
    sysfs: &Sysfs,
    claims: &Claims,
    claim: &mut Claim,
    (netns, change): (&Netns, Option<&str>),
) -> Result<Sight, Error> {
    let forgets = driver(sysfs.driver(&claim.pf).as_deref()).forgets_promisc;
    // The container may have moved the netdev on since it was located. The next `gc` finds it.
    let Some(link) = netns.inside(|| link_here(&claim.vf))? else { return Ok(Sight::Promiscuous) };
    let reset = change.map(|change| format!("another tool changed its settings: {change}"));
    let gap = match (claim.open_gap(), reset.or_else(|| cause(forgets, claim.carrier, &link))) {
        (Some(open), _) => open.clone(),
        (None, Some(reason)) => {
            let since = claim.checked.clone().or_else(|| claim.claimed_at()).unwrap_or_default();
            Gap { since, until: None, reason }
        }
        (None, None) => {
            claim.carrier.get_or_insert(link.carrier_counts);
            claim.checked = Some(now());
            claims.advance(claim, State::Attached)?;
            return Ok(Sight::Promiscuous);
        }
    };
    if claim.gap.as_ref() != Some(&gap) {
        claim.gap = Some(gap.clone());
        claims.advance(claim, State::Attached)?;
    }
    let pf = find_pf(sysfs, claim)?;
    let pf_has_carrier = Netlink::open()?.link(pf.ifindex)?.is_some_and(|link| link.carrier);
    let carrier_timeout = if pf_has_carrier { CARRIER_TIMEOUT } else { Duration::ZERO };
    let told = netns.inside(|| match link_here(&claim.vf)? {
        None => Ok(Told::NotNow(GONE)),
        Some(link) => tell_pf(&link, claim, forgets, change.is_some(), carrier_timeout),
    });
    match told? {
        Told::NotNow(why) => Ok(Sight::Blind(format!("{}; {why}", gap.reason))),
        Told::Never(why) => Ok(Sight::Lost(format!("{}; {why}", gap.reason))),
        Told::Yes(counts) => {
            let reason = gap.reason.clone();
            let gap = Gap { until: Some(now()), ..gap };
            // An audit entry that cannot be written is no error here: the claim has the gap.
            let _ = audit::append_or_spool(host, &Entry::blind(claim, &gap));
            (claim.carrier, claim.checked) = (Some(counts), gap.until.clone());
            claim.gap = Some(gap);
            claims.advance(claim, State::Attached)?;
            Ok(Sight::Rearmed(reason))
        }
    }
}

/// Writes the audit entry of a gap that lasts until its container loses the VF. The entry precedes
/// that of the loss's end, and a release that is repeated writes it again.
pub(super) fn record_open_gap(host: &Host, claim: &Claim) {
    if let Some(gap) = claim.open_gap() {
        // An audit entry that cannot be written keeps no VF from becoming free.
        let _ = audit::append_or_spool(host, &Entry::blind(claim, gap));
    }
}

/// Why a VF may not be promiscuous. `None`: it is, as far as the kernel tells. `before`: its
/// counters when it was known to be promiscuous.
///
/// A change of the carrier is no proof of a reset: a link that was lost and came back looks the
/// same. In both cases the container may have missed frames, and re-arming does no harm.
pub(crate) fn cause(forgets: bool, before: Option<CarrierCounts>, link: &Link) -> Option<String> {
    if !link.flags.up {
        return Some("its interface was down".to_owned());
    }
    // Not the flag: a socket of the sensor may hold the mode without it.
    if link.promiscuity == 0 {
        return Some("its interface was not promiscuous".to_owned());
    }
    let now = link.carrier_counts;
    // Without a record, by an older runvf: a netdev gets its first carrier without losing one.
    let losses = now.downs.wrapping_sub(before.map_or(0, |before| before.downs));
    match before {
        _ if !forgets => None,
        Some(before) if before == now => None,
        None if losses == 0 => None,
        _ => Some(match losses {
            0 => "its carrier was away: a reset of the VF or its PF, or a lost link".to_owned(),
            1 => "its carrier was lost: a reset of the VF or its PF, or a lost link".to_owned(),
            times => format!(
                "its carrier was lost {times} times: resets of the VF or its PF, or a lost link"
            ),
        }),
    }
}

/// The link of a VF in the network namespace of the calling thread.
fn link_here(vf: &str) -> Result<Option<Link>, Error> {
    let mounted = NetnsSysfs::mount()?;
    find_link(&mounted.sysfs, &Netlink::open()?, vf)
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// These counters were read before, so a later reset shows.
    Yes(CarrierCounts),
    NotNow(&'static str),
    Never(String),
}

const GONE: &str = "its interface is moving to another network namespace";

/// Turns the flags of the VF's interface on, and tells the PF about them. The calling thread is in
/// the interface's network namespace.
fn tell_pf(
    link: &Link,
    claim: &Claim,
    forgets: bool,
    after_change: bool,
    carrier_timeout: Duration,
) -> Result<Told, Error> {
    let netlink = Netlink::open()?;
    if let Err(source) = turn_flags_on(&netlink, link.ifindex) {
        let object = format!("{} (VF {})", link.name, claim.vf);
        let action = "turn promiscuity on for";
        return never_unless_busy(Error::Kernel(KernelError::Link { action, object, source }));
    }
    let read = || netlink.link(link.ifindex);
    if after_change {
        let has_noticed = |link: &Link| Some(link.carrier_counts) != claim.carrier || !link.carrier;
        wait_until(NOTICE_TIMEOUT, read, has_noticed)?;
    }
    if forgets {
        wait_until(carrier_timeout, read, |link| link.carrier)?;
    }
    let Some(link) = read()? else { return Ok(Told::NotNow(GONE)) };
    if forgets {
        if !link.carrier {
            return Ok(Told::NotNow("it has no carrier now"));
        }
        match rearm(&netlink, claim, &link) {
            Ok(true) => {}
            Ok(false) => {
                let why =
                    "processes in the container keep runvf from re-arming it by their sockets";
                return Ok(Told::Never(why.to_owned()));
            }
            Err(error) => return never_unless_busy(error),
        }
    }
    Ok(match read()? {
        Some(after) if after.flags.up && after.promiscuity > 0 => Told::Yes(link.carrier_counts),
        Some(_) => Told::Never("it did not stay up and promiscuous".to_owned()),
        None => Told::NotNow(GONE),
    })
}

/// A driver that is busy is asked again by the next `gc`.
fn never_unless_busy(error: Error) -> Result<Told, Error> {
    let errno = |source: &NetlinkError| source.errno();
    match &error {
        Error::Kernel(KernelError::Link { source, .. }) if !is_busy(errno(source)) => {
            Ok(Told::Never(error.line()))
        }
        _ => Err(error),
    }
}

/// Reads a link until `done`, but not beyond `timeout`. A link that is gone is not waited for.
fn wait_until(
    timeout: Duration,
    read: impl Fn() -> Result<Option<Link>, Error>,
    done: impl Fn(&Link) -> bool,
) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    while read()?.is_some_and(|link| !done(&link)) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::Flags;

    const BEFORE: CarrierCounts = CarrierCounts { changes: 1, downs: 0 };

    fn link(promiscuity: u32, carrier_counts: CarrierCounts) -> Link {
        let flags = Flags { up: true, promisc: true, allmulti: true, noarp: true };
        Link { flags, promiscuity, carrier_counts, ..Link::default() }
    }

    #[test]
    fn counters_that_changed_mean_a_reset_where_the_driver_forgets() {
        let reset = CarrierCounts { changes: 3, downs: 1 };
        let found = |forgets, before, now| cause(forgets, before, &link(1, now));
        assert_eq!(found(true, Some(BEFORE), BEFORE), None);
        assert_eq!(found(false, Some(BEFORE), reset), None);
        assert!(found(true, Some(BEFORE), reset).unwrap().contains("carrier was lost: "));
        let twice = CarrierCounts { changes: 5, downs: 2 };
        assert!(found(true, Some(BEFORE), twice).unwrap().contains("lost 2 times"));
        // It was reset while it had no carrier.
        let returned = CarrierCounts { changes: 2, downs: 0 };
        assert!(found(true, Some(BEFORE), returned).unwrap().contains("was away"));
    }

    #[test]
    fn a_claim_without_counters_is_judged_by_the_netdevs_whole_life() {
        assert_eq!(cause(true, None, &link(1, BEFORE)), None);
        let reset = CarrierCounts { changes: 3, downs: 1 };
        assert!(cause(true, None, &link(1, reset)).is_some());
        assert_eq!(cause(false, None, &link(1, reset)), None);
    }

    #[test]
    fn an_interface_without_promiscuity_is_blind_with_every_driver() {
        for forgets in [true, false] {
            assert!(cause(forgets, Some(BEFORE), &link(0, BEFORE)).unwrap().contains("not promis"));
            let mut down = link(1, BEFORE);
            down.flags.up = false;
            assert!(cause(forgets, Some(BEFORE), &down).unwrap().contains("down"));
            // A socket of the sensor holds the mode.
            let mut held = link(1, BEFORE);
            held.flags.promisc = false;
            assert_eq!(cause(forgets, Some(BEFORE), &held), None);
        }
    }

    /// These tests need root.
    mod in_a_netns {
        use super::*;
        use crate::kernel::in_a_netns::{index_of, ip, with_veths};
        use crate::ledger::claim::tests::claim;

        const NO_WAIT: Duration = Duration::ZERO;

        fn link() -> Link {
            Netlink::open().unwrap().link(index_of("host0")).unwrap().unwrap()
        }

        fn tell(forgets: bool, carrier_timeout: Duration) -> Told {
            tell_pf(&link(), &claim("0000:01:10.0", "n"), forgets, false, carrier_timeout).unwrap()
        }

        #[test]
        fn promiscuity_that_was_turned_off_is_turned_on_again() {
            with_veths(|| {
                ip("link set host1 up");
                ip("link set host0 up promisc on allmulticast on");
                ip("link set host0 down promisc off");
                assert!(cause(false, None, &link()).is_some());
                assert!(matches!(tell(false, NO_WAIT), Told::Yes(_)));
                assert_eq!(cause(false, None, &link()), None);
                assert!(link().flags.promisc && link().flags.allmulti);
            });
        }

        /// A reset during the re-arm is found by the next check, because it changes the counters.
        #[test]
        fn the_counters_are_those_from_before_the_re_arm() {
            with_veths(|| {
                ip("link set host1 up");
                ip("link set host0 up promisc on allmulticast on");
                let before = link().carrier_counts;
                ip("link set host1 down");
                ip("link set host1 up");
                let counts = link().carrier_counts;
                assert!(cause(true, Some(before), &link()).is_some());
                assert_eq!(tell(true, NO_WAIT), Told::Yes(counts));
                assert_eq!(cause(true, Some(counts), &link()), None);
                assert!(link().flags.allmulti);
                assert_eq!((link().promiscuity, link().allmulticast), (1, 1));
            });
        }

        #[test]
        fn an_interface_without_carrier_is_re_armed_later() {
            with_veths(|| {
                ip("link set host0 up promisc on allmulticast on");
                assert_eq!(tell(true, NO_WAIT), Told::NotNow("it has no carrier now"));
                // A driver that forgets nothing needs no carrier.
                assert!(matches!(tell(false, NO_WAIT), Told::Yes(_)));
                thread::scope(|scope| {
                    scope.spawn(|| {
                        thread::sleep(Duration::from_millis(100));
                        ip("link set host1 up");
                    });
                    assert!(matches!(tell(true, Duration::from_secs(20)), Told::Yes(_)));
                });
            });
        }
    }
}
