//! Removes runvf's tables from containerd's configuration. The parser says where the tables are;
//! their lines are cut out, so that every other byte stays.

use std::ops::Range;

use serde_json::{Value, json};
use toml_edit::{Document, Item, Table};

use super::containerd_toml::{
    ConfigToml, KeptRunc, MARKERS, RUNC_TYPE, VERSIONS, default_runtime, plugin, runtimes,
};
use super::engine::NAME;
use super::toml_document::{cut, item_value, line_end, line_start, values};
use crate::error::Error;

const RUNC: &str = "runc";

impl ConfigToml<'_> {
    pub(super) fn without_tables(self) -> Result<(String, Option<KeptRunc>), Error> {
        let (mut text, mut kept) = (self.text.to_owned(), None);
        for plugin in VERSIONS.map(plugin) {
            let document = ConfigToml { text: &text, ..self }.parsed()?;
            let Some(removal) = Removal::find(&text, &document, plugin) else { continue };
            let new = cut(&text, removal.cuts.clone());
            if !removal.is_exact(&text, &new, plugin) {
                return Err(self.problem(
                    format!("the runtime {NAME} is not in tables of its own"),
                    "remove `runtimes.runvf` by hand; nothing was changed",
                ));
            }
            kept = kept.or(removal.kept);
            text = new;
        }
        Ok((text, kept))
    }
}

/// What is cut out of a file.
struct Removal {
    cuts: Vec<Range<usize>>,
    runtimes: Vec<&'static str>,
    kept: Option<KeptRunc>,
}

impl Removal {
    /// `None` if the plugin does not have the runtime runvf.
    fn find(text: &str, document: &Document<&str>, plugin: &str) -> Option<Self> {
        let all = runtimes(document.as_item(), plugin)?;
        let mut removal = Self { cuts: Vec::new(), runtimes: vec![NAME], kept: None };
        let own = lines_of_tables(text, all.get(NAME)?);
        let first = own.iter().map(|lines| lines.start).min();
        removal.cuts.extend(first.and_then(|first| marker(text, first)));
        removal.cuts.extend(own);

        let Some(runc) = all.get(RUNC) else { return Some(removal) };
        let lines = lines_of_tables(text, runc);
        let first = lines.iter().map(|lines| lines.start).min();
        let Some(marker) = first.and_then(|first| marker(text, first)) else {
            return Some(removal);
        };
        removal.cuts.push(marker);
        let count = all.as_table_like().map_or(0, toml_edit::TableLike::len);
        let is_default = default_runtime(document.as_item(), plugin).unwrap_or(RUNC) == RUNC;
        if item_value(runc) != json!({ "runtime_type": RUNC_TYPE }) {
            removal.kept = Some(KeptRunc::Edited);
        } else if count > 2 && is_default {
            removal.kept = Some(KeptRunc::Needed);
        } else {
            removal.runtimes.push(RUNC);
            for lines in lines {
                removal.cuts.extend(empty_lines_before_a_cut(text, lines.end, &removal.cuts));
                removal.cuts.push(lines);
            }
        }
        Some(removal)
    }

    /// Whether nothing but the runtimes is missing in the new text.
    fn is_exact(&self, old: &str, new: &str, plugin: &str) -> bool {
        let others = |text, names: &[&str]| {
            let mut all = values(text)?;
            remove_names(&mut all, &["plugins", plugin, "containerd", "runtimes"], names);
            Some(all)
        };
        let expected = others(old, &self.runtimes);
        expected.is_some() && expected == others(new, &[])
    }
}

/// The lines of each table below `item` that has a header.
fn lines_of_tables(text: &str, item: &Item) -> Vec<Range<usize>> {
    let Some(table) = item.as_table().filter(|table| !table.is_dotted()) else {
        return Vec::new();
    };
    let mut all: Vec<_> =
        table.iter().flat_map(|(_, child)| lines_of_tables(text, child)).collect();
    if let Some(header) = table.span().filter(|_| !table.is_implicit()) {
        let end = end_of_values(table).unwrap_or(header.end).max(header.end);
        all.push(line_start(text, header.start)..line_end(text, end));
    }
    all
}

/// The end of the last value that is written below the table's header.
fn end_of_values(table: &Table) -> Option<usize> {
    let end = |item: &Item| match item {
        Item::Value(value) => value.span().map(|span| span.end),
        Item::Table(table) if table.is_dotted() => end_of_values(table),
        _ => None,
    };
    table.iter().filter_map(|(_, item)| end(item)).max()
}

/// The marker in the comments before a header, with the empty line before it.
fn marker(text: &str, header: usize) -> Option<Range<usize>> {
    let line_before = |end: usize| {
        let start = line_start(text, end.checked_sub(1)?);
        Some((start, text[start..end].trim()))
    };
    let mut end = header;
    while let Some((start, line)) = line_before(end) {
        if MARKERS.contains(&line) {
            return match line_before(start) {
                Some((empty, "")) => Some(empty..end),
                _ => Some(start..end),
            };
        }
        if !line.is_empty() && !line.starts_with('#') {
            return None;
        }
        end = start;
    }
    None
}

/// The empty lines from `start` to a range that is cut as well.
fn empty_lines_before_a_cut(
    text: &str,
    start: usize,
    cuts: &[Range<usize>],
) -> Option<Range<usize>> {
    let is_empty = |end: usize| text.get(start..end).is_some_and(|text| text.trim().is_empty());
    cuts.iter().find(|cut| is_empty(cut.start)).map(|cut| start..cut.start)
}

/// Removes the names from the table at `path`, and then the tables on the path that are empty.
fn remove_names(table: &mut Value, path: &[&str], names: &[&str]) {
    let Some(table) = table.as_object_mut() else { return };
    match path {
        [] => table.retain(|name, _| !names.contains(&name.as_str())),
        [first, rest @ ..] => {
            let Some(child) = table.get_mut(*first) else { return };
            remove_names(child, rest, names);
            if child.as_object().is_some_and(serde_json::Map::is_empty) {
                table.remove(*first);
            }
        }
    }
}
