//! The comparison of two outcomes. It is pure: the outcome of the reference is right.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::outcome::{Line, Outcome, StepOutcome};

/// One difference. The value is `None` if the runtime has no such line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Difference {
    pub(crate) command: String,
    pub(crate) key: String,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
}

impl Difference {
    /// Whether it is the same observation, with any values.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.command == other.command && self.key == other.key
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".into());
        let (expected, found) = (shown(&self.expected), shown(&self.found));
        write!(f, "{}: {}: expected `{expected}`, found `{found}`", self.command, self.key)
    }
}

/// The key of a difference between the ends of a command.
pub(crate) const ENDED: &str = "ended";

/// The differences up to the first command that ended in another way: what follows depends on it.
/// The changes of the host are always compared.
pub(crate) fn compare(expected: &Outcome, found: &Outcome) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut same_so_far = true;
    for (expected, found) in expected.steps.iter().zip(&found.steps) {
        if expected.command != found.command {
            break;
        }
        if expected.class != found.class {
            differences.push(ended(expected, found));
            same_so_far = false;
            break;
        }
        differences.extend(compare_lines(&expected.command, &expected.lines, &found.lines));
    }
    if same_so_far {
        differences.extend(compare_lines("host", &expected.host, &found.host));
    }
    differences
}

fn ended(expected: &StepOutcome, found: &StepOutcome) -> Difference {
    let text = |step: &StepOutcome| Some(format!("{:?}", step.class).to_lowercase());
    Difference {
        command: expected.command.clone(),
        key: ENDED.into(),
        expected: text(expected),
        found: text(found),
    }
}

fn compare_lines(command: &str, expected: &[Line], found: &[Line]) -> Vec<Difference> {
    let (expected, found) = (by_key(expected), by_key(found));
    let mut keys: Vec<&String> = expected.keys().chain(found.keys()).copied().collect();
    keys.sort();
    keys.dedup();
    let difference = |key: &String| {
        let value = |lines: &BTreeMap<&String, Vec<&str>>| Some(lines.get(key)?.join(" | "));
        let (expected, found) = (value(&expected), value(&found));
        let key = key.clone();
        (expected != found).then(|| Difference { command: command.into(), key, expected, found })
    };
    keys.into_iter().filter_map(difference).collect()
}

fn by_key(lines: &[Line]) -> BTreeMap<&String, Vec<&str>> {
    let mut by_key: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
    for line in lines {
        by_key.entry(&line.key).or_default().push(&line.value);
    }
    by_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Class;

    fn step(command: &str, class: Class, lines: &[&str]) -> StepOutcome {
        let lines = lines.iter().map(|line| Line::parse(line)).collect();
        StepOutcome { command: command.into(), class, lines, message: String::new() }
    }

    fn shown(expected: &[StepOutcome], found: &[StepOutcome]) -> Vec<String> {
        let outcome = |steps: &[StepOutcome]| Outcome { steps: steps.to_vec(), host: vec![] };
        compare(&outcome(expected), &outcome(found)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_line_that_differs_is_a_difference() {
        let expected = [step("start", Class::Done, &["a: 1", "b: 2", "c: 3"])];
        let found = [step("start", Class::Done, &["c: 3", "a: 2", "d: 4"])];
        let differences = [
            "start: a: expected `1`, found `2`",
            "start: b: expected `2`, found `(nothing)`",
            "start: d: expected `(nothing)`, found `4`",
        ];
        assert_eq!(shown(&expected, &found), differences);
    }

    #[test]
    fn a_command_that_ended_in_another_way_hides_what_follows() {
        let expected = [step("create", Class::Done, &[]), step("start", Class::Done, &["a: 1"])];
        let found = [step("create", Class::Crashed, &[])];
        assert_eq!(shown(&expected, &found), ["create: ended: expected `done`, found `crashed`"]);
    }

    #[test]
    fn changes_of_the_host_are_compared() {
        let left = Line::new("file /sys/fs/cgroup/x", "appeared");
        let clean = Outcome { steps: vec![], host: vec![] };
        let dirty = Outcome { steps: vec![], host: vec![left] };
        assert_eq!(compare(&clean, &dirty).len(), 1);
        assert!(compare(&dirty, &dirty).is_empty());
    }
}
