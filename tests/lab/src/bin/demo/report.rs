//! The table of sent and captured frames.

use std::io::Write;

use lab::traffic::{Class, Traffic};

use crate::sensor::Findings;
use crate::tenants::{ATTACKED_VLAN, ATTACKS, TENANTS, UNASSIGNED_VLAN};

/// What one receiver saw.
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) vlan: u16,
    pub(crate) findings: Findings,
}

/// Prints the table, and returns whether all findings are exact.
pub(crate) fn report(traffic: &Traffic, columns: &[Column]) -> bool {
    let mut rows = vec![vec![String::new(), "sent".to_owned()]];
    rows[0].extend(columns.iter().map(|column| column.title.clone()));
    let vlans = TENANTS.iter().map(|tenant| Some(tenant.vlan)).chain([Some(UNASSIGNED_VLAN), None]);
    for vlan in vlans {
        rows.push(row(traffic, columns, name_of(vlan), vlan, None));
        if vlan == Some(TENANTS[0].vlan) {
            let name = "  unknown unicast".to_owned();
            rows.push(row(traffic, columns, name, vlan, Some(&Class::UnknownUnicast)));
        }
    }
    let mut alerts = vec!["alerts".to_owned(), ATTACKS.to_string()];
    let counted = |count: u32| count.to_string();
    alerts.extend(columns.iter().map(|one| one.findings.alerts.map_or("-".to_owned(), counted)));
    rows.push(alerts);

    let mut all_exact = true;
    let mut verdicts = vec!["verdict".to_owned(), String::new()];
    for column in columns {
        let exact = is_exact(column);
        all_exact &= exact;
        verdicts.push(if exact { "exact" } else { "WRONG" }.to_owned());
        if !column.findings.verdict.is_exact() {
            let _ = writeln!(std::io::stdout(), "\n{}: {}", column.title, column.findings.verdict);
        }
    }
    rows.push(verdicts);
    for row in &rows {
        let cells: Vec<String> = row.iter().map(|cell| format!("{cell:<20}")).collect();
        let _ = writeln!(std::io::stdout(), "{}", cells.join(" ").trim_end());
    }
    all_exact
}

fn is_exact(Column { vlan, findings, .. }: &Column) -> bool {
    let expected = if *vlan == ATTACKED_VLAN { ATTACKS } else { 0 };
    findings.verdict.is_exact() && findings.alerts.is_none_or(|alerts| alerts == expected)
}

fn name_of(vlan: Option<u16>) -> String {
    match vlan {
        Some(UNASSIGNED_VLAN) => format!("VLAN {UNASSIGNED_VLAN} (no tenant)"),
        Some(vlan) => format!("VLAN {vlan}"),
        None => "untagged".to_owned(),
    }
}

/// The number of sent frames of a VLAN, and the numbers that were captured: of one class, or of
/// all.
fn row(
    traffic: &Traffic,
    columns: &[Column],
    name: String,
    vlan: Option<u16>,
    class: Option<&Class>,
) -> Vec<String> {
    let is_counted = |one: &Class| class.is_none_or(|class| class == one);
    let flows = traffic.flows().iter();
    let sent: u32 = flows
        .filter(|flow| flow.vlan == vlan && is_counted(&flow.class))
        .map(|flow| flow.count)
        .sum();
    let seen_in = |column: &Column| -> u32 {
        let seen = column.findings.verdict.seen.iter();
        seen.filter(|((on, of), _)| *on == vlan && is_counted(of)).map(|(_, count)| count).sum()
    };
    let mut row = vec![name, sent.to_string()];
    row.extend(columns.iter().map(|column| seen_in(column).to_string()));
    row
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lab::traffic::Verdict;

    use super::*;

    fn column(vlan: u16, seen: &[(Class, u32)], alerts: Option<u32>) -> Column {
        let seen: BTreeMap<_, _> =
            seen.iter().map(|(class, count)| ((Some(vlan), class.clone()), *count)).collect();
        let findings = Findings { verdict: Verdict { seen, ..Verdict::default() }, alerts };
        Column { title: "x".to_owned(), vlan, findings }
    }

    #[test]
    fn a_class_has_a_row_of_its_own() {
        let traffic = Traffic::new().send_all(&[Some(100)], &[], 7);
        let all = [(Class::Broadcast, 7), (Class::UnknownUnicast, 7)];
        let columns = [column(100, &all, None), column(100, &all[..1], None)];
        let cells = |class| row(&traffic, &columns, String::new(), Some(100), class)[1..].to_vec();
        assert_eq!(cells(None), ["14", "14", "7"]);
        assert_eq!(cells(Some(&Class::UnknownUnicast)), ["7", "7", "0"]);
    }

    #[test]
    fn missing_alerts_are_not_exact() {
        let is_exact = |vlan, alerts| is_exact(&column(vlan, &[], alerts));
        assert!(is_exact(ATTACKED_VLAN, Some(ATTACKS)) && is_exact(100, Some(0)));
        assert!(is_exact(ATTACKED_VLAN, None), "tcpdump raises none");
        assert!(!is_exact(ATTACKED_VLAN, Some(ATTACKS - 1)) && !is_exact(100, Some(1)));
    }
}
