//! `/etc/runvf/config.toml`: the pools of PFs that VFs come from, and the VLANs of each tenant.
//!
//! `file_ownership` refuses a file that users other than root can change; `parse`, `defaults` and
//! `validate` report its errors; `authorize` compares it with a request.

mod capture;
mod defaults;
mod figure;
pub(crate) mod file_ownership;
pub(crate) mod parse;
mod profile;
mod schema;
pub(crate) mod validate;
mod vlans;

use std::path::Path;

pub(crate) use self::capture::Capture;
pub use self::capture::{Interrupts, Offloads, Placement};
pub use self::figure::Figure;
pub use self::file_ownership::check_folder_owners;
pub use self::parse::MANUAL;
pub use self::schema::{
    Carrier, Config, OnLoss, OnPromiscOff, Pool, Profile, Promisc, Rest, Scrub, Tenant,
};
pub use self::vlans::VlanRange;
pub(crate) use self::vlans::join_ranges;

use crate::error::Error;
use crate::host::Host;
use crate::policy::error::PolicyError;

impl Config {
    /// Reads and validates the configuration file.
    ///
    /// # Errors
    /// [`PolicyError::NoConfig`], with an example for this machine, when the file does not exist;
    /// [`PolicyError::Config`] when users other than root can change it, or when its content is not
    /// valid; [`KernelError::File`] when it cannot be read.
    ///
    /// [`KernelError::File`]: crate::KernelError::File
    pub fn load(host: &Host) -> Result<Self, Error> {
        Self::parse(&file_ownership::read(host)?, &host.config)
    }

    /// Returns the whole configuration as TOML, with all defaults filled in.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Returns the pool with the requested name or, if the request names none, the only pool. It
    /// never guesses between several pools, because their PFs see different traffic and a wrong
    /// guess would leave a sensor blind.
    ///
    /// # Errors
    /// [`PolicyError::Config`] when there is no such pool, or when there are several and the
    /// request names none.
    pub(crate) fn pool(&self, requested: Option<&str>, path: &Path) -> Result<&Pool, Error> {
        let pools: Vec<&Pool> = self.pools.iter().collect();
        match requested {
            None => only_pool(&pools, path),
            Some(name) => pools.iter().find(|pool| pool.name == name).copied().ok_or_else(|| {
                Error::Policy(PolicyError::Config {
                    path: path.to_owned(),
                    problem: format!("pool `{name}` does not exist"),
                    hint: format!("use one of: {}", pool_names(&pools)),
                })
            }),
        }
    }
}

/// Returns the pool of a container that names none: the only pool in `pools`.
pub(crate) fn only_pool<'a>(pools: &[&'a Pool], path: &Path) -> Result<&'a Pool, Error> {
    match pools {
        [pool] => Ok(pool),
        several => Err(Error::Policy(PolicyError::Config {
            path: path.to_owned(),
            problem: "there are several pools, but the container names none".to_owned(),
            hint: format!("add `io.runvf.pool=<name>`, one of: {}", pool_names(several)),
        })),
    }
}

pub(crate) fn pool_names(pools: &[&Pool]) -> String {
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
        assert!(two.pool(Some("c"), path).unwrap_err().line().contains("pool `c` does not exist"));
    }

    #[test]
    fn to_toml_returns_an_equivalent_config() {
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
