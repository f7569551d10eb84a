//! `runvfctl audit`: the audit log as a table. An attachment and its end share one row.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::SystemTime;

use clap::Args;
use vf::{Audit, Entry, Event, Host, MoreRefused, VlanProto};

use crate::error::Error;
use crate::table::aligned;

#[derive(Default, Args)]
pub(crate) struct Options {
    /// Show only attachments that are active or ended after this time: an age (`2h`, `7days`) or a
    /// UTC time (`2026-01-31`, `2026-01-31T12:00:00Z`)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Show only this VLAN
    #[arg(long, value_name = "VLAN")]
    vlan: Option<u32>,
    /// Show only this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Show only containers with this id prefix
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Print the entries of the log as a JSON array
    #[arg(long)]
    json: bool,
}

fn since(typed: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(typed) {
        return SystemTime::now().checked_sub(ago).ok_or_else(|| "the age is too large".to_owned());
    }
    let whole = if typed.len() == "2026-01-31".len() { "T00:00:00Z" } else { "" };
    humantime::parse_rfc3339_weak(&format!("{typed}{whole}")).map_err(|_| {
        "expected an age such as `2h`, or a time such as `2026-01-31T12:00:00Z`".to_owned()
    })
}

pub(crate) fn run(host: &Host, options: &Options) -> Result<String, Error> {
    let audit = vf::audit(host)?;
    for damaged in &audit.damaged {
        let _ = writeln!(std::io::stderr(), "runvfctl: warning: {damaged}; skipped");
    }
    if options.json {
        let last = last_entries(&audit.entries);
        let all = audit.entries.iter().enumerate();
        let entries = all.filter(|(index, entry)| {
            let is_last = last.get(&key(entry)) == Some(index);
            options.matches(entry, is_last && is_active(entry, &audit))
        });
        let entries: Vec<&Entry> = entries.map(|(_, entry)| entry).collect();
        return Ok(serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n");
    }
    Ok(table(&audit, options))
}

fn table(audit: &Audit, options: &Options) -> String {
    let last = last_entries(&audit.entries);
    let mut rows = vec![HEADER.map(str::to_owned)];
    for (index, entry) in audit.entries.iter().enumerate() {
        let is_last = last.get(&key(entry)).is_none_or(|last| *last == index);
        // An attachment and its end share a row, that of the last entry: an end has all fields of
        // its attachment. An end that was written twice is also shown once.
        let shares_row = matches!(entry.event, Event::Attached | Event::Released | Event::Forced);
        let is_shown = match entry.event {
            // A `gc` that was killed after the entry leaves an earlier one of the same gap.
            Event::Blind => !has_later_end(entry, &audit.entries[index + 1..]),
            _ => is_last || !shares_row,
        };
        if is_shown && options.matches(entry, is_active(entry, audit)) {
            rows.push(row(entry, audit));
        }
    }
    aligned(&rows)
}

/// Whether an attachment without an end is still active: it was made since the last boot.
fn is_active(entry: &Entry, audit: &Audit) -> bool {
    entry.event == Event::Attached && entry.boot.as_ref() == Some(&audit.boot)
}

/// The key that an attachment and its end share: the claim and the VF, because a container's VFs
/// are claimed together.
fn key(entry: &Entry) -> (Option<&str>, Option<&str>) {
    (entry.claim.as_deref(), entry.vf.as_deref())
}

/// Whether a gap has another entry.
fn has_later_end(gap: &Entry, later: &[Entry]) -> bool {
    let is_same = |entry: &Entry| {
        entry.event == Event::Blind && key(entry) == key(gap) && entry.since == gap.since
    };
    later.iter().any(is_same)
}

/// The index of the last entry of each claim. A change of a VF's settings, a gap, or a
/// process that joined, is not an end.
fn last_entries(entries: &[Entry]) -> BTreeMap<(Option<&str>, Option<&str>), usize> {
    let claimed = entries.iter().enumerate();
    let is_no_end = |event| matches!(event, Event::Changed | Event::Blind | Event::Joined);
    let claimed = claimed.filter(|(_, entry)| entry.claim.is_some() && !is_no_end(entry.event));
    claimed.map(|(index, entry)| (key(entry), index)).collect()
}

impl Options {
    /// An active attachment matches every `--since`.
    fn matches(&self, entry: &Entry, is_active: bool) -> bool {
        let recent = |since| humantime::parse_rfc3339(&entry.time).is_ok_and(|time| time >= since);
        let has_vlan = |vlan| entry.vlan == vlan || entry.more.iter().any(|more| more.vlan == vlan);
        self.vlan.is_none_or(has_vlan)
            && self.tenant.as_ref().is_none_or(|tenant| entry.tenant.as_ref() == Some(tenant))
            && self.container.as_ref().is_none_or(|id| entry.container.starts_with(id))
            && (is_active || self.since.is_none_or(recent))
    }
}

const HEADER: [&str; 10] =
    ["FROM", "TO", "EVENT", "VLAN", "VF", "PF", "TENANT", "CONTAINER", "AS", "REASON"];

fn row(entry: &Entry, audit: &Audit) -> [String; 10] {
    let or_dash = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
    let to = match entry.event {
        Event::Attached if entry.boot.as_ref() != Some(&audit.boot) => "reboot".to_owned(),
        Event::Attached | Event::Refused | Event::Suppressed => "-".to_owned(),
        // The gap had not ended.
        Event::Blind => or_dash(entry.until.as_ref()),
        _ => entry.until.as_ref().unwrap_or(&entry.time).clone(),
    };
    [
        entry.since.as_ref().unwrap_or(&entry.time).clone(),
        to,
        format!("{:?}", entry.event).to_lowercase(),
        with_more(vlan(entry.vlan, entry.proto), entry, |more| vlan(more.vlan, more.proto)),
        or_dash(entry.vf.as_ref()),
        or_dash(entry.pf.as_ref()),
        or_dash(entry.tenant.as_ref()),
        container(entry),
        with_more(entry.interface.clone(), entry, |more| more.interface.clone()),
        entry.reason.clone().unwrap_or_default(),
    ]
}

/// The beginning of the container's id, and its Kubernetes pod.
fn container(entry: &Entry) -> String {
    let short: String = entry.container.chars().take(12).collect();
    match (&entry.namespace, &entry.pod) {
        (Some(namespace), Some(pod)) => format!("{short} ({namespace}/{pod})"),
        _ => short,
    }
}

fn vlan(vlan: u32, proto: VlanProto) -> String {
    match (vlan, proto) {
        (0, _) => "-".to_owned(),
        (_, VlanProto::Dot1Q) => vlan.to_string(),
        (_, other) => format!("{vlan} {other}"),
    }
}

/// The value of the first interface, then the values of a refused request's other interfaces.
fn with_more(first: String, entry: &Entry, value: impl Fn(&MoreRefused) -> String) -> String {
    let all: Vec<String> = [first].into_iter().chain(entry.more.iter().map(value)).collect();
    all.join(",")
}

#[cfg(test)]
mod tests;
