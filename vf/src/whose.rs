//! Whose a VF is that a claim names: the record may be wrong (restored from a copy, say), the VF may have been made again and taken by
//! somebody else, and its container may have handed its interface on.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::claim::{Claim, State};
use crate::configure::{pf_of, read};
use crate::driver::driver;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::plan::tampered;
use crate::process::{ProcessId, boot_id, is_with};
use crate::release::LOOK;
use crate::scrub::is_where_it_was;
use crate::whereabouts::{Away, Whereabouts, find};

/// Whether another than the claim's container works with the VF, and why that is thought. `dying` is how long it may take for strangers
/// to leave its namespace.
pub(crate) fn somebody_elses(
    sysfs: &Sysfs,
    claim: &Claim,
    dying: Duration,
) -> Result<Option<String>, Error> {
    if let Some(why) = taken_at_home(sysfs, claim)? {
        return Ok(Some(why));
    }
    let deadline = Instant::now() + dying;
    loop {
        let Whereabouts::Away(away) = find(sysfs, &claim.vf, claim.netns.id)? else {
            return Ok(None);
        };
        match strangers(sysfs, claim, &away)? {
            None => return Ok(None),
            Some(why) if Instant::now() >= deadline => return Ok(Some(why)),
            Some(_) => thread::sleep(LOOK),
        }
    }
}

/// Whether a claim's VF is in a network namespace of others than its container. That is so neither in the namespace into which it was
/// moved, nor in one that the container has moved it on to. Where nobody lives, as in one that `ip netns` has made, the PF's word
/// decides: nobody has taken a VF that still is on its claim's VLAN.
///
/// # Errors
/// When the PF cannot be asked.
pub(crate) fn strangers(
    sysfs: &Sysfs,
    claim: &Claim,
    away: &Away,
) -> Result<Option<String>, Error> {
    if away.cookie == claim.netns.cookie && claim.boot_id == boot_id()? {
        return Ok(None);
    }
    let init = claim.init;
    let mut keepers = away.processes.iter().chain(&away.holders);
    if init.is_alive() && keepers.any(|pid| is_with(init.pid, *pid)) {
        return Ok(None);
    }
    let name = &away.name;
    if let Some(pid) = away.processes.iter().find(|pid| ProcessId::of(**pid).is_some()) {
        return Ok(Some(format!(
            "its interface `{name}` is in the network namespace of process {pid}, which is not its container's"
        )));
    }
    is_where_it_was(sysfs, claim)?;
    let have = read(&Netlink::open()?, &pf_of(sysfs, claim)?, claim)?;
    Ok(tampered(&have, &claim.want).map(|what| {
        format!(
            "its interface `{name}` is in a network namespace that is not its container's, and its PF has {what}"
        )
    }))
}

/// A driver that runvf would not have bound (vfio), or an interface that somebody in the host's namespace made part of something or uses
/// on another VLAN. One that is merely up or has an address says nothing: a network manager does that to whatever comes home. Nor does a
/// master, as long as the PF has what the claim wants: nobody has taken this VF but in the way in which things that come home are taken.
fn taken_at_home(sysfs: &Sysfs, claim: &Claim) -> Result<Option<String>, Error> {
    if let Some(bound) = sysfs.driver(&claim.vf) {
        let usual = driver(sysfs.driver(&claim.pf).as_deref()).vf;
        let ours = usual == Some(bound.as_str()) || claim.before.driver.as_ref() == Some(&bound);
        // Where nobody knows the usual one, whatever an attach has bound is.
        if !ours && (usual.is_some() || claim.before.driver.is_some()) {
            return Ok(Some(format!("it has the driver {bound} now")));
        }
    }
    let Some((name, ifindex)) = sysfs.netdevs(&claim.vf).into_iter().next() else {
        return Ok(None);
    };
    let netlink = Netlink::open()?;
    let Some(link) = netlink.link(ifindex)?.filter(|link| link.master || link.flags.up) else {
        return Ok(None);
    };
    let have = is_where_it_was(sysfs, claim)
        .and_then(|()| read(&netlink, &pf_of(sysfs, claim)?, claim))
        .ok();
    // Neither the claim's nor what a cleaning leaves.
    let others = have.filter(|have| have.vlan != 0 && have.vlan != claim.want.vlan);
    if let (true, Some(have)) = (link.flags.up, others) {
        let vlan = have.vlan;
        return Ok(Some(format!("its interface `{name}` is up in the host, on VLAN {vlan}")));
    }
    let armed = have.is_some_and(|have| tampered(&have, &claim.want).is_none());
    let ours = !link.master || armed && !matches!(claim.state, State::Lost { .. });
    Ok((!ours).then(|| format!("its interface `{name}` has a master in the host")))
}
