//! The file's text → a [`Config`], or what is wrong with it, in which line, and what would be right.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::vlans::list;
use super::{Config, Pool, Tenant};
use crate::Error;
use crate::request::{NAME, is_name};
use crate::spelling::did_you_mean;

pub(super) const ONE_POOL: &str = "a PF is in one pool and there once: take it out of the other";
const MANUAL: &str = "see docs/config.md";

/// A value of the file: of the `index`-th `[[table]]` the value of `key`, or the `item`-th in that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    table: &'static str,
    index: usize,
    key: &'static str,
    item: Option<usize>,
}

impl Place {
    pub(super) fn item(table: &'static str, index: usize, key: &'static str, item: usize) -> Self {
        Self { table, index, key, item: Some(item) }
    }

    pub(super) fn fault(self, problem: String, hint: impl Into<String>) -> Fault {
        Fault { place: Some(self), problem, hint: hint.into() }
    }

    /// Counted from 1. What serde has read does not know any more where it stood, so the text is parsed once more.
    fn line(self, text: &str) -> Option<usize> {
        let root = DeTable::parse(text).ok()?;
        let all = root.get_ref().get(self.table)?.get_ref().as_array()?;
        let table = all.get(self.index)?;
        let value = table.get_ref().as_table()?.get(self.key);
        let item = value.and_then(|value| match (self.item, value.get_ref()) {
            (Some(item), DeValue::Array(items)) => items.get(item),
            _ => None,
        });
        Some(line(text, item.or(value).unwrap_or(table).span().start))
    }
}

/// Something wrong in the file.
#[derive(Debug)]
pub(super) struct Fault {
    /// `None`: in the file as a whole.
    place: Option<Place>,
    problem: String,
    hint: String,
}

impl Fault {
    pub(super) fn error(self, text: &str, path: &Path) -> Error {
        let problem = match self.place.and_then(|place| place.line(text)) {
            Some(line) => format!("line {line}: {}", self.problem),
            None => self.problem,
        };
        Error::Config { path: path.to_owned(), problem, hint: self.hint }
    }
}

fn line(text: &str, start: usize) -> usize {
    text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
}

impl Config {
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| malformed(&error, text, path))?;
        config.is_sound().map_err(|fault| fault.error(text, path))?;
        let all: Vec<String> = config.pools.iter().map(|pool| pool.name.clone()).collect();
        for tenant in &mut config.tenants {
            tenant.pools.get_or_insert_with(|| all.clone());
        }
        Ok(config)
    }

    fn is_sound(&self) -> Result<(), Fault> {
        if self.pools.is_empty() {
            let problem = "it names no pool".to_owned();
            return Err(Fault { place: None, problem, hint: MANUAL.to_owned() });
        }
        (0..self.pools.len()).try_for_each(|index| pool_is_sound(&self.pools, index))?;
        (0..self.tenants.len()).try_for_each(|index| self.tenant_is_sound(index))
    }

    fn tenant_is_sound(&self, index: usize) -> Result<(), Fault> {
        let Tenant { name, vlans, pools, max } = &self.tenants[index];
        let at = |key| Place { table: "tenant", index, key, item: None };
        if !is_name(name) {
            return Err(at("name").fault(format!("`{name}` is not the name of a tenant"), NAME));
        }
        if self.tenants[..index].iter().any(|other| other.name == *name) {
            let problem = format!("there are two tenants named `{name}`");
            return Err(at("name").fault(problem, "make them one, or give one another name"));
        }
        if vlans.is_empty() {
            let problem = format!("tenant `{name}` has no VLAN");
            return Err(at("vlans").fault(problem, "write them as in `vlans = [100, \"200-299\"]`"));
        }
        if *max == Some(0) {
            let problem = format!("tenant `{name}`: `max` must be 1 or more");
            return Err(at("max").fault(problem, "leave it out for no bound"));
        }
        let pools = pools.iter().flat_map(|pools| pools.iter().enumerate());
        let known: Vec<&str> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        for (item, pool) in pools.clone().filter(|(_, pool)| !known.contains(&pool.as_str())) {
            let problem = format!("tenant `{name}`: there is no pool `{pool}`");
            let hint = did_you_mean(pool, &known);
            return Err(Place::item("tenant", index, "pools", item).fault(problem, hint));
        }
        if self.tenants[index].pools.is_some() && pools.count() == 0 {
            let problem = format!("tenant `{name}` may use no pool");
            return Err(at("pools").fault(problem, "leave `pools` out for all of them"));
        }
        self.vlans_have_one_owner(index)
    }

    fn vlans_have_one_owner(&self, index: usize) -> Result<(), Fault> {
        let tenant = &self.tenants[index];
        for (item, range) in tenant.vlans.iter().enumerate() {
            let at = |problem, hint: &str| {
                Place::item("tenant", index, "vlans", item).fault(problem, hint)
            };
            let twice = tenant.vlans[..item].iter().find_map(|other| range.overlap(*other));
            if let Some(twice) = twice {
                let problem = format!("tenant `{}` has VLAN {twice} twice", tenant.name);
                return Err(at(problem, "take it out of one of the ranges"));
            }
            for other in &self.tenants[..index] {
                if let Some(both) = other.vlans.iter().find_map(|of| range.overlap(*of)) {
                    let problem = format!(
                        "VLAN {both} is tenant `{}`'s and tenant `{}`'s",
                        other.name, tenant.name
                    );
                    let theirs = list(&other.vlans);
                    let hint = format!("a VLAN has one tenant, and `{}` has {theirs}", other.name);
                    return Err(at(problem, &hint));
                }
            }
        }
        Ok(())
    }
}

fn pool_is_sound(pools: &[Pool], index: usize) -> Result<(), Fault> {
    let pool = &pools[index];
    let at = |key| Place { table: "pool", index, key, item: None };
    if pool.pfs.is_empty() {
        let hint = "name one as `ip -br link` shows it, as in `pfs = [\"enp1s0f0\"]`";
        return Err(at("pfs").fault(format!("pool `{}` names no PF", pool.name), hint));
    }
    if pools[..index].iter().any(|other| other.name == pool.name) {
        let problem = format!("there are two pools named `{}`", pool.name);
        return Err(at("name").fault(problem, "make them one, or give one another name"));
    }
    if pool.vfs == Some(0) {
        let problem = format!("pool `{}`: `vfs` must be 1 or more", pool.name);
        return Err(at("vfs").fault(problem, "leave it out for as many as a PF can have"));
    }
    for (item, pf) in pool.pfs.iter().enumerate() {
        let at = Place::item("pool", index, "pfs", item);
        // A name may lead anywhere once it is part of a path.
        if pf.is_empty() || pf.contains(['/', '\0']) {
            let problem = format!("pool `{}`: `{pf}` is no PF's name", pool.name);
            return Err(at.fault(problem, "name one as `ip -br link` shows it"));
        }
        if pool.pfs[..item].contains(pf) {
            return Err(at.fault(format!("pool `{}` names PF `{pf}` twice", pool.name), ONE_POOL));
        }
        if let Some(other) = pools[..index].iter().find(|other| other.pfs.contains(pf)) {
            let problem =
                format!("PF `{pf}` is in pool `{}` and in pool `{}`", other.name, pool.name);
            return Err(at.fault(problem, ONE_POOL));
        }
    }
    Ok(())
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
    Error::Config { path: path.to_owned(), problem: format!("line {line}: {problem}"), hint }
}

#[cfg(test)]
mod tests;
