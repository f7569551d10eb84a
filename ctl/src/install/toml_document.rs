//! A user's TOML file: its values, and edits that keep every other byte.

use std::ops::Range;

use serde_json::{Value, json};
use toml_edit::{Document, Item};

/// The values of a document, without comments and layout; `None` if it is not valid.
pub(super) fn values(text: &str) -> Option<Value> {
    Document::parse(text).ok().map(|document| item_value(document.as_item()))
}

pub(super) fn item_value(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => plain_value(value),
        Item::Table(table) => {
            table.iter().map(|(key, item)| (key.to_owned(), item_value(item))).collect()
        }
        Item::ArrayOfTables(tables) => {
            let values = |table: &toml_edit::Table| item_value(&Item::Table(table.clone()));
            tables.iter().map(values).collect()
        }
    }
}

fn plain_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(boolean) => (*boolean.value()).into(),
        // JSON has neither infinity nor dates.
        toml_edit::Value::Float(number) => json!({ "float": number.value().to_string() }),
        toml_edit::Value::Datetime(time) => json!({ "datetime": time.value().to_string() }),
        toml_edit::Value::Array(values) => values.iter().map(plain_value).collect(),
        toml_edit::Value::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), plain_value(value))).collect()
        }
    }
}

pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

pub(super) fn replace(text: &str, range: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..range.start], &text[range.end..])
}

/// Removes ranges, which may overlap.
pub(super) fn cut(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let (mut left, mut end) = (String::new(), 0);
    for range in ranges {
        left.push_str(&text[end..range.start.max(end)]);
        end = range.end.max(end);
    }
    left.push_str(&text[end..]);
    left
}

/// The start of the line that has the byte `at`.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The end of the line that has the byte `at`, after its line end.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_without_quotes_layout_and_comments() {
        let same = |one, other| assert_eq!(values(one).unwrap(), values(other).unwrap());
        same("a.b = 1 # why\n[c]\nd = ['x']\n", "[a]\nb = 1\n[\"c\"]\nd = [\n\"x\", ]\n");
        assert_ne!(values("a = 1.5\n"), values("a = 1.25\n"));
        assert_eq!(values("a = 1\na = 2\n"), None);
    }

    #[test]
    fn cut_ranges_may_overlap() {
        assert_eq!(cut("abcdef", vec![3..5, 0..2, 1..2]), "cf");
        assert_eq!((line_start("a\nbc\nd", 3), line_end("a\nbc\nd", 3)), (2, 5));
        assert_eq!((line_start("ab", 1), line_end("ab", 1)), (0, 2));
    }
}
