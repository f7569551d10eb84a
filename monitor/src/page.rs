//! The page, and the data that it shows.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use vf::{CaptureSocket, PfStatus, VfStatus};

use crate::history::{INTERVAL, POINTS, Series};
use crate::view::View;

const HTML: &str = include_str!("../page/index.html");
/// Stands in the page for the nonce of its script and style.
const NONCE_MARK: &str = "NONCE";

/// The page, with the value of its `Content-Security-Policy`. Only the page's own script and style
/// have the nonce, so a name that a container chose can never run as a script.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn page() -> io::Result<(String, String)> {
    let mut random = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let nonce: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Ok((HTML.replace(NONCE_MARK, &nonce), policy))
}

/// What the page shows, as JSON on one line.
pub(crate) fn data(view: &View) -> String {
    let sensors = view.vfs().filter(|(_, vf)| !["free", "foreign"].contains(&vf.state));
    json!({
        "time": view.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        "interval": INTERVAL.as_secs(),
        "points": POINTS,
        "version": env!("CARGO_PKG_VERSION"),
        "sensors": sensors.map(|(pf, vf)| sensor(view, pf, vf)).collect::<Vec<_>>(),
        "pfs": view.pfs.iter().map(port).collect::<Vec<_>>(),
        "refusals": view.totals.refusals,
        "tenants": view.tenants.iter().map(|tenant| {
            json!({ "name": tenant.name, "claims": tenant.claims, "max": tenant.max })
        }).collect::<Vec<_>>(),
    })
    .to_string()
}

fn port(pf: &PfStatus) -> Value {
    json!({
        "name": pf.name,
        "pci": pf.pf,
        "driver": pf.driver,
        "state": if !pf.up { "down" } else if !pf.carrier { "no carrier" } else { "up" },
        "frames": pf.frames,
        "discards": pf.discards.map(|discards| discards.count),
        "vfs": pf.vfs.len(),
        "free": pf.vfs.iter().filter(|vf| vf.state == "free").count(),
    })
}

fn sensor(view: &View, pf: &PfStatus, vf: &VfStatus) -> Value {
    let series = view.history.of(&vf.vf);
    let claim = vf.claim.as_ref();
    json!({
        "tenant": claim.and_then(|claim| claim.tenant.as_deref()),
        "container": claim.map(|claim| &claim.container),
        "interface": claim.map(|claim| &claim.interface),
        "pod": claim.and_then(|claim| claim.pod.as_ref()).map(|pod| {
            format!("{}/{}", pod.namespace, pod.name)
        }),
        "network": claim.and_then(|claim| claim.network.as_deref()),
        "since": claim.and_then(vf::Claim::claimed_at),
        "vlan": vf.settings.vlan,
        "pf": pf.name,
        "vf": vf.index,
        "pci": vf.vf,
        "state": state(pf, vf, series),
        "reason": vf.reason,
        "frames": vf.frames.map(|frames| frames.count),
        "drops": vf.drops.map(|drops| drops.count),
        "lost": series.and_then(Series::sockets_lost),
        "sockets": vf.sockets.as_ref().map(|sockets| {
            json!({
                "listed": sockets.listed.iter().map(socket).collect::<Vec<_>>(),
                "more": sockets.more,
            })
        }),
        "gap": claim.and_then(|claim| claim.gap.as_ref()),
        "joined": claim.map(|claim| &claim.joined),
        "gaps": claim.map(|claim| claim.blind.gaps),
        "blind_seconds": claim.map(|claim| view.blind_time(claim).as_secs_f64()),
        "watched": !view.is_unwatched(vf),
        "history": series.map(history).unwrap_or_default(),
    })
}

/// What is most urgent about a sensor: the state of its claim, or what `attached` hides.
fn state(pf: &PfStatus, vf: &VfStatus, series: Option<&Series>) -> &'static str {
    match vf.state {
        "attached" if vf.blind.is_some() => "blind",
        "attached" if vf.carrier == Some(false) || !pf.carrier => "no carrier",
        "attached" if vf.idle => "idle",
        "attached" if vf.reason.is_some() => "in doubt",
        "attached" if series.is_some_and(Series::is_silent) => "silent",
        other => other,
    }
}

fn socket(socket: &CaptureSocket) -> Value {
    json!({ "inode": socket.inode, "ring": socket.ring, "lost": socket.lost })
}

/// Frames and lost frames per second, rounded to a tenth. `null`: unknown.
fn history(series: &Series) -> Vec<[Option<f64>; 2]> {
    let round = |rate: f32| (f64::from(rate) * 10.0).round() / 10.0;
    let points = series.points.iter();
    points.map(|point| [point.frames.map(round), point.drops.map(round)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invented::{self, Moment};

    #[test]
    fn the_page_is_self_contained_and_only_its_own_script_may_run() {
        let (html, policy) = page().unwrap();
        assert!(!html.contains(NONCE_MARK) && !html.contains("http"), "{html}");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(nonce.len(), 32);
        for element in ["script", "style"] {
            assert_eq!(html.matches(&format!("<{element}")).count(), 1);
            assert!(html.contains(&format!("<{element} nonce=\"{nonce}\">")));
        }
        // The policy forbids both.
        for attribute in [" style=", " onclick=", "innerHTML"] {
            assert!(!html.contains(attribute), "{attribute}");
        }
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"));
        assert_ne!(page().unwrap().1, policy);
    }

    #[test]
    fn a_vf_of_an_idle_netns_is_idle_and_a_pod_is_named() {
        let mut view = invented::view_after(Moment::Calm, 1);
        let vfs = &mut view.pfs[0].vfs;
        (vfs[0].idle, vfs[0].reason) = (true, Some("no process runs".to_owned()));
        let claim = vfs[0].claim.as_mut().unwrap();
        claim.network = Some("sensors".to_owned());
        let pod = json!({ "namespace": "ns", "name": "p", "sandbox": "5a" });
        claim.pod = serde_json::from_value(pod).unwrap();
        let data: Value = serde_json::from_str(&data(&view)).unwrap();
        let sensor = &data["sensors"][0];
        assert_eq!(
            (&sensor["state"], &sensor["pod"], &sensor["network"]),
            (&json!("idle"), &json!("ns/p"), &json!("sensors"))
        );
        assert_eq!(data["sensors"][1]["pod"], Value::Null);
    }

    #[test]
    fn data_has_each_sensor_with_its_most_urgent_state() {
        let data: Value = serde_json::from_str(&data(&invented::view(Moment::Trouble))).unwrap();
        let of = |tenant: &str| {
            let sensors = data["sensors"].as_array().unwrap();
            sensors.iter().find(|sensor| sensor["tenant"] == tenant).unwrap().clone()
        };
        let states = ["acme", "bravo", "civic", "delta", "echo", "fox"].map(of);
        assert_eq!(
            states.each_ref().map(|sensor| sensor["state"].as_str().unwrap()),
            ["attached", "blind", "silent", "lost", "quarantined", "no carrier"]
        );
        let acme = &states[0];
        assert_eq!((&acme["vlan"], &acme["pf"]), (&json!(100), &json!("pf0")));
        assert_eq!(acme["history"].as_array().unwrap().len(), POINTS);
        assert_eq!(states[1]["gap"]["until"], Value::Null);
    }
}
