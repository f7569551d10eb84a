//! What a check found.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// It could not be found out, or not without disturbing a VF.
    Unknown,
    /// Sensors start, and something is not as it should be.
    Warning,
    /// Sensors do not start, or see nothing.
    Failure,
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which stays the same from release to release.
    pub check: &'static str,
    /// The PF, VF or program that it is about; none: the machine.
    pub of: Option<String>,
    pub severity: Severity,
    pub evidence: String,
    /// What to do, if there is something to do.
    pub mend: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { check, of: None, severity: Severity::Ok, evidence: evidence.into(), mend: None }
    }

    pub fn unknown(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { severity: Severity::Unknown, ..Self::ok(check, evidence) }
    }

    pub fn warning(
        check: &'static str,
        evidence: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { severity: Severity::Warning, mend, ..Self::ok(check, evidence) }
    }

    pub fn failure(
        check: &'static str,
        evidence: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Failure, ..Self::warning(check, evidence, mend) }
    }

    #[must_use]
    pub fn of(self, object: impl Into<String>) -> Self {
        Self { of: Some(object.into()), ..self }
    }
}
