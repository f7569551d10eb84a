//! `[defaults]`: what every pool says that does not say otherwise. Written into the pools before these are looked at, with the
//! places where it stands, so that what is wrong with a default is told with its own line.

use std::borrow::Cow;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::schema::Pool;

/// No two pools can have them in common.
const OWN: [&str; 2] = ["name", "pfs"];

/// What is wrong with the defaults.
pub(super) enum Wrong {
    /// A key that only a pool can have, and where in the text it is.
    Own {
        key: &'static str,
        at: usize,
    },
    Malformed(toml::de::Error),
}

pub(super) fn apply(root: &mut DeTable<'_>) -> Result<(), Wrong> {
    // What is no table is for whoever reads the whole file to refuse.
    let Some(DeValue::Table(defaults)) = root.get("defaults").map(Spanned::get_ref) else {
        return Ok(());
    };
    let defaults = defaults.clone();
    for key in OWN {
        if let Some((typed, _)) = defaults.iter().find(|(typed, _)| typed.get_ref() == key) {
            return Err(Wrong::Own { key, at: typed.span().start });
        }
    }
    readable(defaults.clone()).map_err(Wrong::Malformed)?;
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

/// Whether a pool could say all of it, even if there is none, or none that leaves it to the defaults.
fn readable(mut defaults: DeTable<'_>) -> Result<(), toml::de::Error> {
    let nowhere = |text: &'static str| Spanned::new(0..0, Cow::Borrowed(text));
    let name = DeValue::String(Cow::Borrowed("a"));
    defaults.insert(nowhere("name"), Spanned::new(0..0, name));
    defaults.insert(nowhere("pfs"), Spanned::new(0..0, DeValue::Array(DeArray::new())));
    Pool::deserialize(Deserializer::from(Spanned::new(0..0, defaults))).map(drop)
}
