//! Runs cases with the runtimes, and judges them.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::allowed::{Context, allowed_by};
use crate::case::{Case, Driver};
use crate::compare::{Difference, compare};
use crate::life::Job;
use crate::outcome::{Class, Outcome, StepOutcome};
use crate::patch;
use crate::runtime::Runtime;
use crate::shrink::shrink;

/// The most runs for one case that fails.
const SHRINK_BUDGET: usize = 60;

/// The runtimes and the conditions of all cases.
pub(crate) struct Trial {
    pub(crate) reference: Runtime,
    pub(crate) tested: Runtime,
    /// They only help to judge a difference.
    pub(crate) witnesses: Vec<Runtime>,
    pub(crate) base: Value,
    pub(crate) driver: Driver,
    pub(crate) folder: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) shrinks: bool,
}

/// A case with an unexplained difference.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) name: String,
    pub(crate) case: Case,
    pub(crate) differences: Vec<Difference>,
    /// The last error line of the reference and of the tested runtime.
    pub(crate) messages: [String; 2],
    /// Each witness, and whether it is like the reference or like the tested runtime.
    pub(crate) witnesses: Vec<(String, &'static str)>,
    /// Whether a second run of the same case had no difference.
    pub(crate) unstable: bool,
}

impl Trial {
    /// Runs a case, and shrinks it if it fails.
    pub(crate) fn judge(&self, name: &str, case: &Case) -> io::Result<Option<Failure>> {
        let differences = self.differences(case)?;
        if differences.is_empty() {
            return Ok(None);
        }
        if self.differences(case)?.is_empty() {
            let (name, case) = (name.to_owned(), case.clone());
            let (messages, witnesses) = Default::default();
            let unstable = true;
            return Ok(Some(Failure { name, case, differences, messages, witnesses, unstable }));
        }
        let mut failed = Ok(());
        let case = match self.shrinks {
            // A smaller case with another difference would hide this one.
            true => shrink(case, SHRINK_BUDGET, |case| match self.differences(case) {
                Ok(found) => {
                    found.iter().any(|found| differences.iter().any(|it| it.is_like(found)))
                }
                Err(error) => {
                    failed = Err(error);
                    false
                }
            }),
            false => case.clone(),
        };
        failed?;
        self.describe(name, case).map(Some)
    }

    fn describe(&self, name: &str, case: Case) -> io::Result<Failure> {
        let expected = self.outcome(&self.reference, &case)?;
        let found = self.outcome(&self.tested, &case)?;
        let witnesses = self.witnesses.iter().map(|witness| {
            let outcome = self.outcome(witness, &case)?;
            let is_like = |other: &Outcome| compare(other, &outcome).is_empty();
            let like = match (is_like(&expected), is_like(&found)) {
                (true, _) => "as the reference",
                (_, true) => "as the tested runtime",
                _ => "like none of them",
            };
            Ok((witness.name.clone(), like))
        });
        let witnesses = witnesses.collect::<io::Result<Vec<_>>>()?;
        let last = |outcome: &Outcome| {
            let step = outcome.steps.iter().rfind(|step| !step.message.is_empty());
            step.map(|step| step.message.clone()).unwrap_or_default()
        };
        let messages = [last(&expected), last(&found)];
        let differences = self.unexplained(&case, &expected, &found);
        let name = name.to_owned();
        Ok(Failure { name, case, differences, messages, witnesses, unstable: false })
    }

    fn differences(&self, case: &Case) -> io::Result<Vec<Difference>> {
        let expected = self.outcome(&self.reference, case)?;
        let found = self.outcome(&self.tested, case)?;
        Ok(self.unexplained(case, &expected, &found))
    }

    fn unexplained(&self, case: &Case, expected: &Outcome, found: &Outcome) -> Vec<Difference> {
        let mut document = self.base.clone();
        patch::apply(&mut document, &case.patches);
        let mut differences = compare(expected, found);
        let created = expected.steps.first().is_some_and(|step| step.class == Class::Done);
        let is_refused_update =
            |step: &StepOutcome| step.command == "update" && step.class != Class::Done;
        let updated = !expected.steps.iter().any(is_refused_update);
        let context = Context { document: &document, steps: &case.steps, created, updated };
        differences.retain(|difference| allowed_by(difference, &context).is_none());
        differences
    }

    /// Runs the case in a process of its own.
    fn outcome(&self, runtime: &Runtime, case: &Case) -> io::Result<Outcome> {
        let job = Job {
            case: case.clone(),
            base: self.base.clone(),
            driver: self.driver,
            runtime: runtime.clone(),
            folder: self.folder.clone(),
            timeout: self.timeout,
        };
        let mut life = Command::new("/proc/self/exe")
            .arg("--life")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = life.stdin.take() {
            stdin.write_all(serde_json::to_string(&job)?.as_bytes())?;
        }
        let output = life.wait_with_output()?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            io::Error::other(format!("{}: the life of {case:?}: {error}", runtime.name))
        })
    }
}
