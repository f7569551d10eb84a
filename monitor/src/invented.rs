//! Invented hosts, for tests of metrics and page.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use vf::{CaptureSocket, CaptureSockets, Claim, Counted, Counter, Discards, PfStatus, VfStatus};

use crate::history::{History, INTERVAL, POINTS};
use crate::totals::Totals;
use crate::view::{TenantUse, View};

pub(crate) fn claim(tenant: &str, vlan: u32, nonce: &str) -> Claim {
    let settings = vf::Settings { vlan, trust: true, ..vf::Settings::default() };
    let claim = json!({
        "vf": "0000:01:10.0", "index": 0, "pf": "0000:01:00.0", "pf_name": "pf0",
        "state": "attached", "nonce": nonce, "boot_id": "b",
        "container": format!("{vlan:04x}c0f5e9d1b8a7c4f1"), "tenant": tenant, "interface": "mon0",
        "netns": { "dev": 4, "ino": 5, "cookie": 6 }, "init": { "pid": 1, "start_time": 2 },
        "worker": { "pid": 3, "start_time": 4 }, "since": 1_796_000_000, "scrub": "rebind",
        "on_loss": "stop", "want": settings,
        "before": {
            "driver": null, "driver_override": null, "settings": vf::Settings::default(),
            "netdev": null,
        },
    });
    serde_json::from_value(claim).unwrap()
}

/// The `index`-th VF of the first PF.
pub(crate) fn vf(index: u32, claim: Option<Claim>) -> VfStatus {
    let address = format!("0000:01:{:02x}.{}", 0x10 + index / 4, index % 4 * 2);
    let claim = claim.map(|claim| Claim { vf: address.clone(), index, ..claim });
    VfStatus {
        vf: address,
        index,
        state: if claim.is_some() { "attached" } else { "free" },
        reason: None,
        vanished: false,
        driver: Some("iavf".to_owned()),
        netdev: None,
        settings: claim.as_ref().map(|claim| claim.want).unwrap_or_default(),
        frames: None,
        drops: None,
        carrier: claim.as_ref().map(|_| true),
        sockets: None,
        blind: None,
        idle: false,
        claim,
        bad_claim: None,
    }
}

pub(crate) fn pf(name: &str, vfs: Vec<VfStatus>) -> PfStatus {
    PfStatus {
        pf: format!("0000:0{}:00.0", name.len()),
        name: name.to_owned(),
        driver: Some("i40e".to_owned()),
        up: true,
        carrier: true,
        frames: Some(1_000_000),
        discards: Some(Discards { count: 12, by: "port.rx_discards" }),
        master: None,
        total: 64,
        vfs,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// All sensors see their traffic.
    Calm,
    /// One sensor is in order, and each of the others has a trouble of its own.
    Trouble,
}

/// Six tenants after ten minutes.
pub(crate) fn view(moment: Moment) -> View {
    view_after(moment, POINTS as u64)
}

/// Six tenants after so many intervals.
pub(crate) fn view_after(moment: Moment, ticks: u64) -> View {
    let mut history = History::default();
    let start = Instant::now();
    let mut pfs = Vec::new();
    for tick in ticks.saturating_sub(POINTS as u64)..=ticks {
        pfs = host(moment, tick);
        history.record(start + INTERVAL * tick as u32, &pfs);
    }
    let mut totals = Totals { attaches: 9, releases: 3, refusals: 2, ..Totals::default() };
    for milliseconds in [90, 140, 800] {
        totals.attach_durations.add(Duration::from_millis(milliseconds));
        totals.release_durations.add(Duration::from_millis(2 * milliseconds));
    }
    if moment == Moment::Trouble {
        totals.quarantines = 1;
        totals.losses = 1;
    }
    let tenants = ["acme", "bravo", "civic", "delta", "echo", "fox"].map(|name| TenantUse {
        name: name.to_owned(),
        claims: 1,
        max: Some(if name == "acme" && moment == Moment::Trouble { 1 } else { 4 }),
    });
    let (at, took) = (SystemTime::now(), Duration::from_millis(12));
    let gaps =
        pfs.iter_mut().flat_map(|pf| &mut pf.vfs).filter_map(|vf| vf.claim.as_mut()?.gap.as_mut());
    gaps.for_each(|gap| gap.since = humantime::format_rfc3339_millis(at - OPEN_GAP).to_string());
    let attached = pfs.iter().flat_map(|pf| &pf.vfs).filter(|vf| vf.state == "attached");
    let watched = attached.map(|vf| vf.vf.clone()).collect();
    View { at, took, pfs, tenants: tenants.into(), history, totals, watched }
}

/// How long the present gap of bravo lasts.
const OPEN_GAP: Duration = Duration::from_millis(3400);

/// The host after so many intervals of five seconds.
fn host(moment: Moment, tick: u64) -> Vec<PfStatus> {
    let tenants = ["acme", "bravo", "civic", "delta", "echo", "fox"];
    let mut vfs: Vec<VfStatus> = (0..)
        .zip(tenants)
        .map(|(index, tenant)| {
            let mut vf = vf(index, Some(claim(tenant, 100 * (index + 1), tenant)));
            let frames = wave(tick, u64::from(index) + 1);
            vf.frames = Some(Counted { count: frames, by: Counter::Interface });
            vf.drops = Some(Counted { count: 0, by: Counter::Pf });
            let ring = CaptureSocket { inode: 41_000 + index, ring: Some(32 << 20), lost: None };
            let plain = CaptureSocket { inode: 42_000 + index, ring: None, lost: Some(0) };
            let listed = if index % 2 == 0 { vec![ring] } else { vec![plain] };
            vf.sockets = Some(CaptureSockets { listed, more: 0 });
            vf
        })
        .collect();
    if moment == Moment::Trouble {
        trouble(&mut vfs, tick);
    }
    let fox = vfs.pop();
    vfs.push(vf(6, None));
    let mut second = pf("pf-b", fox.into_iter().collect());
    second.carrier = moment == Moment::Calm;
    vec![pf("pf0", vfs), second]
}

/// A count that grows unevenly, as traffic does: 2,000 to 14,000 frames per interval.
fn wave(tick: u64, seed: u64) -> u64 {
    (0..tick).map(|at| 2000 * seed + 1000 * ((at * (seed + 2) / 7) % 5) + (at * 97 % 250)).sum()
}

fn trouble(vfs: &mut [VfStatus], tick: u64) {
    let reason = "its carrier was lost; run `runvfctl gc` to re-arm it";
    // Its begin follows from the time of the view.
    let gap = json!({ "since": "", "until": null, "reason": reason });
    if let Some(claim) = &mut vfs[1].claim {
        claim.gap = serde_json::from_value(gap).unwrap();
        claim.blind = vf::BlindTotal { gaps: 2, milliseconds: 2600 };
    }
    vfs[1].reason = Some("it may not be promiscuous: its carrier was lost".to_owned());
    vfs[1].blind = Some("its carrier was lost".to_owned());
    // The mirror session of civic ended before the first look, and fox never had a carrier.
    for index in [2, 5] {
        vfs[index].frames = Some(Counted { count: 5000, by: Counter::Interface });
    }
    vfs[5].carrier = Some(false);
    for (vf, state, reason) in [
        (3, "lost", "the VF vanished"),
        // A browser must show markup as text.
        (4, "quarantined", "VLAN reads back as 500, expected <script>alert(0)</script>"),
    ] {
        let vf = &mut vfs[vf];
        (vf.state, vf.reason) = (state, Some(reason.to_owned()));
        (vf.frames, vf.drops, vf.carrier, vf.sockets) = (None, None, None, None);
    }
    // The sensor of acme is too slow for a part of the time.
    let dropped = tick.saturating_sub(60) * 400;
    vfs[0].drops = Some(Counted { count: dropped, by: Counter::Pf });
}
