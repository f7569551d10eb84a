//! `runvfctl doctor`: the checks of the library, and whether runvf is registered with the engines.
//!
//! Exits with 2 if a check fails, with 1 if there is only a warning, and with 0 otherwise.

mod cdi;
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
    (text, ExitCode::from(exit_code(&findings)))
}

fn exit_code(findings: &[Finding]) -> u8 {
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
    fn exit_code_is_that_of_the_worst_finding() {
        let mut findings = vec![Finding::ok("a", ""), Finding::unknown("b", "")];
        assert_eq!(exit_code(&findings), 0);
        findings.push(Finding::warning("c", "", ""));
        assert_eq!(exit_code(&findings), 1);
        findings.push(Finding::failure("d", "", ""));
        assert_eq!(exit_code(&findings), 2);
    }
}
