//! `runvfctl status`: a table, or the values of the library as JSON.

mod names;
mod rates;
mod settings;
mod watch;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use vf::{BlindTotal, Claim, Counted, Error, Gap, Host, PfStatus, VfStatus};

use self::rates::Rates;
use crate::table::aligned;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show the settings that the kernel reports for attached VFs: queues, rings, offloads, and
    /// whether the container may send
    #[arg(long, conflicts_with = "watch")]
    settings: bool,
    /// Refresh every SECONDS (2 by default) and show frames per second; with --json, print one
    /// document per line. Ends on Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400),
    )]
    watch: Option<u64>,
}

/// Returns the text to print; with `--watch` it is printed here, and the result is empty.
pub(crate) fn run(host: &Host, options: &Options) -> Result<String, Error> {
    if options.settings {
        return settings::run(host, options.json);
    }
    let Some(seconds) = options.watch else {
        return Ok(show(&Snapshot::take(host, &mut Rates::default())?, options));
    };
    let mut rates = Rates::default();
    let between = if options.json { "" } else { "\n" };
    watch::every(Duration::from_secs(seconds), between, || {
        Ok(show(&Snapshot::take(host, &mut rates)?, options))
    })?;
    Ok(String::new())
}

/// The state of all PFs, with the names of the containers and the rates of the VFs.
struct Snapshot {
    pfs: Vec<PfStatus>,
    /// Container names by id; for the sandbox of a Kubernetes pod, NAMESPACE/POD.
    names: HashMap<String, String>,
    /// Frames per second by PCI address; empty in the first snapshot.
    rates: HashMap<String, u64>,
}

impl Snapshot {
    fn take(host: &Host, rates: &mut Rates) -> Result<Self, Error> {
        let pfs = vf::status(host)?;
        let claims = vfs(&pfs).filter_map(|vf| vf.claim.as_ref());
        let name = |claim: &Claim| {
            let pod = claim.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
            let init = claim.init.map(|init| init.pid);
            let name = pod.or_else(|| names::name(Path::new("/"), &claim.container, init))?;
            Some((claim.container.clone(), name))
        };
        let names = claims.filter_map(name).collect();
        let rates = rates.since_last(vfs(&pfs));
        Ok(Self { pfs, names, rates })
    }
}

fn vfs(pfs: &[PfStatus]) -> impl Iterator<Item = &VfStatus> {
    pfs.iter().flat_map(|pf| &pf.vfs)
}

fn show(snapshot: &Snapshot, options: &Options) -> String {
    match (options.json, options.watch) {
        (false, _) => table(snapshot),
        (true, None) => format!("{:#}\n", as_json(snapshot)),
        (true, Some(_)) => format!("{}\n", as_json(snapshot)),
    }
}

fn as_json(snapshot: &Snapshot) -> Value {
    let mut all = json!(snapshot.pfs);
    let vfs = all.as_array_mut().into_iter().flatten();
    for vf in vfs.filter_map(|pf| pf["vfs"].as_array_mut()).flatten() {
        let id = vf["claim"]["container"].as_str();
        vf["container_name"] = json!(id.and_then(|id| snapshot.names.get(id)));
        vf["frames_per_second"] = json!(vf["vf"].as_str().and_then(|vf| snapshot.rates.get(vf)));
    }
    all
}

const HEADER: [&str; 13] = [
    "PF",
    "VF",
    "ADDRESS",
    "STATE",
    "VLAN",
    "TRUST",
    "TENANT",
    "CONTAINER",
    "NAME",
    "AS",
    "FRAMES",
    "DROPS",
    "SINCE",
];

fn table(snapshot: &Snapshot) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for pf in &snapshot.pfs {
        let name = pf_name(pf);
        if pf.vfs.is_empty() {
            let mut cells = ["-"; 13].map(str::to_owned);
            (cells[0], cells[1], cells[2]) =
                (name.clone(), format!("none of {}", pf.total), pf.pf.clone());
            rows.push(cells);
        }
        rows.extend(pf.vfs.iter().map(|vf| row(&name, vf, snapshot)));
    }
    let mut text = aligned(&rows);
    for rows in [ports(&snapshot.pfs), sockets(&snapshot.pfs)] {
        if rows.len() > 1 {
            let _ = write!(text, "\n{}", aligned(&rows));
        }
    }
    for vf in vfs(&snapshot.pfs) {
        if let Some(reason) = &vf.reason {
            let _ = writeln!(text, "\n{} is {}: {reason}", vf.vf, vf.state);
        }
        if let Some(gap) = vf.claim.as_ref().and_then(|claim| claim.gap.as_ref()) {
            let Gap { since, until, reason } = gap;
            let end = until.as_ref().map_or_else(|| "now".to_owned(), Clone::clone);
            let _ =
                writeln!(text, "\n{} may have been blind from {since} to {end}: {reason}", vf.vf);
        }
        if let Some(claim) = vf.claim.as_ref().filter(|claim| claim.blind.gaps > 1) {
            let BlindTotal { gaps, milliseconds } = claim.blind;
            let seconds = Duration::from_millis(milliseconds).as_secs_f64();
            let _ = writeln!(text, "{}: {gaps} such gaps so far, {seconds:.1} s in total", vf.vf);
        }
        for cgroup in vf.claim.iter().flat_map(|claim| &claim.joined) {
            let _ = writeln!(text, "\n{}: a process of {cgroup} joined its network", vf.vf);
        }
    }
    text
}

/// What the ports have received and discarded.
fn ports(pfs: &[PfStatus]) -> Vec<[String; 4]> {
    let mut rows = vec![["PF", "FRAMES", "DISCARDS", "COUNTER"].map(str::to_owned)];
    for pf in pfs {
        let (Some(frames), Some(discards)) = (pf.frames, pf.discards) else { continue };
        let (count, by) = (discards.count.to_string(), discards.by.to_owned());
        rows.push([pf.name.clone(), frames.to_string(), count, by]);
    }
    rows
}

/// The sockets of the sensors, and what each has lost.
fn sockets(pfs: &[PfStatus]) -> Vec<[String; 4]> {
    let mut rows = vec![["ADDRESS", "SOCKET", "RING", "LOST"].map(str::to_owned)];
    for vf in vfs(pfs) {
        let Some(sockets) = &vf.sockets else { continue };
        rows.extend(sockets.listed.iter().map(|socket| {
            let ring = socket.ring.map_or_else(|| "-".to_owned(), mebibytes);
            let lost = socket.lost.map_or_else(|| "unknown".to_owned(), |lost| lost.to_string());
            [vf.vf.clone(), socket.inode.to_string(), ring, lost]
        }));
        if sockets.more > 0 {
            let more = format!("and {} more", sockets.more);
            rows.push([vf.vf.clone(), more, "-".to_owned(), "-".to_owned()]);
        }
    }
    rows
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, (bytes % (1 << 20) * 10) >> 20)
}

/// The PF's name, with what makes it differ from a PF that is up and stands alone.
fn pf_name(pf: &PfStatus) -> String {
    let port = pf.master.as_ref().map(|master| format!("port of {master}"));
    let remarks: Vec<String> =
        (!pf.up).then(|| "down".to_owned()).into_iter().chain(port).collect();
    match remarks.is_empty() {
        true => pf.name.clone(),
        false => format!("{} ({})", pf.name, remarks.join(", ")),
    }
}

fn row(pf: &str, vf: &VfStatus, snapshot: &Snapshot) -> [String; 13] {
    let claim = vf.claim.as_ref();
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let short = |text: &str| text.chars().take(12).collect::<String>();
    let name = claim.and_then(|claim| snapshot.names.get(&claim.container));
    let count = |counted: Option<Counted>| {
        counted.map_or_else(|| "-".to_owned(), |counted| counted.count.to_string())
    };
    let rate = snapshot.rates.get(&vf.vf).map(|rate| format!(" (+{rate}/s)")).unwrap_or_default();
    let trust = if vf.settings.trust { "on" } else { "off" };
    [
        pf.to_owned(),
        vf.index.to_string(),
        vf.vf.clone(),
        vf.state.to_owned(),
        vf.settings.vlan.to_string(),
        trust.to_owned(),
        or_dash(claim.and_then(|claim| claim.tenant.as_deref())),
        or_dash(claim.map(|claim| short(&claim.container)).as_deref()),
        or_dash(name.map(String::as_str)),
        or_dash(claim.map(|claim| claim.interface.as_str())),
        count(vf.frames) + &rate,
        count(vf.drops),
        or_dash(claim.and_then(Claim::claimed_at).as_deref()),
    ]
}

#[cfg(test)]
mod tests;
