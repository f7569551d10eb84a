//! The line of containerd's configuration that imports runvf's drop-in.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, Value};

use super::containerd_toml::{ConfigToml, DROP_IN};
use crate::error::Error;

impl ConfigToml<'_> {
    pub(super) fn with_import(self) -> Result<String, Error> {
        if self.imports_us()? {
            return Ok(self.text.to_owned());
        }
        let parsed = self.parsed()?;
        let Some(imports) = parsed.get("imports") else {
            let version = parsed.get("version").filter(|version| version.is_integer());
            // Without it at the very beginning: the first line may open a value that has more lines.
            let start = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
            let at = version.and_then(Item::span).map_or(start, |span| {
                let rest = &self.text[span.end..];
                rest.find('\n').map_or(self.text.len(), |at| span.end + at + 1)
            });
            let begins_a_line = at == start || self.text[..at].ends_with('\n');
            let lead = if begins_a_line { "" } else { self.newline() };
            let line = format!("{lead}imports = [\"{DROP_IN}\"]{}", self.newline());
            return Ok(splice(self.text, at..at, &line));
        };
        let (Some(array), Some(span)) = (imports.as_array(), imports.span()) else {
            return Err(self.problem("`imports` is not a list".to_owned(), "correct it first"));
        };
        let quoted = format!("\"{DROP_IN}\"");
        Ok(match array.iter().last().and_then(Value::span) {
            None => splice(self.text, span.start + 1..span.end - 1, &quoted),
            Some(last) => splice(self.text, last.end..last.end, &format!(", {quoted}")),
        })
    }

    /// A pattern of the user's that fits stays: it is not for us alone.
    pub(super) fn without_import(self) -> Result<String, Error> {
        let parsed = self.parsed()?;
        let Some(imports) = parsed.get("imports").filter(|item| item.is_array()) else {
            return Ok(self.text.to_owned());
        };
        let spans: Vec<(bool, Range<usize>)> = imports
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| Some((value.as_str() == Some(DROP_IN), value.span()?)))
            .collect();
        let Some(at) = spans.iter().position(|(ours, _)| *ours) else {
            return Ok(self.text.to_owned());
        };
        let this = &spans[at].1;
        let cut = match (at.checked_sub(1).map(|n| &spans[n].1), spans.get(at + 1)) {
            (Some(before), _) => before.end..this.end,
            (None, Some((_, next))) => this.start..next.start,
            (None, None) => this.clone(),
        };
        Ok(splice(self.text, cut, "").replace("imports = []\n", "").replace("imports = []\r\n", ""))
    }

    pub(super) fn imports_us(self) -> Result<bool, Error> {
        let parsed = self.parsed()?;
        let imports = parsed.get("imports").and_then(Item::as_array);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let ours = |pattern: &str| matches(&folder.join(pattern).to_string_lossy(), DROP_IN);
        Ok(imports.is_some_and(|all| all.iter().filter_map(Value::as_str).any(ours)))
    }
}

fn splice(text: &str, span: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}

/// As Go's `filepath.Glob`, as far as anybody uses it here: `*` within one name.
fn matches(pattern: &str, path: &str) -> bool {
    let names = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (patterns, names) = (names(pattern), names(path));
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

    #[test]
    fn an_import_is_added_where_it_is_not_covered() {
        let with = |text: &str| {
            ConfigToml { path: Path::new("/etc/containerd/config.toml"), text }
                .with_import()
                .unwrap()
        };
        assert_eq!(
            with("version = 3\n[grpc]\n"),
            "version = 3\nimports = [\"/etc/containerd/conf.d/50-runvf.toml\"]\n[grpc]\n"
        );
        let first = "imports = [\"/etc/containerd/conf.d/50-runvf.toml\"]\n";
        for text in ["other = [\n  1,\n]\n[grpc]\n", "[version]\nx = 1\n", "[version.x]\n", ""] {
            assert_eq!(with(text), format!("{first}{text}"), "without a version");
        }
        assert_eq!(
            with("imports = [\"a\"]\nversion = 3"),
            "imports = [\"a\", \"/etc/containerd/conf.d/50-runvf.toml\"]\nversion = 3"
        );
        for covered in ["/etc/containerd/conf.d/*.toml", "conf.d/*", "/etc/*/conf.d/50-*.toml"] {
            let text = format!("version = 3\nimports = [\"{covered}\"]\n");
            assert_eq!(with(&text), text);
        }
    }
}
