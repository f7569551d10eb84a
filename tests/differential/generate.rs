//! The case of a seed.

use serde_json::{Value, json};

use crate::case::{Case, Step};
use crate::fields::{Field, Fields};
use crate::patch::{self, Patch};
use crate::random::Random;

/// Generic mutations do not touch these: another root file system could be the host's, another
/// cgroup could be one with processes of the host, and without its arguments the probe prints
/// nothing.
const SPARED: [&str; 4] = ["/root/path", "/linux/cgroupsPath", "/process/args", "/process/args/0"];

/// The case of this seed. It depends on nothing else than the tables and the base document.
pub(crate) fn case(seed: u64, fields: &Fields, base: &Value) -> Case {
    let mut random = Random::new(seed);
    let mut document = base.clone();
    let mut patches = Vec::new();
    let count = [1, 1, 1, 2, 2, 3, 4, 6][random.below(8)];
    for _ in 0..count {
        let new = mutation(&mut random, fields, &document);
        patch::apply(&mut document, &new);
        patches.extend(new);
    }
    let steps = steps(&mut random, fields);
    Case { note: String::new(), driver: None, patches, steps }
}

fn mutation(random: &mut Random, fields: &Fields, document: &Value) -> Vec<Patch> {
    match random.below(100) {
        0..8 => random.choose(&fields.groups).cloned().unwrap_or_default(),
        8..75 => {
            let table = &fields.tables[random.below(fields.tables.len())];
            field_mutation(random, table).into_iter().collect()
        }
        _ => generic_mutation(random, document).into_iter().collect(),
    }
}

fn field_mutation(random: &mut Random, table: &[Field]) -> Option<Patch> {
    let field = random.choose(table)?;
    let value = random.choose(&field.values)?.clone();
    Some(Patch::Set { path: field.path.clone(), value })
}

/// A mutation of any value in the document.
fn generic_mutation(random: &mut Random, document: &Value) -> Option<Patch> {
    let mut paths = Vec::new();
    collect(document, "", &mut paths);
    paths.retain(|path| !SPARED.contains(&path.as_str()));
    let path = random.choose(&paths)?.clone();
    let is_element = path.rsplit('/').next().is_some_and(|name| name.parse::<u32>().is_ok());
    let values = [
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(0.5),
        json!("x"),
        json!([[]]),
    ];
    Some(match random.below(8) {
        0 | 1 => Patch::Remove { path },
        2 | 3 if is_element => Patch::Duplicate { path },
        2 => Patch::Repeat { path },
        3 => Patch::Set { path: path + "/unknown", value: json!("x") },
        _ => Patch::Set { path, value: random.choose(&values)?.clone() },
    })
}

fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
    if !path.is_empty() {
        paths.push(path.to_owned());
    }
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
            .for_each(|(name, member)| collect(member, &format!("{path}/{name}"), paths)),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .for_each(|(at, element)| collect(element, &format!("{path}/{at}"), paths)),
        _ => {}
    }
}

/// The commands after `create`. Most of them are drawn, because each costs the start of a program.
fn steps(random: &mut Random, fields: &Fields) -> Vec<Step> {
    let mut steps = Vec::new();
    let state = |random: &mut Random, steps: &mut Vec<Step>| {
        if random.chance(10) {
            steps.push(Step::State);
        }
    };
    state(random, &mut steps);
    if random.chance(95) {
        steps.push(Step::Start);
        state(random, &mut steps);
    }
    if random.chance(30) {
        let count = random.below(3);
        let mutate = |_| field_mutation(random, &fields.process);
        let patches = (0..count).filter_map(mutate).collect();
        // As engines do it, most of the time.
        steps.push(Step::Exec { detach: random.chance(80), patches });
    }
    if random.chance(25) {
        let mut resources = json!({});
        for _ in 0..=random.below(2) {
            patch::apply(
                &mut resources,
                &field_mutation(random, &fields.resources).into_iter().collect::<Vec<_>>(),
            );
        }
        steps.push(Step::Update { resources });
    }
    if random.chance(60) {
        let signals =
            ["KILL", "KILL", "TERM", "SIGUSR1", "9", "15", "0", "NO", "RTMIN+1", "64", ""];
        let signal = random.choose(&signals).copied().unwrap_or("KILL").to_owned();
        steps.push(Step::Kill { signal });
        state(random, &mut steps);
    }
    steps.push(Step::Delete { force: random.chance(60) });
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bundle::base;
    use crate::case::Driver;

    #[test]
    fn the_seeds_of_the_trial_give_three_thousand_distinct_cases() {
        let base = base("memory pids cpu", Driver::Systemd);
        let fields = Fields::load(Driver::Systemd).unwrap();
        let cases = (0..3200).map(|seed| json!(case(seed, &fields, &base)).to_string());
        let distinct: BTreeSet<String> = cases.collect();
        assert!(distinct.len() >= 3000, "{}", distinct.len());
    }

    #[test]
    fn a_seed_always_gives_the_same_case() {
        let base = base("", Driver::Cgroupfs);
        let fields = Fields::load(Driver::Cgroupfs).unwrap();
        assert_eq!(case(7, &fields, &base), case(7, &fields, &base));
    }

    #[test]
    fn no_case_can_reach_processes_or_files_of_the_host() {
        let base = base("", Driver::Cgroupfs);
        let fields = Fields::load(Driver::Cgroupfs).unwrap();
        for seed in 0..5000 {
            let mut document = base.clone();
            patch::apply(&mut document, &case(seed, &fields, &base).patches);
            assert_ne!(document["root"]["path"], "/", "seed {seed}");
            assert_ne!(document["linux"]["cgroupsPath"], "/", "seed {seed}");
        }
    }
}
