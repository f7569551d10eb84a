//! The metrics, as text.
//!
//! Names and labels follow node_exporter's proposal for VFs (`node_net_vf_info`). What describes a
//! VF but may change, such as its tenant, is a label of `runvf_vf_info` only, so that a counter
//! keeps its series. A counter that the kernel or the driver does not have is missing, and is never
//! 0.

pub(crate) mod histogram;
pub(crate) mod text;

mod monitor;

use std::fmt::Display;

use vf::{PfStatus, VfStatus};

use self::text::{Family, Text};
use crate::state::State;
use crate::view::View;

/// All states of a claim.
const STATES: [&str; 6] =
    ["claiming", "configured", "attached", "lost", "releasing", "quarantined"];

/// The text of all metrics.
pub(crate) fn render(view: &View, state: &State) -> String {
    let mut text = Text::default();
    let rows: Vec<Row> = view.vfs().map(Row::new).collect();
    describe_vfs(&mut text, &rows);
    count_frames(&mut text, &rows, view);
    count_gaps(&mut text, &rows, view);
    describe_pfs(&mut text, &view.pfs);
    count_claims(&mut text, view);
    count_procedures(&mut text, view);
    monitor::write(&mut text, view, state);
    text.into_string()
}

/// A VF with the labels that all its metrics have.
struct Row<'a> {
    pf: &'a PfStatus,
    vf: &'a VfStatus,
    index: String,
}

impl<'a> Row<'a> {
    fn new((pf, vf): (&'a PfStatus, &'a VfStatus)) -> Self {
        Self { pf, vf, index: vf.index.to_string() }
    }

    fn attached(&self) -> Option<&VfStatus> {
        Some(self.vf).filter(|vf| vf.state == "attached")
    }

    fn labels(&self) -> [(&'static str, &str); 3] {
        [("device", &self.pf.name), ("vf", &self.index), ("pci_address", &self.vf.vf)]
    }
}

/// Writes the value of each VF that has one.
fn each<V: Display>(mut family: Family, rows: &[Row], value: impl Fn(&Row) -> Option<V>) {
    for row in rows {
        if let Some(value) = value(row) {
            family.sample(&row.labels(), value);
        }
    }
}

fn describe_vfs(text: &mut Text, rows: &[Row]) {
    let help = "A VF: its settings on the PF, and the container that has it. Always 1.";
    let mut family = text.gauge("runvf_vf_info", help);
    for row in rows {
        let (settings, claim) = (&row.vf.settings, row.vf.claim.as_ref());
        let pod = claim.and_then(|claim| claim.pod.as_ref());
        let of_claim = |text: Option<&'_ str>| text.unwrap_or_default().to_owned();
        let labels = [
            ("vlan", settings.vlan.to_string()),
            ("mac", settings.mac.to_string()),
            ("trust", settings.trust.to_string()),
            ("spoof_check", settings.spoof_check.to_string()),
            ("driver", row.vf.driver.clone().unwrap_or_default()),
            ("tenant", of_claim(claim.and_then(|claim| claim.tenant.as_deref()))),
            ("container", of_claim(claim.map(|claim| claim.container.as_str()))),
            ("interface", of_claim(claim.map(|claim| claim.interface.as_str()))),
            ("namespace", of_claim(pod.map(|pod| pod.namespace.as_str()))),
            ("pod", of_claim(pod.map(|pod| pod.name.as_str()))),
            ("network", of_claim(claim.and_then(|claim| claim.network.as_deref()))),
        ];
        let more = labels.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<(&str, &str)> = row.labels().into_iter().chain(more).collect();
        family.sample(&all, 1);
    }
    let help = "The state of a VF, as `runvfctl status` shows it. Always 1.";
    let mut family = text.gauge("runvf_vf_state", help);
    for row in rows {
        let [device, vf, address] = row.labels();
        family.sample(&[device, vf, address, ("state", row.vf.state)], 1);
    }
    let help = "Whether the netdev of a VF has a carrier.";
    each(text.gauge("runvf_vf_carrier", help), rows, |row| row.vf.carrier.map(u8::from));
}

fn count_frames(text: &mut Text, rows: &[Row], view: &View) {
    let help = "Frames that a VF has received. Starts at 0 for each container.";
    let family = text.counter("runvf_vf_receive_packets_total", help);
    each(family, rows, |row| row.vf.frames.map(|frames| frames.count));
    let help = "Frames that a VF has lost because the sensor freed no buffer in time.";
    let family = text.counter("runvf_vf_receive_dropped_total", help);
    each(family, rows, |row| row.vf.drops.map(|drops| drops.count));
    let help = "Frames that the sensor's sockets without a ring have lost.";
    let family = text.counter("runvf_vf_socket_dropped_total", help);
    each(family, rows, |row| view.history.of(&row.vf.vf)?.sockets_lost());
    let help = "Sockets that capture the frames of a VF. The loss of those with a ring is unknown.";
    let mut family = text.gauge("runvf_vf_capture_sockets", help);
    for row in rows {
        let Some(sockets) = &row.vf.sockets else { continue };
        let with_ring = sockets.listed.iter().filter(|socket| socket.ring.is_some()).count();
        let [device, vf, address] = row.labels();
        for (ring, count) in [("yes", with_ring), ("no", sockets.listed.len() - with_ring)] {
            family.sample(&[device, vf, address, ("ring", ring)], count);
        }
    }
    let help = "The size of all rings that capture the frames of a VF.";
    each(text.gauge("runvf_vf_capture_ring_bytes", help), rows, |row| {
        let sockets = row.vf.sockets.as_ref()?;
        Some(sockets.listed.iter().filter_map(|socket| socket.ring).sum::<u64>())
    });
}

fn count_gaps(text: &mut Text, rows: &[Row], view: &View) {
    let help = "Whether a VF may not be promiscuous now, so that its sensor may be blind.";
    each(text.gauge("runvf_vf_blind", help), rows, |row| {
        row.vf.claim.as_ref().map(|_| u8::from(row.vf.blind.is_some()))
    });
    let help = "Whether something is wrong with an attached VF, which `runvfctl status` tells.";
    each(text.gauge("runvf_vf_in_doubt", help), rows, |row| {
        row.attached().map(|vf| u8::from(vf.reason.is_some() && !vf.idle))
    });
    let help = "Whether no process runs in the network namespace that has an attached VF.";
    each(text.gauge("runvf_vf_idle", help), rows, |row| row.attached().map(|vf| u8::from(vf.idle)));
    let help = "Whether the events of an attached VF reach the monitor.";
    each(text.gauge("runvf_vf_watched", help), rows, |row| {
        row.attached().map(|vf| u8::from(!view.is_unwatched(vf)))
    });
    let help = "Times that a VF may not have been promiscuous, since its container has it.";
    let family = text.counter("runvf_vf_gaps_total", help);
    each(family, rows, |row| Some(row.vf.claim.as_ref()?.blind.gaps));
    let help = "The length of these times, and of a present one until now.";
    let family = text.counter("runvf_vf_blind_seconds_total", help);
    each(family, rows, |row| Some(view.blind_time(row.vf.claim.as_ref()?).as_secs_f64()));
    let help = "Cgroups of other containers with processes in the VF's network namespace.";
    let family = text.gauge("runvf_vf_joined_cgroups", help);
    each(family, rows, |row| Some(row.vf.claim.as_ref()?.joined.len()));
}

fn describe_pfs(text: &mut Text, pfs: &[PfStatus]) {
    let mut family = text.gauge("runvf_pf_info", "A PF. Always 1.");
    for pf in pfs {
        let driver = pf.driver.as_deref().unwrap_or_default();
        let master = pf.master.as_deref().unwrap_or_default();
        let [device, address] = pf_labels(pf);
        family.sample(&[device, address, ("driver", driver), ("master", master)], 1);
    }
    let mut gauge = |name, help, value: &dyn Fn(&PfStatus) -> usize| {
        let mut family = text.gauge(name, help);
        pfs.iter().for_each(|pf| family.sample(&pf_labels(pf), value(pf)));
    };
    gauge("runvf_pf_up", "Whether a PF is up.", &|pf| usize::from(pf.up));
    gauge("runvf_pf_carrier", "Whether a PF has a carrier.", &|pf| usize::from(pf.carrier));
    gauge("runvf_pf_vfs", "The VFs of a PF.", &|pf| pf.vfs.len());
    gauge("runvf_pf_free_vfs", "The free VFs of a PF.", &|pf| {
        pf.vfs.iter().filter(|vf| vf.state == "free").count()
    });
    let help = "Frames that the PF's own interface has received.";
    let mut family = text.counter("runvf_pf_receive_packets_total", help);
    for pf in pfs {
        pf.frames.into_iter().for_each(|frames| family.sample(&pf_labels(pf), frames));
    }
    let help = "Frames that a PF's port has discarded. Each of its VFs may have missed some.";
    let mut family = text.counter("runvf_pf_receive_discards_total", help);
    for pf in pfs {
        let discards = pf.discards.into_iter();
        discards.for_each(|discards| family.sample(&pf_labels(pf), discards.count));
    }
}

fn pf_labels(pf: &PfStatus) -> [(&'static str, &str); 2] {
    [("device", &pf.name), ("pci_address", &pf.pf)]
}

fn count_claims(text: &mut Text, view: &View) {
    let mut family = text.gauge("runvf_claims", "The claims by state.");
    for state in STATES {
        let count = view.vfs().filter(|(_, vf)| vf.claim.is_some() && vf.state == state).count();
        family.sample(&[("state", state)], count);
    }
    let mut family = text.gauge("runvf_tenant_claims", "The VFs that a tenant has.");
    for tenant in &view.tenants {
        family.sample(&[("tenant", &tenant.name)], tenant.claims);
    }
    let mut family = text.gauge("runvf_tenant_max", "The VFs that a tenant may have at most.");
    for tenant in &view.tenants {
        let max = tenant.max.into_iter();
        max.for_each(|max| family.sample(&[("tenant", &tenant.name)], max));
    }
}

fn count_procedures(text: &mut Text, view: &View) {
    let totals = &view.totals;
    for (name, help, count) in [
        ("runvf_attaches_total", "VFs that were attached.", totals.attaches),
        ("runvf_releases_total", "VFs that were released.", totals.releases),
        (
            "runvf_forced_releases_total",
            "VFs that were taken from a container.",
            totals.forced_releases,
        ),
        ("runvf_refusals_total", "Requests that were refused.", totals.refusals),
        ("runvf_quarantines_total", "VFs that could not be cleaned.", totals.quarantines),
        ("runvf_losses_total", "VFs that a running container has lost.", totals.losses),
        (
            "runvf_changes_total",
            "Changes of an attached VF's VLAN, trust or link state by another tool.",
            totals.changes,
        ),
    ] {
        text.counter(name, help).sample(&[], count);
    }
    let help = "How long the attach of a VF took, from the choice of the VF on.";
    totals.attach_durations.write(text.histogram("runvf_attach_duration_seconds", help));
    let help = "How long the scrub of a VF took.";
    totals.release_durations.write(text.histogram("runvf_release_duration_seconds", help));
}

#[cfg(test)]
mod tests;
