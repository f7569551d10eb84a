//! The monitor's own health.

use std::fs;
use std::time::UNIX_EPOCH;

use crate::metrics::text::Text;
use crate::state::State;
use crate::view::View;

pub(super) fn write(text: &mut Text, view: &View, state: &State) {
    let version = env!("CARGO_PKG_VERSION");
    let mut family = text.gauge("runvf_monitor_build_info", "The version. Always 1.");
    family.sample(&[("version", version)], 1);
    let health = &state.health;
    for (name, help, counter) in [
        ("runvf_monitor_events_total", "Events that the kernel sent.", &health.events),
        (
            "runvf_monitor_overruns_total",
            "Times that the kernel dropped events. A look at all VFs followed.",
            &health.overruns,
        ),
        ("runvf_monitor_looks_total", "Looks at one VF.", &health.looks),
        ("runvf_monitor_full_looks_total", "Looks at all VFs.", &health.full_looks),
        ("runvf_monitor_rearms_total", "VFs that were re-armed.", &health.rearmed),
        (
            "runvf_monitor_restorations_total",
            "Changes of VLAN, trust or link state that were set back.",
            &health.set_back,
        ),
        ("runvf_monitor_losses_total", "VFs that the monitor found lost.", &health.lost),
        (
            "runvf_monitor_blind_looks_total",
            "Looks at a VF that may be blind and could not be re-armed then.",
            &health.blind,
        ),
        ("runvf_monitor_releases_total", "VFs that the monitor released.", &health.released),
        (
            "runvf_monitor_quarantines_total",
            "VFs that the monitor could not clean.",
            &health.quarantined,
        ),
        ("runvf_monitor_errors_total", "Looks that failed.", &health.errors),
    ] {
        text.counter(name, help).sample(&[], counter.get());
    }
    let help = "Attached VFs that the monitor gets the events of.";
    text.gauge("runvf_monitor_watched_vfs", help).sample(&[], view.watched.len());
    let help = "How long the oldest look takes that has not ended. 0: there is none.";
    let oldest = state.oldest_look().as_secs_f64();
    text.gauge("runvf_monitor_oldest_look_seconds", help).sample(&[], oldest);
    let help = "When the monitor has last looked at the host for these metrics.";
    let family = &mut text.gauge("runvf_monitor_view_timestamp_seconds", help);
    let seconds = view.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    family.sample(&[], seconds);
    let help = "How long that took.";
    text.gauge("runvf_monitor_view_duration_seconds", help).sample(&[], view.took.as_secs_f64());
    if let Some(bytes) = resident_bytes() {
        let help = "The memory of the monitor.";
        text.gauge("runvf_monitor_resident_memory_bytes", help).sample(&[], bytes);
    }
}

/// Field 2 of `/proc/self/statm` in pages (`proc(5)`).
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
