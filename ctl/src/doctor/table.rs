//! Findings as a table: one line each, with the remedy below.

use std::fmt::Write;

use vf::{Finding, Severity};

pub(super) fn table(findings: &[Finding], colour: bool) -> String {
    let names: Vec<String> = findings.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (finding, name) in findings.iter().zip(&names) {
        let mark = mark(finding.severity, colour);
        let _ = writeln!(text, "{mark}  {name:<width$}  {}", finding.evidence);
        if let Some(remedy) = &finding.mend {
            let _ = writeln!(text, "{:9}{:width$}  -> {remedy}", "", "");
        }
    }
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (failed, warned) = (count(Severity::Failure), count(Severity::Warning));
    let _ = writeln!(text, "\n{failed} failures, {warned} warnings");
    text
}

fn name(finding: &Finding) -> String {
    match &finding.of {
        Some(of) => format!("{} {of}", finding.check),
        None => finding.check.to_owned(),
    }
}

/// The severity, seven columns wide, in an ECMA-48 colour if `colour` is set.
fn mark(severity: Severity, colour: bool) -> String {
    let (word, number) = match severity {
        Severity::Ok => ("ok     ", 32),
        Severity::Unknown => ("unknown", 36),
        Severity::Warning => ("warning", 33),
        Severity::Failure => ("FAILURE", 31),
    };
    if colour { format!("\x1b[{number}m{word}\x1b[0m") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_remedy_is_below() {
        let findings = [
            Finding::ok("kernel", "Linux 6.12"),
            Finding::failure("link", "down", "`ip link set pf0 up`").of("pf0"),
        ];
        assert_eq!(
            table(&findings, false),
            "ok       kernel    Linux 6.12\n\
             FAILURE  link pf0  down\n\
             \u{20}                  -> `ip link set pf0 up`\n\
             \n1 failures, 0 warnings\n"
        );
    }

    #[test]
    fn colour_is_optional() {
        let findings = [Finding::warning("iommu", "off", "x")];
        assert!(!table(&findings, false).contains('\x1b'));
        assert!(table(&findings, true).starts_with("\x1b[33mwarning\x1b[0m  iommu"));
    }
}
