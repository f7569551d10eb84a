//! The file's text → a [`Config`], or what is wrong with it, in which line, and what would be right.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, Deserializer};

use super::defaults::{self, Wrong};
use super::schema::Config;
use crate::error::Error;
use crate::policy::error::PolicyError;
use crate::policy::suggest::did_you_mean;

/// Where `make install` and the package put it.
pub const MANUAL: &str = "see /usr/share/doc/runvf/docs/config.md";

/// A value of the file: of the `index`-th `[[table]]` the value of `key`, or the `item`-th in that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    table: &'static str,
    index: usize,
    key: &'static str,
    item: Option<usize>,
}

impl Place {
    pub(super) fn new(table: &'static str, index: usize, key: &'static str) -> Self {
        Self { table, index, key, item: None }
    }

    pub(crate) fn item(table: &'static str, index: usize, key: &'static str, item: usize) -> Self {
        Self { table, index, key, item: Some(item) }
    }

    pub(crate) fn fault(self, problem: String, hint: impl Into<String>) -> Fault {
        Fault { place: Some(self), problem, hint: hint.into() }
    }

    /// Counted from 1. What serde has read does not know any more where it stood, so the text is parsed once more.
    pub(super) fn line(self, text: &str) -> Option<usize> {
        let root = DeTable::parse(text).ok()?;
        let all = root.get_ref().get(self.table)?.get_ref().as_array()?;
        let table = all.get(self.index)?;
        let default = || root.get_ref().get("defaults")?.get_ref().as_table()?.get(self.key);
        let own = table.get_ref().as_table()?.get(self.key);
        let value = if self.table == "pool" { own.or_else(default) } else { own };
        let item = value.and_then(|value| match (self.item, value.get_ref()) {
            (Some(item), DeValue::Array(items)) => items.get(item),
            _ => None,
        });
        Some(line(text, item.or(value).unwrap_or(table).span().start))
    }
}

/// Something wrong in the file.
#[derive(Debug)]
pub(crate) struct Fault {
    /// `None`: in the file as a whole.
    place: Option<Place>,
    problem: String,
    hint: String,
}

impl Fault {
    pub(super) fn of_the_whole(problem: &str) -> Self {
        Self { place: None, problem: problem.to_owned(), hint: MANUAL.to_owned() }
    }

    pub(crate) fn error(self, text: &str, path: &Path) -> Error {
        let problem = match self.place.and_then(|place| place.line(text)) {
            Some(line) => format!("line {line}: {}", self.problem),
            None => self.problem,
        };
        Error::Policy(PolicyError::Config { path: path.to_owned(), problem, hint: self.hint })
    }
}

fn line(text: &str, start: usize) -> usize {
    text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
}

impl Config {
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut root = DeTable::parse(text).map_err(|error| malformed(&error, text, path))?;
        defaults::apply(root.get_mut()).map_err(|wrong| match wrong {
            Wrong::Malformed(error) => malformed(&error, text, path),
            Wrong::Own { key, at } => Error::Policy(PolicyError::Config {
                path: path.to_owned(),
                problem: format!("line {}: `{key}` cannot be a default", line(text, at)),
                hint: "each pool has its own: write it there".to_owned(),
            }),
        })?;
        let mut config = Self::deserialize(Deserializer::from(root))
            .map_err(|error| malformed(&error, text, path))?;
        config.is_sound(text).map_err(|fault| fault.error(text, path))?;
        let all: Vec<String> = config.pools.iter().map(|pool| pool.name.clone()).collect();
        for tenant in &mut config.tenants {
            tenant.pools.get_or_insert_with(|| all.clone());
        }
        Ok(config)
    }
}

/// What toml and serde say. The keys that may stand somewhere are in serde's message alone, which quotes first what was found
/// and then what was expected; a list of our own would be one more to keep right.
fn malformed(error: &toml::de::Error, text: &str, path: &Path) -> Error {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (problem, hint) = match (message.split_once(", expected "), quoted.as_slice()) {
        (Some((problem, _)), [typed, known @ ..])
            if problem.starts_with("unknown ") && !known.is_empty() =>
        {
            (problem, did_you_mean(typed, known))
        }
        _ => (message, MANUAL.to_owned()),
    };
    let line = error.span().map_or(1, |span| line(text, span.start));
    Error::Policy(PolicyError::Config {
        path: path.to_owned(),
        problem: format!("line {line}: {problem}"),
        hint,
    })
}

#[cfg(test)]
mod tests;
