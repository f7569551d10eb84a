//! A tenant's Suricata: its start, and its alerts and frames after the traffic.

use std::time::Duration;

use lab::traffic::{Mac, Traffic, Verdict, mac};
use lab::{Error, Lab, Result};

use crate::tenants::Tenant;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The captured frames, and the number of the alerts. `None`: the receiver was no Suricata.
pub(crate) struct Findings {
    pub(crate) verdict: Verdict,
    pub(crate) alerts: Option<u32>,
}

/// Starts the sensor, and returns the MAC address of its VF once the sensor captures.
pub(crate) fn start(lab: &Lab, tenant: &Tenant) -> Result<Mac> {
    let Tenant { name, vlan, engine, command } = tenant;
    let log = folder(tenant);
    lab.write(&format!("{log}/local.rules"), include_str!("local.rules"))?;
    lab.ok(&format!(
        "{command} -d --name {name}-suricata --network none --cap-drop ALL --cap-add NET_RAW \
         --annotation io.runvf.vlan={vlan} -v {log}:/var/log/suricata \
         -v {log}/local.rules:/etc/suricata/rules/local.rules:ro runvf/suricata \
         /usr/local/bin/sensor --set outputs.2.pcap-log.enabled=yes"
    ))?;
    let started = format!("grep -q 'Engine started' {log}/suricata.log");
    if let Err(error) = lab.wait_until(TIMEOUT, &started) {
        let logs = lab.sh(&format!("{engine} logs {name}-suricata; cat {log}/suricata.log"))?;
        return Err(Error::Traffic(format!("{name}'s Suricata did not start: {error}\n{logs}")));
    }
    let address = lab.ok(&format!(
        "nsenter -n -t $({engine} inspect -f '{{{{.State.Pid}}}}' {name}-suricata) \
         ip -j link show mon0 | jq -r '.[0].address'"
    ))?;
    mac(address.text()).ok_or_else(|| Error::Traffic(format!("{name}'s Suricata has no mon0")))
}

/// Waits until the sensor has processed all frames, removes its container and returns its findings.
pub(crate) fn finish(lab: &Lab, tenant: &Tenant, traffic: &Traffic) -> Result<Findings> {
    let Tenant { name, vlan, engine, .. } = tenant;
    let log = folder(tenant);
    // Suricata processes frames in order in one thread, so its alert for the end mark, the last
    // frame, means that it has processed all of them.
    lab.wait_until(TIMEOUT, &format!("grep -q 'demo end' {log}/fast.log"))?;
    lab.ok(&format!("{engine} stop {name}-suricata && {engine} rm {name}-suricata"))?;
    let capture = lab.ok(&format!("ls {log}/log.pcap.*"))?.text().to_owned();
    let verdict = traffic.judge(&lab.pull(&capture)?, |flow| flow.vlan == Some(*vlan))?;
    let alerts = lab.ok(&format!("grep -c 'demo attack' {log}/fast.log || true"))?;
    let unreadable = |error| Error::Traffic(format!("the number of {name}'s alerts: {error}"));
    Ok(Findings { verdict, alerts: Some(alerts.text().parse().map_err(unreadable)?) })
}

fn folder(tenant: &Tenant) -> String {
    format!("/srv/{}/suricata", tenant.name)
}
