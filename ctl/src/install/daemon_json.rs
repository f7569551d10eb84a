//! runvf's keys in dockerd's configuration file: text in, text out.
//!
//! The edits are made in a concrete syntax tree, so that the user's order, indentation and line
//! ends stay. An object in one line that gets another key is broken into several lines.

use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde_json::Value;

use super::engine::{NAME, RUNTIME};
use crate::error::Error;

/// An empty or missing file is edited as this text.
const EMPTY: &str = "{}\n";
const RUNTIMES: &str = "runtimes";
const DEFAULT_RUNTIME: &str = "default-runtime";
/// dockerd accepts a byte order mark; the JSON parsers do not.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A file's text, and its path for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DaemonJson<'a> {
    pub(crate) path: &'a Path,
    /// `None`: the file does not exist.
    pub(crate) text: Option<&'a str>,
}

impl<'a> DaemonJson<'a> {
    pub(crate) fn with_runvf(self, default: bool) -> Result<String, Error> {
        self.edit(|root| {
            let runvf = CstInputValue::Object(vec![("path".to_owned(), RUNTIME.into())]);
            match self.runtimes(root)? {
                Some(runtimes) if self.runvf(&runtimes)?.is_none() => {
                    runtimes.append(NAME, runvf);
                }
                Some(_) => {}
                None => {
                    let runtimes = CstInputValue::Object(vec![(NAME.to_owned(), runvf)]);
                    root.append(RUNTIMES, runtimes);
                }
            }
            match self.default_in(root)? {
                Some(runtime) if default => runtime.set_value(NAME.into()),
                None if default => drop(root.append(DEFAULT_RUNTIME, NAME.into())),
                _ => {}
            }
            Ok(())
        })
    }

    /// `default_before` is the default runtime, as JSON, that the file had before runvf became the
    /// default.
    pub(crate) fn without_runvf(self, default_before: Option<&str>) -> Result<String, Error> {
        // An invalid file does not prevent the uninstall if it does not even have the name.
        if !self.body().contains(NAME) {
            return Ok(self.text.unwrap_or_default().to_owned());
        }
        self.edit(|root| {
            for property in properties(root, RUNTIMES) {
                self.remove_runvf(property)?;
            }
            // dockerd does not start with a default runtime that it does not know.
            let before = default_before.and_then(|json| serde_json::from_str::<String>(json).ok());
            let is_runvf = |runtime: &CstObjectProp| json(runtime) == NAME;
            for runtime in properties(root, DEFAULT_RUNTIME).filter(is_runvf) {
                match &before {
                    Some(before) => runtime.set_value(before.as_str().into()),
                    None => runtime.remove(),
                }
            }
            Ok(())
        })
    }

    /// Removes runvf from `runtimes`, and `runtimes` if it is empty then. Anything else there is
    /// dockerd's concern.
    fn remove_runvf(self, property: CstObjectProp) -> Result<(), Error> {
        let Some(runtimes) = property.value().as_ref().and_then(CstNode::as_object) else {
            return Ok(());
        };
        let mut is_removed = false;
        for runvf in properties(&runtimes, NAME) {
            let path = json(&runvf).get("path").cloned();
            if path.as_ref().is_none_or(|path| path != RUNTIME) {
                return Err(
                    self.other_path(path.map_or("none".to_owned(), |path| path.to_string()))
                );
            }
            runvf.remove();
            is_removed = true;
        }
        if is_removed && runtimes.properties().is_empty() {
            property.remove();
        }
        Ok(())
    }

    /// The same configuration with the keys `runtimes` and `default-runtime` present: at a reload
    /// dockerd keeps the value of a key that is missing in the file, so it would know runvf until
    /// its next start. `default` is whether to write `default-runtime`; it must not be written if
    /// the command line sets it.
    pub(crate) fn explicit(self, default: bool) -> Result<String, Error> {
        self.edit(|root| {
            if properties(root, RUNTIMES).next().is_none() {
                root.append(RUNTIMES, CstInputValue::Object(Vec::new()));
            }
            if default && properties(root, DEFAULT_RUNTIME).next().is_none() {
                root.append(DEFAULT_RUNTIME, "runc".into());
            }
            Ok(())
        })
    }

    /// The default runtime, as JSON.
    pub(crate) fn default_runtime(self) -> Result<Option<String>, Error> {
        let (_document, root) = self.parse()?;
        let last = properties(&root, DEFAULT_RUNTIME).last();
        Ok(last.and_then(|property| property.value()).map(|value| value.to_string()))
    }

    /// Whether both files have the same values.
    pub(crate) fn same_values(self, other: &str) -> bool {
        let values = |file: DaemonJson<'_>| serde_json::from_str::<Value>(file.body()).ok();
        let own = values(self);
        own.is_some() && own == values(DaemonJson { path: self.path, text: Some(other) })
    }

    pub(crate) fn has_runvf(self) -> Result<bool, Error> {
        let (_document, root) = self.parse()?;
        match self.runtimes(&root)? {
            Some(runtimes) => Ok(self.runvf(&runtimes)?.is_some()),
            None => Ok(false),
        }
    }

    /// The text to parse.
    fn body(self) -> &'a str {
        let text = self.text.unwrap_or_default();
        let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if body.trim().is_empty() { EMPTY } else { body }
    }

    /// Parses the text; the object shares its nodes with the root.
    fn parse(self) -> Result<(CstRootNode, CstObject), Error> {
        // The strict parser first: it accepts what dockerd accepts, and its errors name line and
        // column.
        serde_json::from_str::<Value>(self.body())
            .map_err(|error| self.problem(error.to_string()))?;
        let document = CstRootNode::parse(self.body(), &ParseOptions::default())
            .map_err(|error| self.problem(error.to_string()))?;
        let root = document.object_value();
        let root = root.ok_or_else(|| self.problem("the file is not an object".to_owned()))?;
        Ok((document, root))
    }

    fn edit(self, edit: impl FnOnce(&CstObject) -> Result<(), Error>) -> Result<String, Error> {
        let (document, root) = self.parse()?;
        edit(&root)?;
        let edited = document.to_string();
        let text = self.text.unwrap_or_default();
        if edited == self.body() {
            return Ok(text.to_owned());
        }
        let mark = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK } else { "" };
        Ok(format!("{mark}{edited}"))
    }

    fn runtimes(self, root: &CstObject) -> Result<Option<CstObject>, Error> {
        self.object(root, RUNTIMES)
    }

    /// The entry of runvf; an entry with another program is an error.
    fn runvf(self, runtimes: &CstObject) -> Result<Option<CstObjectProp>, Error> {
        let Some(runvf) = self.object(runtimes, NAME)? else { return Ok(None) };
        let path = self.property(&runvf, "path")?.and_then(|path| path.value());
        let path = path.map_or_else(|| "none".to_owned(), |path| path.to_string());
        if serde_json::from_str::<Value>(&path).is_ok_and(|path| path == RUNTIME) {
            return self.property(runtimes, NAME);
        }
        Err(self.other_path(path))
    }

    fn other_path(self, path: String) -> Error {
        Error::Content {
            path: self.path.to_owned(),
            problem: format!("`runtimes.{NAME}` exists with the path {path}"),
            hint: format!("remove it, or change its path to \"{RUNTIME}\""),
        }
    }

    /// The property `default-runtime`.
    fn default_in(self, root: &CstObject) -> Result<Option<CstObjectProp>, Error> {
        let Some(property) = self.property(root, DEFAULT_RUNTIME)? else { return Ok(None) };
        match property.value().and_then(|value| value.as_string_lit()) {
            Some(_) => Ok(Some(property)),
            None => Err(self.problem(format!("`{DEFAULT_RUNTIME}` is not a string"))),
        }
    }

    fn object(self, parent: &CstObject, name: &str) -> Result<Option<CstObject>, Error> {
        let Some(property) = self.property(parent, name)? else { return Ok(None) };
        match property.value().as_ref().and_then(CstNode::as_object) {
            Some(object) => Ok(Some(object)),
            None => Err(self.problem(format!("`{name}` is not an object"))),
        }
    }

    fn property(self, parent: &CstObject, name: &str) -> Result<Option<CstObjectProp>, Error> {
        let mut found = properties(parent, name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(self.problem(format!("`{name}` occurs twice"))),
            (property, None) => Ok(property),
        }
    }

    fn problem(self, problem: String) -> Error {
        let hint = "correct the file first; nothing was changed".to_owned();
        Error::Content { path: self.path.to_owned(), problem, hint }
    }
}

/// The properties of this name; a file may have several.
fn properties(parent: &CstObject, name: &str) -> impl Iterator<Item = CstObjectProp> {
    let properties = parent.properties().into_iter();
    properties.filter(move |property| property.decoded_name().as_deref() == Some(name))
}

/// The value of a property.
fn json(property: &CstObjectProp) -> Value {
    let text = property.value().map(|value| value.to_string()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests;
