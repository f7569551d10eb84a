//! `runvfctl status`: a table for people, the library's own values for machines.

use std::fmt::Write;

use vf::{Claim, Error, Host, PfStatus, VfStatus};

use crate::table::aligned;

pub(crate) fn run(host: &Host, json: bool) -> Result<String, Error> {
    let pfs = vf::status(host)?;
    if json {
        return Ok(serde_json::to_string_pretty(&pfs).unwrap_or_default() + "\n");
    }
    Ok(table(&pfs))
}

const HEADER: [&str; 10] =
    ["PF", "VF", "ADDRESS", "STATE", "VLAN", "TRUST", "TENANT", "CONTAINER", "AS", "SINCE"];

fn table(pfs: &[PfStatus]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for pf in pfs {
        let down = if pf.up { "" } else { " (down)" };
        let name = format!("{}{down}", pf.name);
        if pf.vfs.is_empty() {
            let none = format!("none of {}", pf.total);
            let cells = [&name, &none, &pf.pf, "-", "-", "-", "-", "-", "-", "-"];
            rows.push(cells.map(str::to_owned));
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

fn row(pf: &str, vf: &VfStatus) -> [String; 10] {
    let of_claim = |text: fn(&Claim) -> &str| {
        vf.claim.as_ref().map_or("-", text).chars().take(12).collect::<String>()
    };
    let since = vf.claim.as_ref().and_then(Claim::claimed_at);
    let trust = if vf.settings.trust { "on" } else { "off" };
    [
        pf.to_owned(),
        vf.index.to_string(),
        vf.vf.clone(),
        vf.state.to_owned(),
        vf.settings.vlan.to_string(),
        trust.to_owned(),
        of_claim(|claim| claim.tenant.as_deref().unwrap_or("-")),
        of_claim(|claim| &claim.container),
        of_claim(|claim| &claim.interface),
        since.unwrap_or_else(|| "-".to_owned()),
    ]
}
