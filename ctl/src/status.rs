//! `runvfctl status`: a table for people, the library's own values for machines.

use std::fmt::Write;

use vf::{Claim, Error, Host, PfStatus, VfStatus};

pub(crate) fn run(host: &Host, json: bool) -> Result<String, Error> {
    let pfs = vf::status(host)?;
    if json {
        return Ok(serde_json::to_string_pretty(&pfs).unwrap_or_default() + "\n");
    }
    Ok(table(&pfs))
}

const HEADER: [&str; 8] = ["PF", "VF", "ADDRESS", "STATE", "VLAN", "TRUST", "CONTAINER", "AS"];

fn table(pfs: &[PfStatus]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for pf in pfs {
        let down = if pf.up { "" } else { " (down)" };
        let name = format!("{}{down}", pf.name);
        if pf.vfs.is_empty() {
            let none = format!("none of {}", pf.total);
            rows.push([&name, &none, &pf.pf, "-", "-", "-", "-", "-"].map(str::to_owned));
        }
        rows.extend(pf.vfs.iter().map(|vf| row(&name, vf)));
    }
    let mut text = aligned(&rows);
    for vf in pfs.iter().flat_map(|pf| &pf.vfs) {
        if let Some(reason) = &vf.reason {
            let _ = writeln!(text, "\n{} is {}: {reason}", vf.vf, vf.state);
        }
    }
    text
}

fn row(pf: &str, vf: &VfStatus) -> [String; 8] {
    let of_claim = |text: fn(&Claim) -> &str| {
        vf.claim.as_ref().map_or("-", text).chars().take(12).collect::<String>()
    };
    let trust = if vf.settings.trust { "on" } else { "off" };
    [
        pf.to_owned(),
        vf.index.to_string(),
        vf.vf.clone(),
        vf.state.to_owned(),
        vf.settings.vlan.to_string(),
        trust.to_owned(),
        of_claim(|claim| &claim.container),
        of_claim(|claim| &claim.interface),
    ]
}

fn aligned(rows: &[[String; 8]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [
            HEADER.map(str::to_owned),
            ["a", "b", "c", "d", "e", "f", "g", "h"].map(str::to_owned),
        ];
        let text = aligned(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("CONTAINER"), lines[1].find('g'));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }
}
