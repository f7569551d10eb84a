//! Proof of compatibility: everyday operations on containers print the same with runvf as with
//! runc. The operations are a table; its first column is runc, and the others are compared with it.
//! No container asks for a VF.
//!
//! `make test` runs the first operation under Docker, `soak::everyday` a part in all columns, and
//! `make trial` all under both engines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::Lab;
use similar::TextDiff;

use crate::host::{leave, prepared, state};
use crate::script::script;

mod table;

pub(crate) use table::{Operation, TABLE};

const RUNTIME: &str = "/etc/runvf/runtime.toml";

/// A column of the table: a runtime under an engine.
pub(crate) struct Column {
    name: &'static str,
    engine: &'static str,
    run: &'static str,
    /// The value of `engine` in [`RUNTIME`].
    delegate: Option<&'static str>,
}

const fn column(name: &'static str, engine: &'static str, run: &'static str) -> Column {
    Column { name, engine, run, delegate: None }
}

pub(crate) const DOCKER: [Column; 3] = [
    column("runc", "docker", "docker run --runtime runc"),
    column("runvf", "docker", "docker run --runtime runvf"),
    Column {
        delegate: Some("runc"),
        ..column("runvf with runc", "docker", "docker run --runtime runvf")
    },
];
pub(crate) const PODMAN: [Column; 3] = [
    column("runc", "podman", "podman --runtime /usr/bin/runc run"),
    column("runvf", "podman", "podman --runtime /usr/bin/runvf run"),
    Column {
        delegate: Some("runc"),
        ..column("runvf with runc", "podman", "podman --runtime /usr/bin/runvf run")
    },
];

impl Column {
    /// Another runtime behind runvf only runs the operations that need work of runvf itself.
    fn has(&self, operation: &Operation) -> bool {
        let here = match self.delegate {
            Some(_) => operation.delegated == Some(self.engine),
            None => true,
        };
        here && operation.is_for(self.engine)
    }

    /// The directory with a directory for each container. To ask the engine after every operation
    /// would take longer than some operations.
    fn containers(&self) -> &'static str {
        match self.engine {
            "docker" => "/var/lib/docker/containers",
            _ => "/var/lib/containers/storage/overlay-containers",
        }
    }

    fn transcript(&self, lab: &Lab, operation: &Operation) -> String {
        let program =
            format!("{}(\n{}) 2>&1", include_str!("everyday/preamble.sh"), operation.script);
        let parameters = [("engine", self.engine), ("wired", self.run)];
        lab.sh(&script(&program, &parameters)).unwrap().stdout
    }
}

/// The transcripts of runc, by the name of the operation.
type Reference = BTreeMap<&'static str, String>;

/// Checks a transcript. The transcript of runc must contain the expected lines, because two columns
/// could also agree on a script that does nothing. The transcripts of the other columns must be
/// equal to it.
fn check(operation: &Operation, text: String, reference: &mut Reference) -> Option<String> {
    match reference.get(operation.name) {
        Some(expected) => (*expected != text).then(|| {
            let diff = TextDiff::from_lines(expected.as_str(), text.as_str());
            diff.unified_diff().header("runc", "here").to_string()
        }),
        None => {
            let missing: Vec<&str> = operation.missing_in(&text).collect();
            let wrong = !missing.is_empty() || text.contains("waited in vain");
            let wrong = wrong.then(|| format!("no {missing:?}, or something else, in\n{text}"));
            reference.insert(operation.name, text);
            wrong
        }
    }
}

/// The differences between a column and that of runc.
fn differences(
    lab: &Lab,
    column: &Column,
    operations: &[Operation],
    reference: &mut Reference,
) -> Vec<String> {
    let mut all = Vec::new();
    for operation in operations.iter().filter(|operation| column.has(operation)) {
        let began = Instant::now();
        let mut wrong = check(operation, column.transcript(lab, operation), reference);
        // `cd` fails if the directory is at another path.
        let none =
            format!("cd {} && ! find . -mindepth 1 -type d | grep -q .", column.containers());
        if lab.wait_until(Duration::from_secs(5), &none).is_err() {
            let left = lab.ok(&format!("{0} ps -a; {0} rm -f $({0} ps -aq)", column.engine));
            wrong = Some(format!("it leaves {}\n{}", left.unwrap(), wrong.unwrap_or_default()));
        }
        let heading = format!("{}, {}: {}", column.engine, column.name, operation.name);
        let seconds = began.elapsed().as_secs_f32();
        eprintln!("{heading} ({seconds:.1} s) {}", wrong.as_deref().unwrap_or("as expected"));
        all.extend(wrong.map(|wrong| format!("{heading}: {wrong}")));
    }
    all
}

pub(crate) fn as_with_runc(columns: &[Column], operations: &[Operation]) {
    let lab = prepared();
    let before = state(&lab);
    let mut reference = Reference::new();
    let mut wrong = Vec::new();
    for column in columns {
        if let Some(delegate) = column.delegate {
            lab.write(RUNTIME, format!("engine = \"{delegate}\"\n")).unwrap();
        }
        wrong.extend(differences(&lab, column, operations, &mut reference));
        lab.ok(&format!("rm -f {RUNTIME}")).unwrap();
    }
    assert!(wrong.is_empty(), "{} differences:\n\n{}", wrong.len(), wrong.join("\n"));
    leave(lab, &before);
}

/// The first operation of the table.
#[test]
fn docker_output_and_exit_codes_are_as_with_runc() {
    as_with_runc(&DOCKER[..2], &TABLE[..1]);
}
