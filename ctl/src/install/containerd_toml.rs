//! runvf's tables in containerd's configuration: text in, text out.

use std::path::Path;

use toml_edit::{Document, DocumentMut, Item};

use super::engine::{NAME, RUNTIME};
use super::toml_document::{self, comments_before, move_comments};
use crate::error::Error;

/// Where containerd reads runvf's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// containerd 1: in the user's file. A drop-in does not work, because for each plugin that it
    /// names, it replaces everything that the user's file says about that plugin.
    Tables,
    /// containerd 2, which merges files: in a file of runvf's own, which the user's file imports.
    DropIn,
}

pub(super) const DROP_IN: &str = "/etc/containerd/conf.d/50-runvf.toml";
/// The versions of the configuration; each has another plugin for the runtimes.
const VERSIONS: [i64; 2] = [2, 3];
/// What install writes before its first table.
const MARKER: &str = "\n# runvf, added by `runvfctl install containerd`\n";

/// The user's file: its text, and its path for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigToml<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// The plugin that has the runtimes, in this version of the configuration.
pub(super) fn plugin(version: i64) -> &'static str {
    if version >= 3 { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" }
}

/// The text of the drop-in. Its version must not be higher than that of the file that imports it.
pub(super) fn drop_in(version: i64) -> String {
    let marker = MARKER.trim_start();
    format!("{marker}version = {version}\n\n{}", runvf_table(version))
}

fn runvf_table(version: i64) -> String {
    let table = format!("plugins.\"{}\".containerd.runtimes.{NAME}", plugin(version));
    format!(
        "[{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n  \
         pod_annotations = [\"io.runvf.*\"]\n  container_annotations = [\"io.runvf.*\"]\n  \
         [{table}.options]\n    BinaryName = \"{RUNTIME}\"\n"
    )
}

/// containerd 1 drops its built-in runtime as soon as the file names any, and does not start CRI
/// without its default runtime.
fn runc_table(version: i64) -> String {
    format!(
        "[plugins.\"{}\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n",
        plugin(version)
    )
}

fn tables(version: i64, with_runc: bool) -> String {
    let runc = if with_runc { runc_table(version) } else { String::new() };
    format!("{MARKER}{runc}{}", runvf_table(version))
}

impl<'a> ConfigToml<'a> {
    pub(super) fn version(self) -> Result<i64, Error> {
        let version = self.parsed()?.get("version").and_then(Item::as_integer).unwrap_or(1);
        if version >= 2 {
            return Ok(version);
        }
        Err(self.problem(
            "the file has version 1, which does not support runvf's tables".to_owned(),
            "set `version = 2` in its first line and write plugin names in full; containerd 2 prints \
             the converted file with `containerd config migrate`",
        ))
    }

    pub(super) fn with_runvf(self, form: Form) -> Result<String, Error> {
        match form {
            Form::Tables => self.with_tables(),
            Form::DropIn => {
                let text = self.with_import()?;
                match (ConfigToml { text: &text, ..self }).has_import() {
                    Ok(true) => Ok(text),
                    _ => Err(self.problem(
                        "no import can be added to the file".to_owned(),
                        "add `imports = [\"/etc/containerd/conf.d/50-runvf.toml\"]` by hand",
                    )),
                }
            }
        }
    }

    /// Removes runvf's tables and import. The table of runc that install added stays if the user
    /// has added another runtime since and containerd uses runc by default; the second value is
    /// whether it stays.
    pub(super) fn without_runvf(self) -> Result<(String, bool), Error> {
        self.version()?;
        let mut keeps_runc = false;
        let text = match self.binary()? {
            None => self.text.to_owned(),
            Some(path) if path == RUNTIME => self.edit(|document| {
                for version in VERSIONS {
                    keeps_runc |= remove_runtimes(document, plugin(version));
                }
            })?,
            Some(path) => {
                return Err(self.problem(
                    format!("the runtime {NAME} was edited: its program is {path}"),
                    "remove it by hand",
                ));
            }
        };
        Ok((ConfigToml { text: &text, ..self }.without_import()?, keeps_runc))
    }

    /// Whether the CRI plugin is disabled, so that pods cannot use this containerd.
    pub(super) fn cri_is_disabled(self) -> bool {
        let Ok(parsed) = self.parsed() else { return false };
        let disabled = parsed.get("disabled_plugins").and_then(Item::as_array);
        disabled.is_some_and(|all| {
            all.iter()
                .filter_map(toml_edit::Value::as_str)
                .any(|name| ["cri", plugin(2), plugin(3)].contains(&name))
        })
    }

    pub(super) fn has_runvf(self, form: Form) -> Result<bool, Error> {
        Ok(match form {
            Form::Tables => self.binary()?.is_some(),
            Form::DropIn => self.has_import()?,
        })
    }

    /// The tables are appended as text, so that every byte of the user's file stays.
    fn with_tables(self) -> Result<String, Error> {
        let version = self.version()?;
        match self.binary()? {
            Some(path) if path == RUNTIME => return Ok(self.text.to_owned()),
            Some(path) => {
                return Err(self.problem(
                    format!("the runtime {NAME} exists with the program {path}"),
                    "remove it first",
                ));
            }
            None => {}
        }
        let parsed = self.parsed()?;
        let has_runtimes = runtimes(parsed.as_item(), plugin(version))
            .and_then(Item::as_table_like)
            .is_some_and(|runtimes| !runtimes.is_empty());
        let newline = toml_document::newline(self.text);
        let mut text = self.text.to_owned();
        if !text.ends_with('\n') {
            text.push_str(newline);
        }
        text.push_str(&tables(version, !has_runtimes).replace('\n', newline));
        // TOML does not allow a table header below an inline table or dotted keys.
        ConfigToml { text: &text, ..self }.parsed().map_err(|_| {
            self.problem(
                "its plugins are written as inline tables".to_owned(),
                "write them with table headers first, `[plugins.\"…\"]`",
            )
        })?;
        Ok(text)
    }

    /// The program of the runtime runvf, if there is such a runtime.
    fn binary(self) -> Result<Option<String>, Error> {
        let parsed = self.parsed()?;
        let runvf = VERSIONS
            .into_iter()
            .find_map(|version| runtimes(parsed.as_item(), plugin(version))?.get(NAME));
        Ok(runvf.map(|runvf| {
            let binary = runvf.get("options").and_then(|options| options.get("BinaryName"));
            binary.and_then(Item::as_str).unwrap_or("runc").to_owned()
        }))
    }

    pub(super) fn parsed(self) -> Result<Document<&'a str>, Error> {
        Document::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(self.text.len()));
            let before = &self.text[..at];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
            self.problem(
                format!("{} at line {line} column {column}", error.message()),
                "correct the file first; nothing was changed",
            )
        })
    }

    pub(super) fn edit(self, edit: impl FnOnce(&mut DocumentMut)) -> Result<String, Error> {
        self.parsed()?;
        toml_document::edit(self.text, edit).ok_or_else(|| {
            self.problem(
                "the file cannot be edited without a new order of its dotted keys".to_owned(),
                "write the dotted keys of one table side by side first; nothing was changed",
            )
        })
    }

    pub(super) fn problem(self, problem: String, hint: &str) -> Error {
        Error::Content { path: self.path.to_owned(), problem, hint: hint.to_owned() }
    }
}

/// The runtimes of a plugin, in the user's file or in containerd's dump.
pub(super) fn runtimes<'a>(root: &'a Item, plugin: &str) -> Option<&'a Item> {
    root.get("plugins")?.get(plugin)?.get("containerd")?.get("runtimes")
}

pub(super) fn default_runtime<'a>(root: &'a Item, plugin: &str) -> Option<&'a str> {
    root.get("plugins")?.get(plugin)?.get("containerd")?.get("default_runtime_name")?.as_str()
}

/// Removes runvf, and runc if install added it and no other runtime needs it. Returns whether runc
/// stays for others.
fn remove_runtimes(document: &mut DocumentMut, plugin: &str) -> bool {
    let Some((position, comments)) = remove_runtime(document, plugin, NAME) else { return false };
    let runc = runtimes(document.as_item(), plugin).and_then(|all| all.get("runc")?.as_table());
    if !runc.is_some_and(|runc| comments_before(runc).contains(MARKER)) {
        move_comments(document, position, &comments.replace(MARKER, ""));
        return false;
    }
    let count = runtimes(document.as_item(), plugin)
        .and_then(Item::as_table_like)
        .map_or(0, toml_edit::TableLike::len);
    let is_default = default_runtime(document.as_item(), plugin).unwrap_or("runc") == "runc";
    if count > 1 && is_default {
        move_comments(document, position, &comments);
        if let Some(runc) = runtimes_mut(document, plugin)
            .and_then(|runtimes| runtimes.as_table_like_mut()?.get_mut("runc")?.as_table_mut())
        {
            let comments = comments_before(runc).replace(MARKER, "");
            runc.decor_mut().set_prefix(comments);
        }
        return true;
    }
    // Of the text before runvf's table, the empty line is install's.
    if !comments.trim().is_empty() {
        move_comments(document, position, &comments);
    }
    if let Some((position, comments)) = remove_runtime(document, plugin, "runc") {
        move_comments(document, position, &comments.replace(MARKER, ""));
    }
    false
}

/// Removes a runtime. Returns the position of its table, and the text before it.
fn remove_runtime(document: &mut DocumentMut, plugin: &str, name: &str) -> Option<(isize, String)> {
    let item = runtimes_mut(document, plugin)?.as_table_like_mut()?.remove(name)?;
    let table = item.as_table();
    let position = table.and_then(toml_edit::Table::position).unwrap_or(isize::MAX);
    Some((position, table.map(comments_before).unwrap_or_default()))
}

fn runtimes_mut<'a>(document: &'a mut DocumentMut, plugin: &str) -> Option<&'a mut Item> {
    // Not `Item::get_mut`, which inserts missing keys.
    let mut item = document.as_item_mut();
    for key in ["plugins", plugin, "containerd", "runtimes"] {
        item = item.as_table_like_mut()?.get_mut(key)?;
    }
    Some(item)
}

#[cfg(test)]
pub(super) mod tests;
