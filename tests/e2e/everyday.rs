//! What people do with containers every day, with runvf and with runc: one table, and runc is the column that the others are
//! compared with. None of these containers asks for a VF.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::Lab;
use similar::TextDiff;

use crate::host::{leave, prepared, state};

mod table;

pub(crate) use table::{Operation, TABLE};

/// What the operations' scripts find: `$run` starts a container, `$wired` one on the engine's network (which costs an emulated CPU a
/// third of its life), `$e` is the engine's program, `$i` an image, `$m` an empty folder.
const PREAMBLE: &str = r#"
i=runvf/tcpdump
m=/tmp/everyday
rm -rf $m; mkdir $m; cd $m
# The exit status of a command as a line, whatever it is.
try() { "$@"; echo "= $?"; }
# A property of a container.
of() { $e inspect --type container -f "{{$2}}" $1; }
# Waits until a command succeeds, for at most 30 s.
until_() { for _ in $(seq 60); do "$@" > /dev/null 2>&1 && return; sleep 0.5; done; echo "waited in vain: $*"; }
# Podman would give the process ten seconds to end.
gone() { if [ $e = podman ]; then $e rm -f -t 0 everyday; else $e rm -f everyday; fi > /dev/null; }
says() { [ "$(of $1 $2)" = "$3" ]; }
"#;

const RUNTIME: &str = "/etc/runvf/runtime.toml";

/// A runtime under an engine.
pub(crate) struct Column {
    name: &'static str,
    engine: &'static str,
    run: &'static str,
    /// What `engine` is in [`RUNTIME`].
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
    /// What another runtime does is compared where runvf has a part in it.
    fn has(&self, operation: &Operation) -> bool {
        let here = match self.delegate {
            Some(_) => operation.delegated == Some(self.engine),
            None => true,
        };
        here && operation.is_for(self.engine)
    }

    /// A folder for each container there is. To ask the engine after every operation costs more than some of them.
    fn containers(&self) -> &'static str {
        match self.engine {
            "docker" => "/var/lib/docker/containers",
            _ => "/var/lib/containers/storage/overlay-containers",
        }
    }

    fn transcript(&self, lab: &Lab, operation: &Operation) -> String {
        let Self { engine, run, .. } = self;
        let script = operation.script;
        lab.sh(&format!("e={engine}; wired='{run}'; run=\"$wired --network none\"; {PREAMBLE}\n( {script}\n) 2>&1")).unwrap().stdout
    }
}

/// What runc's column has, by the operation's name.
type Reference = BTreeMap<&'static str, String>;

/// A transcript in the column of runc must have its lines, as two columns could also agree on a script that does nothing. One of
/// another column must be the same as runc's.
fn judge(operation: &Operation, text: String, reference: &mut Reference) -> Option<String> {
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

/// The ways in which a column is not what runc's is.
fn differences(
    lab: &Lab,
    column: &Column,
    operations: &[Operation],
    reference: &mut Reference,
) -> Vec<String> {
    let mut all = Vec::new();
    for operation in operations.iter().filter(|operation| column.has(operation)) {
        let began = Instant::now();
        let mut wrong = judge(operation, column.transcript(lab, operation), reference);
        // A folder that is elsewhere would be an empty one.
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

/// The first operation of the table, with runc and with runvf.
#[test]
fn docker_output_and_exit_codes_are_as_with_runc() {
    as_with_runc(&DOCKER[..2], &TABLE[..1]);
}

#[test]
fn podman_output_and_exit_codes_are_as_with_runc() {
    as_with_runc(&PODMAN[..2], &TABLE[..1]);
}
