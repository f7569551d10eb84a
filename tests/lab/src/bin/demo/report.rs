//! The table of sent frames, and of what the sensors found.

use std::io::Write;

use lab::traffic::Traffic;

use crate::argus::Flows;
use crate::suricata::Findings;
use crate::tenants::{ATTACKED_VLAN, ATTACKS, TENANTS, UNASSIGNED_VLAN};

/// Prints the table, and returns whether all findings are exact. `findings`: of each tenant's
/// Suricata and Argus.
pub(crate) fn report(traffic: &Traffic, findings: &[(Findings, Flows)]) -> bool {
    let mut rows = vec![vec![String::new(), "sent".to_owned()]];
    rows[0].extend(TENANTS.iter().map(|tenant| format!("{} saw", tenant.name)));
    let vlans = TENANTS.iter().map(|tenant| Some(tenant.vlan)).chain([Some(UNASSIGNED_VLAN), None]);
    rows.extend(vlans.map(|vlan| vlan_row(traffic, findings, vlan)));

    let sent: Vec<Flows> = TENANTS.iter().map(|tenant| Flows::sent(traffic, tenant.vlan)).collect();
    let mut row = |name: &str, sent: u32, found: &dyn Fn(&(Findings, Flows)) -> u32| {
        let mut row = vec![name.to_owned(), sent.to_string()];
        row.extend(findings.iter().map(|one| found(one).to_string()));
        rows.push(row);
    };
    row("Suricata: alerts", ATTACKS, &|(suricata, _)| suricata.alerts);
    row("Argus: flows", sent.iter().map(|sent| sent.flows).sum(), &|(_, argus)| argus.flows);
    row("Argus: packets", sent.iter().map(|sent| sent.packets).sum(), &|(_, argus)| argus.packets);

    let mut all_exact = true;
    let mut verdicts = vec!["verdict".to_owned(), String::new()];
    for ((tenant, (suricata, argus)), sent) in TENANTS.iter().zip(findings).zip(&sent) {
        let attacks = if tenant.vlan == ATTACKED_VLAN { ATTACKS } else { 0 };
        let exact = suricata.verdict.is_exact() && suricata.alerts == attacks && argus == sent;
        all_exact &= exact;
        verdicts.push(if exact { "exact" } else { "WRONG" }.to_owned());
        if !suricata.verdict.is_exact() {
            let _ = writeln!(std::io::stdout(), "\n{}: {}", tenant.name, suricata.verdict);
        }
    }
    rows.push(verdicts);
    for row in &rows {
        let cells: Vec<String> = row.iter().map(|cell| format!("{cell:<20}")).collect();
        let _ = writeln!(std::io::stdout(), "{}", cells.join(" ").trim_end());
    }
    all_exact
}

/// The number of sent frames of a VLAN, and the numbers that the sensors captured.
fn vlan_row(traffic: &Traffic, findings: &[(Findings, Flows)], vlan: Option<u16>) -> Vec<String> {
    let name = match vlan {
        Some(UNASSIGNED_VLAN) => format!("VLAN {UNASSIGNED_VLAN} (no tenant)"),
        Some(vlan) => format!("VLAN {vlan}"),
        None => "untagged".to_owned(),
    };
    let flows = traffic.flows().iter().filter(|flow| flow.vlan == vlan);
    let sent: u32 = flows.map(|flow| flow.count).sum();
    let mut row = vec![name, sent.to_string()];
    row.extend(findings.iter().map(|(suricata, _)| suricata.verdict.on_vlan(vlan).to_string()));
    row
}
