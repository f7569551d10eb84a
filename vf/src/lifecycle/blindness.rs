//! Blindness: find an attached VF that may not be promiscuous any more, and re-arm it.
//!
//! The gap is on disk before the kernel is asked, and its end is on disk after the audit entry. So
//! a `gc` that is killed at any point leaves an open gap, and the next one re-arms the VF again.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::carrier::CarrierCounts;
use crate::kernel::error::KernelError;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::kernel::netns_sysfs::NetnsSysfs;
use crate::kernel::retry::is_busy;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::{now, rfc3339};
use crate::ledger::audit;
use crate::ledger::audit::Entry;
use crate::ledger::claim::{Claim, Gap, State};
use crate::ledger::claims::Claims;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::find_link::find_link;
use crate::nic::pf::Pf;
use crate::nic::pf_promisc::TurnedOff;
use crate::nic::rearm::{Requests, rearm, turn_flags_on};
use crate::nic::vf_config::find_pf;
use crate::policy::config::OnPromiscOff;

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

/// What a check knows, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// When the event happened that made the VF blind, if it is. `None`: no process has watched the
    /// VF since it was checked last.
    pub(super) since: Option<SystemTime>,
    /// How long to wait for a carrier that is away.
    pub(super) carrier_timeout: Duration,
}

impl Manner {
    /// A check that no event has caused.
    pub(super) const GC: Self = Self { since: None, carrier_timeout: CARRIER_TIMEOUT };
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
    manner: Manner,
) -> Result<Sight, Error> {
    let forgets = driver(sysfs.driver(&claim.pf).as_deref()).forgets_promisc;
    // The container may have moved the netdev on since it was located. The next `gc` finds it.
    let Some(link) = netns.inside(|| link_here(&claim.vf))? else { return Ok(Sight::Promiscuous) };
    let reset = change.map(|change| format!("another tool changed its settings: {change}"));
    let Some(gap) = gap(claim, reset.or_else(|| cause(forgets, claim.carrier, &link)), manner)
    else {
        claim.carrier.get_or_insert(link.carrier_counts);
        claim.checked = Some(now());
        claims.advance(claim, State::Attached)?;
        return Ok(Sight::Promiscuous);
    };
    let is_reported_only = is_turned_off(&link) && claim.on_promisc_off == OnPromiscOff::Report;
    if claim.gap.as_ref() != Some(&gap) {
        if is_reported_only {
            // The gap may last as long as the container. An audit entry that cannot be written is no
            // error here: the claim has the gap.
            let _ = audit::append_or_spool(host, &Entry::blind(claim, &gap));
        }
        claim.gap = Some(gap.clone());
        claims.advance(claim, State::Attached)?;
    }
    if is_reported_only {
        return Ok(Sight::Blind(format!(
            "{}; the pool says on_promisc_off = \"report\"",
            gap.reason
        )));
    }
    let pf = find_pf(sysfs, claim)?;
    if claim.promisc_required
        && let Err(error) = turn_on_for(sysfs, &pf)
    {
        return lost_unless_busy(error).map(|why| Sight::Lost(format!("{}; {why}", gap.reason)));
    }
    let pf_has_carrier = Netlink::open()?.link(pf.ifindex)?.is_some_and(|link| link.carrier);
    let carrier_timeout = if pf_has_carrier { manner.carrier_timeout } else { Duration::ZERO };
    let told = netns.inside(|| match link_here(&claim.vf)? {
        None => Ok(Told::NotNow(GONE)),
        Some(link) => {
            let watch: Watch = |claim| Requests::watch(claim);
            let watch = forgets.then_some(watch);
            tell_pf(&link, claim, watch, change.is_some(), carrier_timeout)
        }
    });
    match told? {
        Told::NotNow(why) => Ok(Sight::Blind(format!("{}; {why}", gap.reason))),
        Told::Never(why) => Ok(Sight::Lost(format!("{}; {why}", gap.reason))),
        Told::Yes(counts) => {
            close_gap(host, claims, claim, &gap, counts)?;
            Ok(Sight::Rearmed(gap.reason))
        }
    }
}

/// Writes the audit entry of a gap that has ended, and then the claim. `counts`: see
/// [`Claim::carrier`].
fn close_gap(
    host: &Host,
    claims: &Claims,
    claim: &mut Claim,
    gap: &Gap,
    counts: CarrierCounts,
) -> Result<(), Error> {
    let gap = ended(gap);
    // An audit entry that cannot be written is no error here: the claim has the gap.
    let _ = audit::append_or_spool(host, &Entry::blind(claim, &gap));
    (claim.carrier, claim.checked) = (Some(counts), gap.until.clone());
    claim.blind.add(&gap);
    claim.gap = Some(gap);
    claims.advance(claim, State::Attached)
}

/// Writes the audit entry of a gap that lasts until its container loses the VF. The entry precedes
/// that of the loss's end, and a release that is repeated writes it again.
///
/// The gap is closed in `claim`, because a quarantined VF keeps its claim, and is no sensor's any more.
pub(super) fn record_open_gap(host: &Host, claim: &mut Claim) {
    if let Some(gap) = claim.open_gap().map(ended) {
        // An audit entry that cannot be written keeps no VF from becoming free.
        let _ = audit::append_or_spool(host, &Entry::blind(claim, &gap));
        claim.blind.add(&gap);
        claim.gap = Some(gap);
    }
}

/// The gap that the claim has open, or a new one for this cause.
fn gap(claim: &Claim, cause: Option<String>, manner: Manner) -> Option<Gap> {
    if let Some(open) = claim.open_gap() {
        return Some(open.clone());
    }
    Some(new_gap(claim, cause?, manner.since))
}

/// A gap that begins with its event or, if no process has seen that, with the last check.
pub(super) fn new_gap(claim: &Claim, reason: String, event: Option<SystemTime>) -> Gap {
    let since = event.and_then(rfc3339).or_else(|| claim.checked.clone());
    let since = since.or_else(|| claim.claimed_at()).unwrap_or_default();
    Gap { since, until: None, reason }
}

/// The gap, ended now. Texts of times compare as the times; the clock may have been set back.
fn ended(gap: &Gap) -> Gap {
    Gap { until: Some(now().max(gap.since.clone())), ..gap.clone() }
}

/// Whether a process has turned promiscuity off. A reset leaves the flags of a netdev unchanged.
fn is_turned_off(link: &Link) -> bool {
    link.flags.up && link.promiscuity == 0
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

/// Begins to watch the requests of a VF.
type Watch = for<'a> fn(&'a Claim) -> Requests<'a>;

const GONE: &str = "its interface is moving to another network namespace";

/// Turns the flags of the VF's interface on, and tells the PF about them. `watch`: only if the PF
/// forgets promiscuity in a reset. The calling thread is in the interface's network namespace.
fn tell_pf(
    link: &Link,
    claim: &Claim,
    watch: Option<Watch>,
    after_change: bool,
    carrier_timeout: Duration,
) -> Result<Told, Error> {
    let netlink = Netlink::open()?;
    let is_on = link.flags.promisc && link.flags.allmulti;
    let turned_on = watch.filter(|_| !is_on).map(|watch| watch(claim));
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
    if watch.is_some() {
        wait_until(carrier_timeout, read, |link| link.carrier)?;
    }
    let Some(link) = read()? else { return Ok(Told::NotNow(GONE)) };
    if let Some(watch) = watch {
        if !link.carrier {
            return Ok(Told::NotNow("it has no carrier now"));
        }
        // The flags may be off because a re-arm was killed between its two changes. Without this wait,
        // the next one would turn them off again before iavf has seen that they were on.
        if let Some(mut requests) = turned_on {
            requests.wait_until_sent(link.ifindex);
        }
        match rearm(&netlink, watch(claim), &link) {
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
        // No driver clears these flags, so a process in the container did, and may stop doing it.
        Some(_) => Told::NotNow("it did not stay up and promiscuous"),
        None => Told::NotNow(GONE),
    })
}

/// The next `gc` asks a driver again that is busy, or that has not told its PF in time.
fn never_unless_busy(error: Error) -> Result<Told, Error> {
    lost_unless_busy(error).map(Told::Never)
}

/// Why the VF cannot be re-armed. An error is returned if the next `gc` is to ask again.
fn lost_unless_busy(error: Error) -> Result<String, Error> {
    match &error {
        Error::Kernel(KernelError::Link { source, .. }) if !is_busy(source.errno()) => {
            Ok(error.line())
        }
        Error::Nic(NicError::NotPromiscuous { .. }) => Ok(error.line()),
        _ => Err(error),
    }
}

/// Turns on what the PF lacks for promiscuous VFs, if another tool has turned it off.
fn turn_on_for(sysfs: &Sysfs, pf: &Pf) -> Result<(), Error> {
    TurnedOff::find(sysfs, &pf.pci)?.map_or(Ok(()), |off| off.turn_on(sysfs, pf))
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
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::kernel::netlink::Flags;
    use crate::ledger::claim::tests::claim;

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

    #[test]
    fn a_gap_begins_with_its_event_or_with_the_last_check() {
        let mut claim = claim("0000:01:10.0", "n");
        let cause = || Some("r".to_owned());
        let watched =
            Manner { since: Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)), ..Manner::GC };
        assert_eq!(gap(&claim, None, watched), None);
        let since = |claim: &Claim, manner| gap(claim, cause(), manner).unwrap().since;
        assert_eq!(since(&claim, Manner::GC), "1970-01-01T00:00:00.000Z");
        claim.checked = Some("2023-11-14T22:00:00.000Z".to_owned());
        assert_eq!(since(&claim, Manner::GC), "2023-11-14T22:00:00.000Z");
        assert_eq!(since(&claim, watched), "2023-11-14T22:13:20.000Z");
        claim.gap = gap(&claim, cause(), Manner::GC);
        assert_eq!(gap(&claim, None, watched), claim.gap, "an open gap keeps its begin");
    }

    #[test]
    fn a_gap_does_not_end_before_its_begin() {
        let gap = Gap { since: "2999-01-01T00:00:00.000Z".into(), until: None, reason: "r".into() };
        assert_eq!(ended(&gap).until, Some(gap.since.clone()));
    }

    /// These tests need root.
    mod in_a_netns {
        use super::*;
        use crate::kernel::in_a_netns::{index_of, ip, with_veths};

        const NO_WAIT: Duration = Duration::ZERO;

        fn link() -> Link {
            Netlink::open().unwrap().link(index_of("host0")).unwrap().unwrap()
        }

        fn tell_with(watch: Option<Watch>, carrier_timeout: Duration) -> Result<Told, Error> {
            tell_pf(&link(), &claim("0000:01:10.0", "n"), watch, false, carrier_timeout)
        }

        /// The driver of a veth logs nothing.
        fn tell(forgets: bool, carrier_timeout: Duration) -> Told {
            let watch: Watch = |claim| Requests::unlogged(claim);
            tell_with(forgets.then_some(watch), carrier_timeout).unwrap()
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

        /// So its gap stays open, and the next check asks again.
        #[test]
        fn a_driver_that_does_not_tell_its_pf_is_no_success() {
            with_veths(|| {
                ip("link set host1 up");
                ip("link set host0 up promisc on allmulticast on");
                let watch: Watch = |claim| Requests::unsent(claim);
                let told = tell_with(Some(watch), NO_WAIT);
                assert!(matches!(told, Err(Error::Nic(NicError::NotTold { .. }))), "{told:?}");
                assert!(link().flags.promisc && link().flags.allmulti);
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
