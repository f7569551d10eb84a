//! The table of sent and captured frames.

use std::io::Write;

use lab::traffic::Traffic;

use crate::sensor::Findings;
use crate::tenants::{ATTACKED_VLAN, ATTACKS, TENANTS, UNASSIGNED_VLAN};

/// Prints the table, and returns whether all findings are exact.
pub(crate) fn report(traffic: &Traffic, findings: &[Findings]) -> bool {
    let mut rows = vec![vec![String::new(), "sent".to_owned()]];
    rows[0].extend(TENANTS.iter().map(|tenant| format!("{} saw", tenant.name)));
    let vlans = TENANTS.iter().map(|tenant| Some(tenant.vlan)).chain([Some(UNASSIGNED_VLAN), None]);
    rows.extend(vlans.map(|vlan| vlan_row(traffic, findings, vlan)));
    let mut alerts = vec!["alerts".to_owned(), ATTACKS.to_string()];
    alerts.extend(
        findings.iter().map(|one| one.alerts.map_or("-".to_owned(), |count| count.to_string())),
    );
    rows.push(alerts);

    let mut all_exact = true;
    let mut verdicts = vec!["verdict".to_owned(), String::new()];
    for (tenant, one) in TENANTS.iter().zip(findings) {
        let expected = if tenant.vlan == ATTACKED_VLAN { ATTACKS } else { 0 };
        let exact = one.verdict.is_exact() && one.alerts.is_none_or(|alerts| alerts == expected);
        all_exact &= exact;
        verdicts.push(if exact { "exact" } else { "WRONG" }.to_owned());
        if !one.verdict.is_exact() {
            let _ = writeln!(std::io::stdout(), "\n{}: {}", tenant.name, one.verdict);
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
fn vlan_row(traffic: &Traffic, findings: &[Findings], vlan: Option<u16>) -> Vec<String> {
    let name = match vlan {
        Some(UNASSIGNED_VLAN) => format!("VLAN {UNASSIGNED_VLAN} (no tenant)"),
        Some(vlan) => format!("VLAN {vlan}"),
        None => "untagged".to_owned(),
    };
    let flows = traffic.flows().iter().filter(|flow| flow.vlan == vlan);
    let sent: u32 = flows.map(|flow| flow.count).sum();
    let mut row = vec![name, sent.to_string()];
    row.extend(findings.iter().map(|one| one.verdict.on_vlan(vlan).to_string()));
    row
}
