//! `/etc/runvf/config.toml`: which PFs there are to take VFs from, and which tenant may have which VLANs.
//!
//! `trust` says whose word the file is, `parse` and `sound` what is wrong with it, `policy` (in the crate's root) what follows from it.

mod defaults;
pub(crate) mod file_ownership;
pub(crate) mod parse;
mod schema;
pub(crate) mod validate;
mod vlans;

use std::path::Path;

pub use self::file_ownership::folders_are_roots;
pub use self::parse::MANUAL;
pub use self::schema::{Carrier, Config, OnLoss, Pool, Profile, Promisc, Scrub, Tenant};
pub use self::vlans::VlanRange;
pub(crate) use self::vlans::list;

use crate::error::Error;
use crate::host::Host;
use crate::policy::error::PolicyError;

impl Config {
    /// # Errors
    /// [`PolicyError::NoConfig`] when there is no file, with one that would do for this machine; [`PolicyError::Config`] when
    /// somebody but root could have written it, or when it does not say what it must.
    pub fn load(host: &Host) -> Result<Self, Error> {
        Self::parse(&file_ownership::read(host)?, &host.config)
    }

    /// The whole configuration, with what it leaves out filled in, as the file could say it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// The pool of that name or, when none is named, the only one there is: PFs of two pools see different traffic, and a
    /// guess would leave a sensor blind.
    pub(crate) fn pool(&self, asked: Option<&str>, path: &Path) -> Result<&Pool, Error> {
        let all: Vec<&Pool> = self.pools.iter().collect();
        match asked {
            None => only(&all, path),
            Some(name) => all.iter().find(|pool| pool.name == name).copied().ok_or_else(|| {
                Error::Policy(PolicyError::Config {
                    path: path.to_owned(),
                    problem: format!("has no pool `{name}`"),
                    hint: format!("there is: {}", names(&all)),
                })
            }),
        }
    }
}

/// The only one of several pools that a container may have meant.
pub(crate) fn only<'a>(pools: &[&'a Pool], path: &Path) -> Result<&'a Pool, Error> {
    match pools {
        [only] => Ok(only),
        several => Err(Error::Policy(PolicyError::Config {
            path: path.to_owned(),
            problem: "has several pools and the container names none".to_owned(),
            hint: format!("add `io.runvf.pool=<name>`, one of: {}", names(several)),
        })),
    }
}

pub(crate) fn names(pools: &[&Pool]) -> String {
    pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_never_guessed() {
        let path = Path::new("/c.toml");
        let parse = |text: &str| Config::parse(text, path).unwrap();
        let one = parse("pool = [{ name = \"a\", pfs = [\"x\"] }]");
        assert_eq!(one.pool(None, path).unwrap().name, "a");
        let two =
            parse("pool = [{ name = \"a\", pfs = [\"x\"] }, { name = \"b\", pfs = [\"y\"] }]");
        assert_eq!(two.pool(Some("b"), path).unwrap().name, "b");
        assert!(two.pool(None, path).unwrap_err().line().ends_with("one of: a, b"));
        assert!(two.pool(Some("c"), path).unwrap_err().line().contains("has no pool `c`"));
    }

    #[test]
    fn what_is_shown_is_a_config_that_says_the_same() {
        let text = "pool = [{ name = \"a\", pfs = [\"x\"], vfs = 3 }]\n\
            [[tenant]]\nname = \"acme\"\nvlans = [1, \"200-299\"]\n";
        let path = Path::new("/c.toml");
        let config = Config::parse(text, path).unwrap();
        let shown = config.to_toml();
        for line in ["carrier = \"require\"", "pools = [\"a\"]", "vlans = [1, \"200-299\"]"] {
            assert!(shown.contains(line), "{shown}");
        }
        assert_eq!(Config::parse(&shown, path).unwrap().to_toml(), shown);
    }
}
