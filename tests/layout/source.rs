//! The source files of a crate, and the module paths in them.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of a crate.
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    /// Its module path; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    text: String,
}

/// Files and modules that hold only tests.
const TESTS: [&str; 7] =
    ["tests", "in_a_netns", "hostile", "recorded", "model", "invented", "with_tools"];

pub(crate) fn crate_sources(folder: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    list(folder, &mut files);
    let module = |file: &Path| -> Vec<String> {
        let path = file.strip_prefix(folder).unwrap_or(file).with_extension("");
        let mut names: Vec<String> =
            path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        if names.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
            names.pop();
        }
        names
    };
    let sources = files.into_iter().map(|file| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Source { module: module(&file), text: code(&text), file }
    });
    sources
        .filter(|source| !source.module.iter().any(|name| TESTS.contains(&name.as_str())))
        .collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => list(&path, files),
            path if path.extension().is_some_and(|end| end == "rs") => files.push(path),
            _ => {}
        }
    }
    files.sort();
}

/// The text up to the tests at its end, without comments.
fn code(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        let module = rest.peek().is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && module {
            break;
        }
        lines.push(line.split("//").next().unwrap_or_default());
    }
    lines.join("\n")
}

impl Source {
    /// The text without comments and tests.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Every module path in the file, from the crate's root.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for statement in self.text.split(';') {
            match use_tree(statement) {
                Some(tree) => leaves(&tree, &mut paths),
                None => paths.extend(self.inline(statement)),
            }
        }
        paths.iter().filter_map(|path| self.resolve(path)).collect()
    }

    /// Paths in code that begin with `crate`, `super`, or a module that this file declares.
    fn inline(&self, statement: &str) -> Vec<String> {
        let is_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
        let declares = |name: &str| self.text.contains(&format!("mod {name};"));
        let words = statement.split(|sign: char| !is_path(sign));
        let starts = |word: &&str| {
            let first = word.split_once("::").map(|(first, _)| first);
            first.is_some_and(|first| ["crate", "super"].contains(&first) || declares(first))
        };
        words.filter(starts).map(str::to_owned).collect()
    }

    fn resolve(&self, path: &str) -> Option<Vec<String>> {
        let mut names = path.split("::").map(str::trim).filter(|name| !name.is_empty());
        let mut root = match names.next()? {
            "crate" => Vec::new(),
            "super" => self.module.split_last()?.1.to_vec(),
            // A child module of this file.
            first => {
                [self.module.clone(), vec![first.trim_start_matches("r#").to_owned()]].concat()
            }
        };
        for name in names {
            match name {
                "self" => {}
                "super" => drop(root.pop()),
                name => root.push(name.to_owned()),
            }
        }
        root.retain(|name| name != "self");
        Some(root)
    }
}

/// What a `use` declaration imports, if the statement ends with one.
fn use_tree(statement: &str) -> Option<String> {
    let start = statement.rfind("use ")?;
    let before = statement[..start].trim_end();
    let begins = before.is_empty()
        || before.ends_with(['}', ']', ')', '{', '\n'])
        || before.ends_with("pub");
    begins.then(|| statement[start + 4..].split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The paths of a use tree: `a::{b, c::d}` → `a::b`, `a::c::d`.
fn leaves(tree: &str, paths: &mut Vec<String>) {
    let Some((prefix, rest)) = tree.split_once('{') else {
        paths.push(tree.split(" as ").next().unwrap_or_default().trim().to_owned());
        return;
    };
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let (mut depth, mut start) = (0, 0);
    for (at, sign) in body.char_indices().chain([(body.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = body[start..at].trim();
                if !part.is_empty() {
                    leaves(&format!("{prefix}{part}"), paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}
