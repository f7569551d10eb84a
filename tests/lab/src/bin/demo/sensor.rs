//! A tenant's sensor: its start, and its findings after the traffic.

use std::time::Duration;

use lab::traffic::{Mac, Traffic, Verdict, mac};
use lab::{Error, Lab, Result};

use crate::tenants::Tenant;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The captured frames of a sensor, and the number of its alerts. tcpdump raises none.
pub(crate) struct Findings {
    pub(crate) verdict: Verdict,
    pub(crate) alerts: Option<u32>,
}

/// Starts a tenant's sensor and returns the MAC address of its VF once the sensor captures.
pub(crate) fn start(lab: &Lab, tenant: &Tenant) -> Result<Mac> {
    let Tenant { name, vlan, engine, sensor, command } = tenant;
    let log = format!("/srv/{name}");
    lab.write(&format!("{log}/local.rules"), include_str!("local.rules"))?;
    let (image, ready) = match *sensor {
        "suricata" => (
            format!(
                "-v {log}:/var/log/suricata \
                 -v {log}/local.rules:/etc/suricata/rules/local.rules:ro runvf/suricata \
                 /usr/local/bin/sensor --set outputs.2.pcap-log.enabled=yes"
            ),
            format!("grep -q 'Engine started' {log}/suricata.log"),
        ),
        _ => (format!("-v {log}:/var/log/sensor runvf/tcpdump"), format!("[ -s {log}/mon0.pcap ]")),
    };
    lab.ok(&format!(
        "{command} -d --name {name} --cap-drop ALL --cap-add NET_RAW \
         --annotation io.runvf.vlan={vlan} {image}"
    ))?;
    if let Err(error) = lab.wait_until(TIMEOUT, &ready) {
        let logs = lab.sh(&format!("{engine} logs {name}; cat {log}/suricata.log"))?;
        return Err(Error::Traffic(format!(
            "the {sensor} of {name} did not start: {error}\n{logs}"
        )));
    }
    let address = lab.ok(&format!(
        "nsenter -n -t $({engine} inspect -f '{{{{.State.Pid}}}}' {name}) \
         ip -j link show mon0 | jq -r '.[0].address'"
    ))?;
    mac(address.text()).ok_or_else(|| Error::Traffic(format!("{name} has no mon0")))
}

/// Waits until the sensor has processed all frames, removes its container and returns its findings.
pub(crate) fn finish(lab: &Lab, tenant: &Tenant, traffic: &Traffic) -> Result<Findings> {
    let Tenant { name, vlan, engine, sensor, .. } = tenant;
    let log = format!("/srv/{name}");
    let suricata = *sensor == "suricata";
    if suricata {
        // Suricata processes frames in order in one thread, so its alert for the last frame means
        // that it has processed all of them.
        lab.wait_until(TIMEOUT, &format!("grep -q 'demo end' {log}/fast.log"))?;
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
    Ok(Findings { verdict, alerts })
}
