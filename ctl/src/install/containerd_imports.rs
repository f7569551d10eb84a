//! The `imports` of containerd's configuration, which include runvf's drop-in.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Value};

use super::containerd_toml::{ConfigToml, DROP_IN};
use crate::error::Error;

impl ConfigToml<'_> {
    pub(super) fn with_import(self) -> Result<String, Error> {
        if self.has_import()? {
            return Ok(self.text.to_owned());
        }
        if self.parsed()?.get("imports").is_some_and(|imports| !imports.is_array()) {
            return Err(self.problem("`imports` is not an array".to_owned(), "correct it first"));
        }
        self.edit(|document| {
            let imports = document.entry("imports").or_insert(Array::new().into());
            if let Some(imports) = imports.as_array_mut() {
                insert_first(imports, DROP_IN);
            }
        })
    }

    /// Removes the import of the drop-in. A pattern that matches it stays, because it also matches
    /// other files.
    pub(super) fn without_import(self) -> Result<String, Error> {
        let parsed = self.parsed()?;
        let imports = parsed.get("imports").and_then(Item::as_array);
        let index =
            imports.and_then(|all| all.iter().position(|one| one.as_str() == Some(DROP_IN)));
        let Some(index) = index else { return Ok(self.text.to_owned()) };
        self.edit(|document| {
            if let Some(imports) = document.get_mut("imports").and_then(Item::as_array_mut) {
                remove(imports, index);
            }
            if is_empty_without_comments(document) {
                document.remove("imports");
            }
        })
    }

    /// Whether an import or a pattern covers the drop-in.
    pub(super) fn has_import(self) -> Result<bool, Error> {
        let parsed = self.parsed()?;
        let imports = parsed.get("imports").and_then(Item::as_array);
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let covers = |pattern: &str| matches_path(&dir.join(pattern).to_string_lossy(), DROP_IN);
        Ok(imports.is_some_and(|all| all.iter().filter_map(Value::as_str).any(covers)))
    }
}

/// Inserts a string as the first element, in the layout of the others. Not as the last one, because
/// a comment at the end of the array belongs to the element before it.
fn insert_first(array: &mut Array, text: &str) {
    let mut value = Value::from(text);
    if let Some(first) = array.get_mut(0) {
        let prefix = prefix(first).to_owned();
        match prefix.rfind('\n') {
            Some(line) => value.decor_mut().set_prefix(&prefix[line..]),
            None => {
                value.decor_mut().set_prefix(prefix);
                first.decor_mut().set_prefix(" ");
            }
        }
    }
    array.insert_formatted(0, value);
}

/// Removes an element; the layout at both ends of the array stays.
fn remove(array: &mut Array, index: usize) {
    let removed = array.remove(index);
    if index == 0
        && let Some(first) = array.get_mut(0)
        && !prefix(first).contains('\n')
    {
        first.decor_mut().set_prefix(prefix(&removed));
    } else if index == array.len()
        && let (Some(last), Some(suffix)) = (array.iter_mut().last(), removed.decor().suffix())
    {
        last.decor_mut().set_suffix(suffix.clone());
    }
}

/// The space and the comments before an element.
fn prefix(value: &Value) -> &str {
    value.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default()
}

/// Whether `imports` is an empty array, and no comment would be lost with it.
fn is_empty_without_comments(document: &DocumentMut) -> bool {
    let Some((key, item)) = document.get_key_value("imports") else { return false };
    let Some(array) = item.as_array().filter(|array| array.is_empty()) else { return false };
    let texts = [key.leaf_decor().prefix(), array.decor().suffix(), Some(array.trailing())];
    let mut texts = texts.into_iter().flatten().filter_map(|text| text.as_str());
    texts.all(|text| text.trim().is_empty())
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
        for text in ["[version]\nx = 1\n", "[version.x]\n", "", "# mine\n[grpc]\n"] {
            assert_eq!(with(text), format!("{import}{text}"), "without other keys");
        }
        assert_eq!(
            with("other = [\n  1,\n]\n[grpc]\n"),
            format!("other = [\n  1,\n]\n{import}[grpc]\n")
        );
        assert_eq!(
            with("imports = [\"a\"]\nversion = 3"),
            "imports = [\"/etc/containerd/conf.d/50-runvf.toml\", \"a\"]\nversion = 3"
        );
        assert_eq!(
            with("imports = [\n  \"a\", # first\n]\n"),
            "imports = [\n  \"/etc/containerd/conf.d/50-runvf.toml\",\n  \"a\", # first\n]\n"
        );
        for covered in ["/etc/containerd/conf.d/*.toml", "conf.d/*", "/etc/*/conf.d/50-*.toml"] {
            let text = format!("version = 3\nimports = [\"{covered}\"]\n");
            assert_eq!(with(&text), text);
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
        ] {
            let text = text.replace("{}", DROP_IN);
            assert_eq!(file(&text).without_import().unwrap(), expected, "{text}");
        }
    }
}
