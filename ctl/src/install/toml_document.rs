//! Edits of a user's TOML file: everything that is not edited keeps its bytes.

use similar::{ChangeTag, TextDiff};
use toml_edit::visit::{self, Visit};
use toml_edit::visit_mut::{self, VisitMut};
use toml_edit::{DocumentMut, Table};

/// toml_edit does not keep it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Edits a valid document. Returns `None` if toml_edit would reorder it: it prints dotted keys of
/// one table side by side, even if other keys stood between them.
pub(super) fn edit(text: &str, edit: impl FnOnce(&mut DocumentMut)) -> Option<String> {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut document = body.parse::<DocumentMut>().ok()?;
    if restore_line_ends(body, &document.to_string()) != body {
        return None;
    }
    edit(&mut document);
    let mark = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK } else { "" };
    Some(format!("{mark}{}", restore_line_ends(body, &document.to_string())))
}

pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// toml_edit prints LF at the end of every line. Unchanged lines get their original line end back.
fn restore_line_ends(original: &str, edited: &str) -> String {
    fn lines(text: &str) -> Vec<(&str, &str)> {
        let split = |line: &'_ str| line.trim_end_matches(['\r', '\n']).len();
        text.split_inclusive('\n').map(|line| line.split_at(split(line))).collect()
    }
    let (old, new) = (lines(original), lines(edited));
    let [old_lines, new_lines] =
        [&old, &new].map(|lines| lines.iter().map(|(line, _)| *line).collect::<Vec<_>>());
    let mut text = String::new();
    for change in TextDiff::from_slices(&old_lines, &new_lines).iter_all_changes() {
        let end = match (change.tag(), change.old_index()) {
            (ChangeTag::Delete, _) => continue,
            (ChangeTag::Equal, Some(index)) => old[index].1,
            _ => newline(original),
        };
        // The last line of the original may have no line end.
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(newline(original));
        }
        text.push_str(change.value());
        text.push_str(end);
    }
    text
}

/// Puts the comments that stood before a removed table before the next table, or at the end of the
/// file.
pub(super) fn move_comments(document: &mut DocumentMut, removed_position: isize, comments: &str) {
    let mut next = NextTable { after: removed_position, position: None };
    next.visit_document(document);
    match next.position {
        Some(position) => Prepend { position, comments }.visit_document_mut(document),
        None => {
            let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
            document.set_trailing(format!("{comments}{trailing}"));
        }
    }
}

/// The text before the header of a table, with LF line ends.
pub(super) fn comments_before(table: &Table) -> String {
    let prefix = table.decor().prefix().and_then(|prefix| prefix.as_str());
    prefix.unwrap_or_default().replace('\r', "")
}

struct NextTable {
    after: isize,
    position: Option<isize>,
}

impl<'doc> Visit<'doc> for NextTable {
    fn visit_table(&mut self, table: &'doc Table) {
        let position = table.position().filter(|at| *at > self.after && !table.is_implicit());
        if let Some(position) = position
            && self.position.is_none_or(|nearest| position < nearest)
        {
            self.position = Some(position);
        }
        visit::visit_table(self, table);
    }
}

struct Prepend<'a> {
    position: isize,
    comments: &'a str,
}

impl VisitMut for Prepend<'_> {
    fn visit_table_mut(&mut self, table: &mut Table) {
        if table.position() == Some(self.position) && !table.is_implicit() {
            let prefix = format!("{}{}", self.comments, comments_before(table));
            table.decor_mut().set_prefix(prefix);
        }
        visit_mut::visit_table_mut(self, table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_lines_keep_their_line_ends() {
        let remove = |text| edit(text, |document| drop(document.remove("b"))).unwrap();
        assert_eq!(remove("a = 1\r\nb = 2\n# c\nd = 3"), "a = 1\r\n# c\nd = 3");
        assert_eq!(remove("\u{feff}a = 1\r\n"), "\u{feff}a = 1\r\n");
        let add = |text| edit(text, |document| document["x"] = toml_edit::value(1)).unwrap();
        assert_eq!(add("a = 1"), "a = 1\nx = 1\n");
        assert_eq!(add("a = 1\r\n[t]\r\n"), "a = 1\r\nx = 1\r\n[t]\r\n");
    }

    #[test]
    fn document_that_would_be_reordered_is_not_edited() {
        assert_eq!(edit("a.x = 1\nb = 2\na.y = 3\n", |_| {}), None);
    }
}
