//! `runvfctl doctor`: what the library finds in the machine, and what the engines know of runvf.
//!
//! Exits with 2 if anything fails, with 1 if there is a warning, and with 0 if there is neither.

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
    let any = |severity| findings.iter().any(|finding| finding.severity == severity);
    match () {
        () if any(Severity::Failure) => 2,
        () if any(Severity::Warning) => 1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told() {
        let mut findings = vec![Finding::ok("a", ""), Finding::unknown("b", "")];
        assert_eq!(status(&findings), 0);
        findings.push(Finding::warning("c", "", ""));
        assert_eq!(status(&findings), 1);
        findings.push(Finding::failure("d", "", ""));
        assert_eq!(status(&findings), 2);
    }
}
