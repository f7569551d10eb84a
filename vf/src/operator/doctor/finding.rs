//! The result of one check.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The check has no result, or only a test that disturbs a VF would give one.
    Unknown,
    /// Sensors start, but something should be fixed.
    Warning,
    /// Sensors do not start, or do not see the traffic.
    Failure,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check. It does not change between releases.
    pub check: &'static str,
    /// The PF, VF or program that was checked. `None`: the host.
    pub of: Option<String>,
    pub severity: Severity,
    pub evidence: String,
    /// How to fix the problem. JSON: `mend`.
    #[serde(rename = "mend")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { check, of: None, severity: Severity::Ok, evidence: evidence.into(), remedy: None }
    }

    pub fn unknown(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { severity: Severity::Unknown, ..Self::ok(check, evidence) }
    }

    pub fn warning(
        check: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { severity: Severity::Warning, remedy, ..Self::ok(check, evidence) }
    }

    pub fn failure(
        check: &'static str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Failure, ..Self::warning(check, evidence, remedy) }
    }

    /// Names the PF, VF or program that was checked.
    #[must_use]
    pub fn of(self, object: impl Into<String>) -> Self {
        Self { of: Some(object.into()), ..self }
    }
}
