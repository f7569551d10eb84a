//! What runc printed for each operation.
//!
//! runc's column takes almost half of the table's time and prints the same each time. So `make soak`
//! takes it from a record, one for each engine. It runs the operations of runc whose script is not the
//! recorded one, and all of them on a host with another version of the engine, of runc or of the
//! kernel. `make trial` runs the whole column and compares it with the record; with `RUNVF_RECORD=1`
//! it writes the record.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lab::Lab;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Column, Operation, Reference};

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Record {
    /// What the programs say of their versions.
    versions: Vec<String>,
    /// By the name of the operation.
    transcripts: BTreeMap<String, Transcript>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Transcript {
    /// SHA-256 of the script.
    script: String,
    lines: Vec<String>,
}

fn path(engine: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("e2e/everyday/recorded/{engine}.json"))
}

fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(str::to_owned).collect()
}

fn versions(lab: &Lab, column: &Column) -> Vec<String> {
    let engine = column.engine;
    lines(&lab.ok(&format!("{engine} --version; runc --version; uname -r")).unwrap().stdout)
}

fn digest(column: &Column, operation: &Operation) -> String {
    format!("{:x}", Sha256::digest(column.program(operation)))
}

impl Record {
    /// `column`: runc's. `reference`: its transcripts on this host.
    pub(super) fn new(
        lab: &Lab,
        column: &Column,
        table: &[Operation],
        reference: &Reference,
    ) -> Self {
        let transcript = |operation: &Operation| {
            let lines = lines(reference.get(operation.name)?);
            let script = digest(column, operation);
            Some((operation.name.to_owned(), Transcript { script, lines }))
        };
        let transcripts = table.iter().filter_map(transcript).collect();
        Self { versions: versions(lab, column), transcripts }
    }

    /// `None`: there is no record of this engine.
    pub(super) fn read(engine: &str) -> Option<Self> {
        let text = fs::read(path(engine)).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    pub(super) fn write(&self, engine: &str) {
        fs::write(path(engine), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    /// The transcripts of the operations that would print the same on this host.
    pub(super) fn valid(&self, lab: &Lab, column: &Column, table: &[Operation]) -> Reference {
        if self.versions != versions(lab, column) {
            return Reference::new();
        }
        let transcript = |operation: &Operation| {
            let recorded = self.transcripts.get(operation.name)?;
            let is_same = recorded.script == digest(column, operation);
            is_same.then(|| (operation.name, recorded.lines.join("\n")))
        };
        table.iter().filter_map(transcript).collect()
    }
}
