//! The demo: three tenants' sensors on one SR-IOV host, and who saw what.
//!
//! Exit status 0 only if every sensor got each frame of its tenant's VLAN and none of another's.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lab::traffic::{Class, Flow, Mac, Traffic, Verdict, mac};
use lab::{Error, Lab, Result};

struct Tenant {
    name: &'static str,
    vlan: u16,
    engine: &'static str,
    sensor: &'static str,
    how: &'static str,
}

const TENANTS: [Tenant; 3] = [
    Tenant {
        name: "acme",
        vlan: 100,
        engine: "docker",
        sensor: "suricata",
        how: "docker run --runtime runvf",
    },
    Tenant {
        name: "bravo",
        vlan: 200,
        engine: "docker",
        sensor: "suricata",
        how: "docker run --runtime runvf",
    },
    Tenant { name: "civic", vlan: 300, engine: "podman", sensor: "tcpdump", how: "podman run" },
];

/// The tenant whose traffic holds what the rule names.
const ATTACKED: u16 = 200;
const FOREIGN: u16 = 400;
const FRAMES: u32 = 100;
const ATTACKS: u32 = 5;

const RULES: &str = "\
alert udp any any -> any any (msg:\"demo attack\"; content:\"runvf-evil\"; sid:1; rev:1;)
alert udp any any -> any any (msg:\"demo end\"; content:\"runvf-demo-end\"; sid:2; rev:1;)
";

fn main() -> ExitCode {
    match demo() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<bool> {
    let started = Instant::now();
    let step = |what: &str| {
        let _ = writeln!(std::io::stderr(), "[{:>4} s] {what}", started.elapsed().as_secs());
    };
    step("the emulated SR-IOV host (built when it is not there yet: some minutes)");
    let lab = Lab::restore()?;
    step("installing runvf in it");
    lab.install_runvf()?;
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n")?;

    let mut stations = Vec::new();
    for tenant in &TENANTS {
        step(&format!(
            "{}: {} on VLAN {}, by `{}`",
            tenant.name, tenant.sensor, tenant.vlan, tenant.how
        ));
        stations.push(start(&lab, tenant)?);
    }
    show(&lab.ok("runvfctl status")?.stdout);

    let traffic = traffic(&stations);
    let count: u32 = traffic.flows().iter().map(|flow| flow.count).sum();
    step(&format!("sending {count} frames into the mirror port"));
    traffic.play(&lab, "mirror0")?;
    step("stopping the sensors, reading what they saw");
    let mut seen = Vec::new();
    for tenant in &TENANTS {
        seen.push(finish(&lab, tenant, &traffic)?);
    }
    let left = lab.ok("runvfctl status")?.stdout;
    let clean = lab.sh("ip link show pf0 | grep -E 'vf .*(vlan|trust on)'")?.status == 1
        && lab.ok("ls -A /run/runvf/claims")?.text().is_empty();
    show(&left);
    Ok(report(&traffic, &seen, clean))
}

fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "\n{text}");
}

/// Starts a tenant's sensor and returns its VF's address once it captures.
fn start(lab: &Lab, tenant: &Tenant) -> Result<Mac> {
    let Tenant { name, vlan, engine, sensor, how } = tenant;
    let log = format!("/srv/{name}");
    lab.write(&format!("{log}/local.rules"), RULES)?;
    let (image, ready) = match *sensor {
        "suricata" => (
            format!(
                "-v {log}:/var/log/suricata -v {log}/local.rules:/etc/suricata/rules/local.rules:ro runvf/suricata \
                 /usr/local/bin/sensor --set outputs.2.pcap-log.enabled=yes"
            ),
            format!("grep -q 'Engine started' {log}/suricata.log"),
        ),
        _ => (format!("-v {log}:/var/log/sensor runvf/tcpdump"), format!("[ -s {log}/mon0.pcap ]")),
    };
    lab.ok(&format!("{how} -d --name {name} --cap-drop ALL --cap-add NET_RAW --annotation io.runvf.vlan={vlan} {image}"))?;
    if let Err(error) = lab.wait_until(Duration::from_secs(60), &ready) {
        let said = lab.sh(&format!("{engine} logs {name}; cat {log}/suricata.log"))?;
        return Err(Error::Traffic(format!(
            "{name}'s {sensor} did not get ready: {error}\n{said}"
        )));
    }
    let address = lab.ok(&format!(
        "nsenter -n -t $({engine} inspect -f '{{{{.State.Pid}}}}' {name}) ip -j link show mon0 | jq -r '.[0].address'"
    ))?;
    mac(address.text()).ok_or_else(|| Error::Traffic(format!("{name} has no mon0")))
}

/// Each class on each VLAN, the foreign one and none; unicast to a tenant's own address on its VLAN, and to all of them where
/// nobody listens.
fn traffic(stations: &[Mac]) -> Traffic {
    let mut traffic = Traffic::new();
    for (tenant, station) in TENANTS.iter().zip(stations) {
        traffic = traffic.send_all(&[Some(tenant.vlan)], &[*station], FRAMES);
    }
    traffic = traffic.send_all(&[Some(FOREIGN), None], stations, FRAMES);
    for vlan in [ATTACKED, FOREIGN] {
        traffic = traffic.send(Some(vlan), Class::Pattern("runvf-evil".to_owned()), ATTACKS);
    }
    for tenant in &TENANTS {
        traffic = traffic.send(Some(tenant.vlan), Class::Pattern("runvf-demo-end".to_owned()), 1);
    }
    traffic
}

/// What a sensor recorded, and the alerts it raised.
struct Seen {
    verdict: Verdict,
    alerts: Option<u32>,
}

fn finish(lab: &Lab, tenant: &Tenant, traffic: &Traffic) -> Result<Seen> {
    let Tenant { name, vlan, engine, sensor, .. } = tenant;
    let log = format!("/srv/{name}");
    let suricata = *sensor == "suricata";
    if suricata {
        // Its one thread takes frames in their order: once it has alerted on the last, it has seen the others.
        lab.wait_until(Duration::from_secs(60), &format!("grep -q 'demo end' {log}/fast.log"))?;
    } else {
        traffic.wait_for_end(lab, &format!("{log}/mon0.pcap"), Some(*vlan))?;
    }
    lab.ok(&format!("{engine} stop {name} && {engine} rm {name}"))?;
    let capture = match suricata {
        true => lab.ok(&format!("ls {log}/log.pcap.*"))?.text().to_owned(),
        false => format!("{log}/mon0.pcap"),
    };
    let verdict = traffic.judge(&lab.pull(&capture)?, |flow| flow.vlan == Some(*vlan))?;
    let alerts = match suricata {
        true => {
            lab.ok(&format!("grep -c 'demo attack' {log}/fast.log || true"))?.text().parse().ok()
        }
        false => None,
    };
    Ok(Seen { verdict, alerts })
}

fn report(traffic: &Traffic, seen: &[Seen], clean: bool) -> bool {
    let sent = |vlan: Option<u16>| -> u32 {
        traffic.flows().iter().filter(|flow| flow.vlan == vlan).map(|flow: &Flow| flow.count).sum()
    };
    let mut rows = vec![vec!["".to_owned(), "sent".to_owned()]];
    rows[0].extend(TENANTS.iter().map(|tenant| format!("{} saw", tenant.name)));
    let vlans = TENANTS.iter().map(|tenant| Some(tenant.vlan)).chain([Some(FOREIGN), None]);
    for vlan in vlans {
        let name = match vlan {
            Some(FOREIGN) => format!("VLAN {FOREIGN} (nobody's)"),
            Some(vlan) => format!("VLAN {vlan}"),
            None => "untagged".to_owned(),
        };
        let mut row = vec![name, sent(vlan).to_string()];
        row.extend(seen.iter().map(|seen| seen.verdict.on_vlan(vlan).to_string()));
        rows.push(row);
    }
    let mut alerts = vec!["alerts".to_owned(), ATTACKS.to_string()];
    alerts.extend(
        seen.iter().map(|seen| seen.alerts.map_or("-".to_owned(), |count| count.to_string())),
    );
    rows.push(alerts);
    let mut good = clean;
    let mut last = vec!["verdict".to_owned(), String::new()];
    for (tenant, seen) in TENANTS.iter().zip(seen) {
        let expected = if tenant.vlan == ATTACKED { ATTACKS } else { 0 };
        let exact = seen.verdict.is_exact() && seen.alerts.is_none_or(|alerts| alerts == expected);
        good &= exact;
        last.push(if exact { "exact" } else { "WRONG" }.to_owned());
        if !seen.verdict.is_exact() {
            show(&format!("{}: {}", tenant.name, seen.verdict));
        }
    }
    rows.push(last);
    for row in &rows {
        let cells: Vec<String> = row.iter().map(|cell| format!("{cell:<20}")).collect();
        let _ = writeln!(std::io::stdout(), "{}", cells.join(" ").trim_end());
    }
    show(match (good, clean) {
        (true, _) => "isolation and delivery are exact; every VF is clean and free again",
        (false, true) => "isolation or delivery is NOT exact",
        (false, false) => "a VF was not given back clean",
    });
    good
}
