//! `[defaults]`: values for the pools that do not set them. They are copied into the pools before
//! the pools are parsed. The copies keep their position in the text, so that an error in a default
//! is reported with its own line.

use std::borrow::Cow;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::schema::Pool;

/// The keys that two pools cannot share.
const PER_POOL_KEYS: [&str; 2] = ["name", "pfs"];

/// An error in the defaults.
pub(super) enum DefaultsError {
    /// A key that must be set in each pool, and its byte offset in the text.
    PerPoolKey {
        key: &'static str,
        offset: usize,
    },
    Malformed(toml::de::Error),
}

/// Copies the defaults into the pools.
pub(super) fn apply(root: &mut DeTable<'_>) -> Result<(), DefaultsError> {
    // If `defaults` is not a table, the parser of the whole file reports it.
    let Some(DeValue::Table(defaults)) = root.get("defaults").map(Spanned::get_ref) else {
        return Ok(());
    };
    let defaults = defaults.clone();
    for key in PER_POOL_KEYS {
        if let Some((typed, _)) = defaults.iter().find(|(typed, _)| typed.get_ref() == key) {
            return Err(DefaultsError::PerPoolKey { key, offset: typed.span().start });
        }
    }
    check_values(defaults.clone()).map_err(DefaultsError::Malformed)?;
    let Some(DeValue::Array(pools)) = root.get_mut("pool").map(Spanned::get_mut) else {
        return Ok(());
    };
    for pool in pools.iter_mut() {
        let DeValue::Table(pool) = pool.get_mut() else { continue };
        for (key, value) in &defaults {
            if !pool.contains_key(key.get_ref().as_ref()) {
                pool.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

/// Checks that the defaults are valid keys and values of a pool, also if no pool uses them.
fn check_values(mut defaults: DeTable<'_>) -> Result<(), toml::de::Error> {
    let without_position = |text: &'static str| Spanned::new(0..0, Cow::Borrowed(text));
    let name = DeValue::String(Cow::Borrowed("a"));
    defaults.insert(without_position("name"), Spanned::new(0..0, name));
    defaults.insert(without_position("pfs"), Spanned::new(0..0, DeValue::Array(DeArray::new())));
    Pool::deserialize(Deserializer::from(Spanned::new(0..0, defaults))).map(drop)
}
