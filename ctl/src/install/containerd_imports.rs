//! The `imports` of containerd's configuration, which include runvf's drop-in.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use toml_edit::{Array, Item, Value};

use super::containerd_toml::{ConfigToml, DROP_IN};
use super::toml_document::{line_end, line_start, newline, replace, values};
use crate::error::Error;

const IMPORTS: &str = "imports";
const BYTE_ORDER_MARK: &str = "\u{feff}";

impl ConfigToml<'_> {
    /// Adds the drop-in as the last import, because a later import replaces values of an earlier
    /// one.
    pub(super) fn with_import(self) -> Result<String, Error> {
        if self.has_import()? {
            return Ok(self.text.to_owned());
        }
        let parsed = self.parsed()?;
        let Some(imports) = parsed.get(IMPORTS) else {
            let version = parsed.get("version").filter(|version| version.is_integer());
            return self.checked(insert_line(self.text, version.and_then(Item::span)));
        };
        let (Some(array), Some(span)) = (imports.as_array(), imports.span()) else {
            return Err(self.problem("`imports` is not an array".to_owned(), "correct it first"));
        };
        let quoted = format!("\"{DROP_IN}\"");
        self.checked(match array.iter().last().and_then(Value::span) {
            Some(last) => replace(self.text, last.end..last.end, &format!(", {quoted}")),
            None => replace(self.text, span.start + 1..span.start + 1, &quoted),
        })
    }

    /// Removes every import of the drop-in, because containerd does not start if the file of an
    /// import is missing. A pattern that matches the drop-in stays, because it also matches other
    /// files.
    pub(super) fn without_import(self) -> Result<String, Error> {
        let parsed = self.parsed()?;
        let Some(array) = parsed.get(IMPORTS).and_then(Item::as_array) else {
            return Ok(self.text.to_owned());
        };
        let is_drop_in = |import: &Value| import.as_str().is_some_and(|it| self.is_drop_in(it));
        let Some(index) = array.iter().position(is_drop_in) else {
            return Ok(self.text.to_owned());
        };
        let text = match line_of_install(self.text, array) {
            Some(line) => replace(self.text, line, ""),
            None => remove_element(self.text, array, index),
        };
        let text = self.checked(text)?;
        ConfigToml { text: &text, ..self }.without_import()
    }

    /// Whether an import names the drop-in, absolutely or relative to the file.
    fn is_drop_in(self, import: &str) -> bool {
        self.absolute(import) == Path::new(DROP_IN)
    }

    /// The path of an import. containerd does not resolve symlinks in it either.
    fn absolute(self, import: &str) -> PathBuf {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let mut path = PathBuf::new();
        for component in dir.join(import).components() {
            match component {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        path
    }

    /// Returns the edited text if it is valid, and no value but the import of the drop-in has
    /// changed.
    fn checked(self, text: String) -> Result<String, Error> {
        let rest = |text: &str| {
            let mut all = values(text)?;
            let table = all.as_object_mut()?;
            if let Some(imports) = table.get_mut(IMPORTS).and_then(|value| value.as_array_mut()) {
                imports.retain(|import| import.as_str().is_none_or(|it| !self.is_drop_in(it)));
                if imports.is_empty() {
                    table.remove(IMPORTS);
                }
            }
            Some(all)
        };
        match rest(&text) {
            Some(new) if rest(self.text) == Some(new.clone()) => Ok(text),
            _ => Err(self.problem(
                "the imports cannot be edited".to_owned(),
                "add or remove \"/etc/containerd/conf.d/50-runvf.toml\" in `imports` by hand; \
                 nothing was changed",
            )),
        }
    }

    /// Whether an import or a pattern covers the drop-in.
    pub(super) fn has_import(self) -> Result<bool, Error> {
        let parsed = self.parsed()?;
        let imports = parsed.get("imports").and_then(Item::as_array);
        let covers =
            |pattern: &str| matches_path(&self.absolute(pattern).to_string_lossy(), DROP_IN);
        Ok(imports.is_some_and(|all| all.iter().filter_map(Value::as_str).any(covers)))
    }
}

/// Inserts `imports` after the line of `version`. Without a version it is the first line, because
/// any other line may be inside of a value.
fn insert_line(text: &str, version: Option<Range<usize>>) -> String {
    let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let at = version.map_or(start, |version| line_end(text, version.end));
    let newline = newline(text);
    let begins_a_line = at == start || text[..at].ends_with('\n');
    let before = if begins_a_line { "" } else { newline };
    replace(text, at..at, &format!("{before}imports = [\"{DROP_IN}\"]{newline}"))
}

/// The line that install wrote, if it is unchanged and has no comment.
fn line_of_install(text: &str, array: &Array) -> Option<Range<usize>> {
    let span = array.span()?;
    let line = line_start(text, span.start)..line_end(text, span.end);
    let is_unchanged = text[line.clone()].trim_end() == format!("imports = [\"{DROP_IN}\"]");
    let before = &text[..line.start];
    let line_before = before.lines().last().unwrap_or_default().trim_start();
    (is_unchanged && !line_before.starts_with('#')).then_some(line)
}

/// Removes an element and one comma; comments beside it stay.
fn remove_element(text: &str, array: &Array, index: usize) -> String {
    let span = |index: usize| array.get(index).and_then(Value::span);
    let Some(own) = span(index) else { return text.to_owned() };
    if let Some(before) = index.checked_sub(1).and_then(span) {
        let between = without_comma(&text[before.end..own.start]);
        let between = if between.contains('#') { &*between } else { "" };
        return replace(text, before.end..own.end, between);
    }
    match span(index + 1) {
        Some(next) => {
            let between = without_comma(&text[own.end..next.start]);
            replace(
                text,
                own.start..next.start,
                between.trim_start_matches([' ', '\t', '\r', '\n']),
            )
        }
        None => {
            let Some(all) = array.span() else { return text.to_owned() };
            let after = without_comma(&text[own.end..all.end - 1]);
            replace(text, own.start..all.end - 1, &after)
        }
    }
}

/// The text between two elements, without the comma that is outside of comments.
fn without_comma(text: &str) -> String {
    let mut is_comment = false;
    let comma = text.char_indices().find(|(_, char)| {
        is_comment = (is_comment || *char == '#') && *char != '\n';
        *char == ',' && !is_comment
    });
    comma.map_or_else(|| text.to_owned(), |(at, _)| replace(text, at..at + 1, ""))
}

/// Matches as Go's `filepath.Glob` does, limited to `*` within one path component.
fn matches_path(pattern: &str, path: &str) -> bool {
    let components = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (patterns, names) = (components(pattern), components(path));
    patterns.len() == names.len()
        && patterns.iter().zip(&names).all(|(pattern, name)| matches_name(pattern, name))
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|end| matches_name(rest, end)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigToml<'_> {
        ConfigToml { path: Path::new("/etc/containerd/config.toml"), text }
    }

    #[test]
    fn import_is_added_where_no_pattern_covers_it() {
        let with = |text: &str| file(text).with_import().unwrap();
        let import = "imports = [\"/etc/containerd/conf.d/50-runvf.toml\"]\n";
        assert_eq!(with("version = 3\n[grpc]\n"), format!("version = 3\n{import}[grpc]\n"));
        let other = "other = [\n  1,\n]\n[grpc]\n";
        for text in ["[version]\nx = 1\n", "[version.x]\n", "", "# mine\n[grpc]\n", other] {
            assert_eq!(with(text), format!("{import}{text}"), "without a version");
        }
        assert_eq!(
            with("imports = [\"a\"]\nversion = 3"),
            "imports = [\"a\", \"/etc/containerd/conf.d/50-runvf.toml\"]\nversion = 3"
        );
        assert_eq!(
            with("imports = [\n  \"a\", # first\n]\n"),
            "imports = [\n  \"a\", \"/etc/containerd/conf.d/50-runvf.toml\", # first\n]\n"
        );
        for covered in ["/etc/containerd/conf.d/*.toml", "conf.d/*", "/etc/*/conf.d/50-*.toml"] {
            let text = format!("version = 3\nimports = [\"{covered}\"]\n");
            assert_eq!(with(&text), text);
        }
    }

    #[test]
    fn every_import_of_the_drop_in_is_removed() {
        for (text, expected) in [
            ("imports = [\"conf.d/50-runvf.toml\"]\n", "imports = []\n"),
            ("imports = [\"{}\", 'a', \"{}\"]\n", "imports = ['a']\n"),
            (
                "imports = [\"/etc/containerd/../containerd/./conf.d/50-runvf.toml\", 'a']\n",
                "imports = ['a']\n",
            ),
            ("imports = [\"/etc/x/50-runvf.toml\"]\n", "imports = [\"/etc/x/50-runvf.toml\"]\n"),
        ] {
            let text = text.replace("{}", DROP_IN);
            assert_eq!(file(&text).without_import().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn comment_that_looks_like_an_empty_import_stays() {
        for text in ["# imports = []\nversion = 2\n", "version = 2\n# imports = []\n[debug]\n"] {
            let with = file(text).with_import().unwrap();
            assert_eq!(file(&with).without_import().unwrap(), text, "{with}");
        }
    }

    #[test]
    fn import_with_a_comment_is_emptied_and_kept() {
        for (text, expected) in [
            ("# why\nimports = [\"{}\"]\n", "# why\nimports = []\n"),
            ("imports = [\"{}\"] # why\n", "imports = [] # why\n"),
            ("imports = [\"{}\", \"b\"]\n", "imports = [\"b\"]\n"),
            ("imports = [ \"a\", \"{}\" ]\n", "imports = [ \"a\" ]\n"),
            ("imports = [\n  \"{}\", # x, y\n  \"b\"\n]\n", "imports = [\n  # x, y\n  \"b\"\n]\n"),
            ("imports = [\n  \"a\", # x, y\n  \"{}\"]\n", "imports = [\n  \"a\" # x, y\n  ]\n"),
            ("imports = [\n  \"{}\", # x\n]\n", "imports = [\n   # x\n]\n"),
        ] {
            let text = text.replace("{}", DROP_IN);
            assert_eq!(file(&text).without_import().unwrap(), expected, "{text}");
        }
    }
}
