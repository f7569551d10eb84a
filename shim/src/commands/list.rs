//! `state` and `list`, in runc's shapes (`libcontainer/state_linux.go`, `list.go`).

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::stdout::print;
use crate::cli::{self, Format, Global};
use crate::container::{self, Container};
use crate::error::Error;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    oci_version: String,
    id: String,
    /// 0 when there is no process.
    pid: i32,
    status: &'static str,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<std::collections::BTreeMap<String, String>>,
    owner: String,
}

impl State {
    fn of(container: &Container) -> Self {
        let library = &container.library;
        let annotations = library.state.annotations.clone().filter(|all| !all.is_empty());
        Self {
            oci_version: library.state.oci_version.clone(),
            id: library.id().to_owned(),
            pid: container.init().map_or(0, |pid| pid.as_raw()),
            status: container::status_name(library.status()),
            bundle: library.bundle().clone(),
            rootfs: container.record.rootfs.clone(),
            created: serde_json::to_value(library.created()).unwrap_or_default(),
            annotations: annotations.map(|all| all.into_iter().collect()),
            owner: owner(container),
        }
    }
}

fn owner(container: &Container) -> String {
    let name = container.library.creator();
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn state(global: &Global, id: &str) -> Result<(), Error> {
    let state = State::of(&Container::load(global, id)?);
    // runc leaves it empty here and fills it in `list`.
    let state = State { owner: String::new(), ..state };
    let text = serde_json::to_string_pretty(&state);
    print(&text.map_err(|source| Error::Json { path: id.into(), source })?)
}

pub(crate) fn list(global: &Global, options: &cli::List) -> Result<(), Error> {
    let states = all(global)?;
    if options.quiet {
        let ids: Vec<&str> = states.iter().map(|state| state.id.as_str()).collect();
        return if ids.is_empty() { Ok(()) } else { print(&ids.join("\n")) };
    }
    match options.format {
        Format::Table => print(&table(&states)),
        // As Go writes an empty list, which some scripts expect.
        Format::Json if states.is_empty() => print("null"),
        Format::Json => {
            let text = serde_json::to_string(&states);
            print(&text.map_err(|source| Error::Json { path: global.root().to_owned(), source })?)
        }
    }
}

fn all(global: &Global) -> Result<Vec<State>, Error> {
    let entries = match fs::read_dir(global.root()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", global.root())(error)),
    };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // One that is being made or removed right now is not there.
    let mut states: Vec<State> =
        ids.filter_map(|id| Container::load(global, &id).ok()).map(|one| State::of(&one)).collect();
    states.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(states)
}

/// Go's tabwriter with a minimum of 12 and 3 blanks between, as `runc list`.
fn table(states: &[State]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(states.iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}"));
        }
        line + &row[5]
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(state: &State) -> [String; 6] {
    [
        state.id.clone(),
        state.pid.to_string(),
        state.status.to_owned(),
        state.bundle.display().to_string(),
        state.created.as_str().unwrap_or_default().to_owned(),
        state.owner.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> State {
        State {
            oci_version: "1.1.0".into(),
            id: "abc".into(),
            pid: 7,
            status: "running",
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-02T03:04:05Z".into(),
            annotations: None,
            owner: String::new(),
        }
    }

    #[test]
    fn a_state_has_the_keys_of_runc() {
        assert_eq!(
            serde_json::to_string(&example()).unwrap(),
            "{\"ociVersion\":\"1.1.0\",\"id\":\"abc\",\"pid\":7,\"status\":\"running\",\"bundle\":\"/b\",\
             \"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05Z\",\"owner\":\"\"}"
        );
    }

    #[test]
    fn the_table_is_aligned() {
        let text = table(&[State { owner: "root".into(), ..example() }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "ID          PID         STATUS      BUNDLE      CREATED                OWNER"
        );
        assert_eq!(
            lines[1],
            "abc         7           running     /b          2026-01-02T03:04:05Z   root"
        );
    }
}
