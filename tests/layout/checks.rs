//! The checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::size::too_long;
use crate::source::{Source, crate_sources};

/// The crates, and their rooms from the top down. A file beside the rooms belongs to none of them.
const CRATES: [(&str, &[&str]); 7] = [
    ("vf/src", &["operator", "lifecycle", "nic", "ledger", "policy", "kernel"]),
    ("shim/src", &["commands", "engine", "libcontainer", "tty", "resources", "container"]),
    ("ctl/src", &[]),
    ("monitor/src", &[]),
    ("runtime-hooks/src", &[]),
    ("tests/lab/src", &[]),
    ("tests/differential", &[]),
];

/// File → the files that it imports.
type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn imports(folder: &Path) -> Imports {
    let sources = crate_sources(folder);
    assert!(sources.len() > 5, "{}: the search finds no files", folder.display());
    let files: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (source.module.as_slice(), source)).collect();
    let imports = sources.iter().map(|source| {
        // The longest prefix of a path that is a file; what follows is an item in it.
        let file_of = |path: Vec<String>| {
            (0..=path.len()).rev().find_map(|length| files.get(&path[..length])).copied()
        };
        let targets = source.paths().into_iter().filter_map(file_of);
        let others = targets.filter(|target| target.file != source.file);
        (source.file.clone(), others.map(|target| target.file.clone()).collect())
    });
    imports.collect()
}

/// A cycle that `start` is part of, as the files on the way.
fn cycle(imports: &Imports, start: &Path) -> Option<Vec<PathBuf>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in way.last().and_then(|last| imports.get(last)).into_iter().flatten() {
            if next == start {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                ways.push([way.clone(), vec![next.clone()]].concat());
            }
        }
    }
    None
}

fn names(files: &[PathBuf], folder: &Path) -> String {
    let name = |file: &PathBuf| file.strip_prefix(folder).unwrap_or(file).display().to_string();
    files.iter().map(name).collect::<Vec<_>>().join(" → ")
}

#[test]
fn files_import_each_other_in_no_cycle() {
    let mut cycles = BTreeSet::new();
    for (folder, _) in CRATES {
        let folder = project().join(folder);
        let imports = imports(&folder);
        for file in imports.keys() {
            if let Some(cycle) = cycle(&imports, file) {
                cycles.insert(format!("{}: {}", folder.display(), names(&cycle, &folder)));
            }
        }
    }
    assert!(cycles.is_empty(), "import cycles:\n{}", Vec::from_iter(cycles).join("\n"));
}

#[test]
fn rooms_import_only_downward() {
    let mut upward = Vec::new();
    for (folder, rooms) in CRATES {
        let folder = project().join(folder);
        let room = |file: &Path| {
            let first = file.strip_prefix(&folder).ok()?.components().next()?;
            let first = Path::new(first.as_os_str()).file_stem()?.to_str()?;
            rooms.iter().position(|room| *room == first)
        };
        for (file, targets) in imports(&folder) {
            for target in targets {
                // `error.rs` of a room is data: the crate's public error joins them all.
                if target.ends_with("error.rs") {
                    continue;
                }
                if room(&file).zip(room(&target)).is_some_and(|(from, to)| to < from) {
                    upward.push(names(&[file.clone(), target], &folder));
                }
            }
        }
    }
    assert!(upward.is_empty(), "imports upward:\n{}", upward.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    let sources = CRATES.iter().flat_map(|(folder, _)| crate_sources(&project().join(folder)));
    let found: Vec<String> = sources.flat_map(|source| too_long(&source)).collect();
    assert!(found.is_empty(), "too long:\n{}", found.join("\n"));
}
