//! Shrinks a case that fails: it removes mutations and commands as long as the case still fails.

use serde_json::Value;

use crate::case::{Case, Step};
use crate::patch::Patch;

/// A smaller case that still `fails`, found in at most `budget` calls of it.
pub(crate) fn shrink(case: &Case, budget: usize, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    let mut left = budget;
    'smaller: loop {
        for candidate in smaller(&smallest) {
            if left == 0 {
                return smallest;
            }
            left -= 1;
            if fails(&candidate) {
                smallest = candidate;
                continue 'smaller;
            }
        }
        return smallest;
    }
}

/// The cases with one mutation, one command or one part of a value less.
fn smaller(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    for at in 0..case.patches.len() {
        let mut fewer = case.clone();
        fewer.patches.remove(at);
        cases.push(fewer);
    }
    // The last command is the removal of the container.
    for at in 0..case.steps.len().saturating_sub(1) {
        let mut fewer = case.clone();
        fewer.steps.remove(at);
        cases.push(fewer);
    }
    for at in 0..case.steps.len() {
        for step in simpler_steps(&case.steps[at]) {
            let mut simpler = case.clone();
            simpler.steps[at] = step;
            cases.push(simpler);
        }
    }
    for at in 0..case.patches.len() {
        let Patch::Set { path, value } = &case.patches[at] else { continue };
        for value in simpler_values(value) {
            let mut simpler = case.clone();
            simpler.patches[at] = Patch::Set { path: path.clone(), value };
            cases.push(simpler);
        }
    }
    cases
}

fn simpler_steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Exec { detach, patches } => {
            let without = |at| {
                let mut patches = patches.clone();
                patches.remove(at);
                Step::Exec { detach: *detach, patches }
            };
            (0..patches.len()).map(without).collect()
        }
        Step::Update { resources } => {
            let values = simpler_values(resources).into_iter();
            values.map(|resources| Step::Update { resources }).collect()
        }
        _ => Vec::new(),
    }
}

/// The value without one of its parts.
fn simpler_values(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let without = |name: &String| {
                let mut members = members.clone();
                members.remove(name);
                Value::Object(members)
            };
            members.keys().map(without).collect()
        }
        Value::Array(elements) => {
            let without = |at| {
                let mut elements = elements.clone();
                elements.remove(at);
                Value::Array(elements)
            };
            (0..elements.len()).map(without).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(path: &str, value: Value) -> Patch {
        Patch::Set { path: path.into(), value }
    }

    fn case() -> Case {
        Case {
            note: String::new(),
            driver: None,
            patches: vec![
                set("/a", json!(1)),
                set("/b", json!({"options": ["ro", "sync"], "type": "bind"})),
                set("/c", json!(3)),
            ],
            steps: vec![
                Step::Start,
                Step::State,
                Step::Exec { detach: true, patches: vec![set("/cwd", json!("/"))] },
                Step::Delete { force: true },
            ],
        }
    }

    #[test]
    fn only_what_the_failure_needs_stays() {
        let fails = |case: &Case| {
            let text = json!(case).to_string();
            text.contains("bind") && text.contains("exec")
        };
        let small = shrink(&case(), 1000, fails);
        assert_eq!(small.patches, [set("/b", json!({"type": "bind"}))]);
        let exec = Step::Exec { detach: true, patches: vec![] };
        assert_eq!(small.steps, [exec, Step::Delete { force: true }]);
    }

    #[test]
    fn the_budget_limits_the_calls() {
        let mut calls = 0;
        let small = shrink(&case(), 2, |_| {
            calls += 1;
            true
        });
        assert_eq!((calls, small.patches.len()), (2, 1));
    }
}
