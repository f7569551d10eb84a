//! runvf's tables in containerd's configuration: text in, text out.

use std::path::Path;

use toml_edit::{Document, Item};

use super::engine::{NAME, RUNTIME};
use super::own_files::same_meaning;
use super::toml_document;
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

/// Why the table of runc that install added stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptRunc {
    /// Other runtimes are configured, and containerd uses runc by default.
    Needed,
    /// The user edited it.
    Edited,
}

pub(super) const DROP_IN: &str = "/etc/containerd/conf.d/50-runvf.toml";
/// The versions of the configuration; each has another plugin for the runtimes.
pub(super) const VERSIONS: [i64; 2] = [2, 3];
/// What install writes before its first table: now, and in earlier versions of runvf.
pub(super) const MARKERS: [&str; 2] = [
    "# runvf, added by `runvfctl install containerd`",
    "# runvf, by `runvfctl install containerd`; the rest of this file is not its",
];
/// The type of the runtime runc that install adds.
pub(super) const RUNC_TYPE: &str = "io.containerd.runc.v2";

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
    format!("{}\nversion = {version}\n\n{}", MARKERS[0], runvf_table(version))
}

/// Whether a text is the drop-in, of any version of the configuration.
pub(super) fn is_drop_in(text: &str) -> bool {
    let document = Document::parse(text).ok();
    let version = document.and_then(|document| document.get("version")?.as_integer());
    version.is_some_and(|version| same_meaning(text, &drop_in(version)))
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
        "[plugins.\"{}\".containerd.runtimes.runc]\n  runtime_type = \"{RUNC_TYPE}\"\n\n",
        plugin(version)
    )
}

fn tables(version: i64, with_runc: bool) -> String {
    let runc = if with_runc { runc_table(version) } else { String::new() };
    format!("\n{}\n{runc}{}", MARKERS[0], runvf_table(version))
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

    /// Removes runvf's tables and import, and the table of runc that install added. The second
    /// value is the reason if that table stays.
    pub(super) fn without_runvf(self) -> Result<(String, Option<KeptRunc>), Error> {
        let (text, kept) = match self.binary()? {
            None => (self.text.to_owned(), None),
            Some(path) if path == RUNTIME => self.without_tables()?,
            Some(path) => {
                return Err(self.problem(
                    format!("the runtime {NAME} was edited: its program is {path}"),
                    "remove it by hand",
                ));
            }
        };
        Ok((ConfigToml { text: &text, ..self }.without_import()?, kept))
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

#[cfg(test)]
pub(super) mod tests;
