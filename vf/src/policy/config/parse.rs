//! Parses the text of the file into a [`Config`]. An error has the line, the problem and the
//! remedy.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, Deserializer};

use super::defaults::{self, DefaultsError};
use super::schema::Config;
use crate::error::Error;
use crate::policy::error::PolicyError;
use crate::policy::suggest::did_you_mean;

/// A hint with the manual, at the place where `make install` and the packages install it.
pub const MANUAL: &str = "see /usr/share/doc/runvf/docs/config.md";

/// A value in the file: `key` of the `index`-th `[[table]]`, or item `item` of the list there.
/// Indices start at 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyPath {
    table: &'static str,
    index: usize,
    key: &'static str,
    item: Option<usize>,
}

impl KeyPath {
    pub(super) fn new(table: &'static str, index: usize, key: &'static str) -> Self {
        Self { table, index, key, item: None }
    }

    pub(crate) fn item(table: &'static str, index: usize, key: &'static str, item: usize) -> Self {
        Self { table, index, key, item: Some(item) }
    }

    pub(crate) fn problem(self, problem: String, hint: impl Into<String>) -> ConfigProblem {
        ConfigProblem { key: Some(self), problem, hint: hint.into() }
    }

    /// Returns the line of the value, counted from 1. Parses the text again, because the
    /// deserialized values have no positions.
    pub(super) fn line(self, text: &str) -> Option<usize> {
        let root = DeTable::parse(text).ok()?;
        let tables = root.get_ref().get(self.table)?.get_ref().as_array()?;
        let table = tables.get(self.index)?;
        let default = || root.get_ref().get("defaults")?.get_ref().as_table()?.get(self.key);
        let own = table.get_ref().as_table()?.get(self.key);
        let value = if self.table == "pool" { own.or_else(default) } else { own };
        let item = value.and_then(|value| match (self.item, value.get_ref()) {
            (Some(item), DeValue::Array(items)) => items.get(item),
            _ => None,
        });
        Some(line_at(text, item.or(value).unwrap_or(table).span().start))
    }
}

/// A problem in the content of the file.
#[derive(Debug)]
pub(crate) struct ConfigProblem {
    /// `None`: the problem is not at a single key.
    key: Option<KeyPath>,
    problem: String,
    hint: String,
}

impl ConfigProblem {
    pub(super) fn of_whole_file(problem: &str) -> Self {
        Self { key: None, problem: problem.to_owned(), hint: MANUAL.to_owned() }
    }

    pub(crate) fn into_error(self, text: &str, path: &Path) -> Error {
        let problem = match self.key.and_then(|key| key.line(text)) {
            Some(line) => format!("line {line}: {}", self.problem),
            None => self.problem,
        };
        Error::Policy(PolicyError::Config { path: path.to_owned(), problem, hint: self.hint })
    }
}

/// The line at a byte offset, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

impl Config {
    /// Parses and validates the text. `path` is the path of the file, for messages.
    ///
    /// # Errors
    /// [`PolicyError::Config`] for the first problem.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut root = DeTable::parse(text).map_err(|error| malformed(&error, text, path))?;
        defaults::apply(root.get_mut()).map_err(|error| match error {
            DefaultsError::Malformed(error) => malformed(&error, text, path),
            DefaultsError::PerPoolKey { key, offset } => Error::Policy(PolicyError::Config {
                path: path.to_owned(),
                problem: format!("line {}: `{key}` cannot be a default", line_at(text, offset)),
                hint: "set it in each pool".to_owned(),
            }),
        })?;
        let mut config = Self::deserialize(Deserializer::from(root))
            .map_err(|error| malformed(&error, text, path))?;
        config.validate(text).map_err(|problem| problem.into_error(text, path))?;
        let all_pools: Vec<String> = config.pools.iter().map(|pool| pool.name.clone()).collect();
        for tenant in &mut config.tenants {
            tenant.pools.get_or_insert_with(|| all_pools.clone());
        }
        Ok(config)
    }
}

/// Converts an error of toml or serde. The list of valid keys comes from serde's message, which
/// quotes first the unknown key and then the valid ones, so that this code needs no list of its
/// own.
fn malformed(error: &toml::de::Error, text: &str, path: &Path) -> Error {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (problem, hint) = match (message.split_once(", expected "), quoted.as_slice()) {
        (Some((problem, _)), [typed, valid @ ..])
            if problem.starts_with("unknown ") && !valid.is_empty() =>
        {
            (problem, did_you_mean(typed, valid))
        }
        _ => (message, MANUAL.to_owned()),
    };
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    Error::Policy(PolicyError::Config {
        path: path.to_owned(),
        problem: format!("line {line}: {problem}"),
        hint,
    })
}

#[cfg(test)]
mod tests;
