//! A tenant's Argus: its start, and its flow records after the traffic.

use std::time::Duration;

use lab::traffic::Traffic;
use lab::{Error, Lab, Result};

use crate::tenants::Tenant;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A number of flows, and of the packets in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flows {
    pub(crate) flows: u32,
    pub(crate) packets: u32,
}

impl Flows {
    /// What a sensor on `vlan` must find: the flows of the traffic, and that of the end mark.
    pub(crate) fn sent(traffic: &Traffic, vlan: u16) -> Self {
        let end_mark = Self { flows: 1, packets: 1 };
        let flows = traffic.flows().iter().filter(|flow| flow.vlan == Some(vlan));
        flows.fold(end_mark, |sum, flow| Self {
            flows: sum.flows + 1,
            packets: sum.packets + flow.count,
        })
    }
}

/// Starts the sensor, and returns once it has written its first record.
pub(crate) fn start(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let Tenant { name, vlan, engine, command } = tenant;
    let log = folder(tenant);
    // The sensor does not run as root.
    lab.ok(&format!("mkdir -p {log}; chmod 1777 {log}"))?;
    lab.ok(&format!(
        "{command} -d --name {name}-argus --network none --tmpfs /run:mode=1777 \
         --cap-drop ALL --cap-add NET_RAW --annotation io.runvf.vlan={vlan} \
         -v {log}:/var/log/argus runvf/argus"
    ))?;
    if let Err(error) = lab.wait_until(TIMEOUT, &format!("{engine} exec {name}-argus health")) {
        let logs = lab.sh(&format!("{engine} logs {name}-argus"))?;
        return Err(Error::Traffic(format!("{name}'s Argus did not start: {error}\n{logs}")));
    }
    Ok(())
}

/// Stops the sensor, which writes its last records, removes its container and returns its flows.
pub(crate) fn finish(lab: &Lab, tenant: &Tenant) -> Result<Flows> {
    let Tenant { name, engine, .. } = tenant;
    lab.ok(&format!("{engine} stop {name}-argus && {engine} rm {name}-argus"))?;
    // Argus writes a record each 5 s for a flow; racluster merges the records of a flow.
    let records = lab.ok(&format!(
        "docker run --rm --network none -v {}:/data:ro runvf/argus racluster -n -c , \
         -m proto saddr sport daddr dport -r /data/argus.out -s spkts - udp | grep '^[0-9]' || true",
        folder(tenant)
    ))?;
    let unreadable = |error| Error::Traffic(format!("the records of {name}'s Argus: {error}"));
    let packets: Vec<u32> = records
        .stdout
        .lines()
        .map(|line| line.trim().parse().map_err(unreadable))
        .collect::<Result<_>>()?;
    Ok(Flows { flows: packets.len() as u32, packets: packets.iter().sum() })
}

fn folder(tenant: &Tenant) -> String {
    format!("/srv/{}/argus", tenant.name)
}
