//! `runvfctl doctor`: what the library finds in the machine, and what the engines know of runvf.
//!
//! Exits with 2 if anything fails, and with 0 if not: a warning keeps no sensor from starting.

mod engines;
mod table;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use vf::{Finding, Severity};

pub(crate) fn run(json: bool) -> (String, ExitCode) {
    let mut findings = vf::doctor();
    findings.extend(engines::findings(Path::new("/")));
    let text = match json {
        true => serde_json::to_string_pretty(&findings).unwrap_or_default() + "\n",
        false => table::table(&findings, std::io::stdout().is_terminal()),
    };
    (text, ExitCode::from(status(&findings)))
}

fn status(findings: &[Finding]) -> u8 {
    if findings.iter().any(|finding| finding.severity == Severity::Failure) { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_is_one() {
        let mut findings =
            vec![Finding::ok("a", ""), Finding::unknown("b", ""), Finding::warning("c", "", "")];
        assert_eq!(status(&findings), 0);
        findings.push(Finding::failure("d", "", ""));
        assert_eq!(status(&findings), 2);
    }
}
