//! `/etc/runvf/config.toml`: which PFs there are to take VFs from.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::inventory::Pf;
use crate::kernel::sysfs::Sysfs;
use crate::{Error, Host};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
}

/// PFs that see the same traffic: a VF of one is as good as a VF of another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Netdev names or PCI addresses. Tried in this order.
    pub pfs: Vec<String>,
    /// How many VFs to create on a PF that has none. `None`: as many as the PF can have.
    pub vfs: Option<usize>,
    /// What a VF without a link is.
    #[serde(default)]
    pub carrier: Carrier,
    /// How a VF is cleaned for its next tenant.
    #[serde(default)]
    pub scrub: Scrub,
    /// What becomes of a container whose VF vanishes.
    #[serde(default)]
    pub on_loss: OnLoss,
    /// What a VF is that its driver would not make promiscuous.
    #[serde(default)]
    pub promisc: Promisc,
    /// Whether `runvfctl setup` makes the PFs promiscuous even where their driver's VFs do not depend on it.
    #[serde(default)]
    pub pf_promisc: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// An error: a sensor would see nothing.
    #[default]
    Require,
    Ignore,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promisc {
    /// An error: several drivers call a VF promiscuous that sees nothing of others.
    #[default]
    Require,
    /// What the driver makes of it will do.
    BestEffort,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrub {
    /// A new netdev, and the PF's settings as they were.
    #[default]
    Rebind,
    /// The same, with a function-level reset of the VF in between.
    Flr,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// It is killed, so that its engine sees an error and may start it anew: a sensor that sees nothing looks like peace.
    #[default]
    Stop,
    Keep,
}

impl Config {
    /// # Errors
    /// [`Error::NoConfig`] when there is no file, with one that would do for this machine; [`Error::Config`] when
    /// somebody but root could have written it, or when it does not say what it must.
    pub fn load(host: &Host) -> Result<Self, Error> {
        let path = &host.config;
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(none(host)),
            other => other.map_err(Error::file("read", path))?,
        };
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Err(Error::Config {
                path: path.clone(),
                problem: "somebody other than root may write it".to_owned(),
                hint: format!("`chown root:root {0} && chmod 644 {0}`", path.display()),
            });
        }
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Config {
            path: path.to_owned(),
            problem,
            hint: "see docs/config.md".to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message()))
        })?;
        config.is_sound().map_err(wrong)?;
        Ok(config)
    }

    fn is_sound(&self) -> Result<(), String> {
        if self.pools.is_empty() {
            return Err("it names no pool".to_owned());
        }
        for (index, pool) in self.pools.iter().enumerate() {
            if pool.pfs.is_empty() {
                return Err(format!("pool `{}` names no PF", pool.name));
            }
            if self.pools[..index].iter().any(|other| other.name == pool.name) {
                return Err(format!("there are two pools named `{}`", pool.name));
            }
            if pool.vfs == Some(0) {
                return Err(format!("pool `{}`: `vfs` must be 1 or more", pool.name));
            }
            // A name may lead anywhere once it is part of a path.
            if let Some(pf) = pool.pfs.iter().find(|pf| pf.is_empty() || pf.contains('/')) {
                return Err(format!("pool `{}`: `{pf}` is no PF's name", pool.name));
            }
        }
        Ok(())
    }

    /// Loads the configuration and finds every PF that it names on this machine.
    ///
    /// # Errors
    /// As [`Config::load`]; [`Error::NoPf`], [`Error::NoSriov`].
    pub fn check(host: &Host) -> Result<Self, Error> {
        let config = Self::load(host)?;
        let sysfs = Sysfs(host.sysfs.clone());
        for pool in &config.pools {
            pool.pfs.iter().try_for_each(|pf| Pf::find(&sysfs, pf, pool).map(drop))?;
        }
        Ok(config)
    }

    /// The pool of that name or, when none is named, the only one there is: PFs of two pools see different traffic, and a
    /// guess would leave a sensor blind.
    pub(crate) fn pool(&self, asked: Option<&str>, path: &Path) -> Result<&Pool, Error> {
        let names =
            || self.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
        match (asked, self.pools.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::Config {
                path: path.to_owned(),
                problem: "has several pools and the container names none".to_owned(),
                hint: format!("add `io.runvf.pool=<name>`, one of: {}", names()),
            }),
            (Some(name), pools) => {
                pools.iter().find(|pool| pool.name == name).ok_or_else(|| Error::Config {
                    path: path.to_owned(),
                    problem: format!("has no pool `{name}`"),
                    hint: format!("there is: {}", names()),
                })
            }
        }
    }
}

/// A configuration for the PFs that are here, on one line, because that is all that an engine relays.
fn none(host: &Host) -> Error {
    let mut pfs: Vec<String> = Sysfs(host.sysfs.clone())
        .sriov_netdevs()
        .into_iter()
        .map(|(_, name)| format!("{name:?}"))
        .collect();
    let example = if pfs.is_empty() {
        "this machine shows no NIC with SR-IOV (no /sys/bus/pci/devices/*/sriov_totalvfs)"
            .to_owned()
    } else {
        pfs.truncate(8);
        format!(
            "one for this machine is: pool = [{{ name = \"sensors\", pfs = [{}] }}]",
            pfs.join(", ")
        )
    };
    Error::NoConfig { path: host.config.clone(), example }
}

/// Whether a netdev belongs to a VF of a PF that some pool names.
///
/// # Errors
/// As [`Config::load`].
pub fn manages(host: &Host, netdev: &str) -> Result<bool, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let pf = sysfs.pci_of_netdev(netdev).and_then(|vf| sysfs.pf_of(&vf)).map(|(pf, _)| pf);
    let config = Config::load(host)?;
    let mut named = config.pools.iter().flat_map(|pool| &pool.pfs);
    Ok(named
        .any(|name| pf.is_some() && (pf.as_ref() == Some(name) || sysfs.pci_of_netdev(name) == pf)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/c.toml")).map_err(|error| error.line())
    }

    #[test]
    fn the_example_is_a_config() {
        let config = parse("pool = [{ name = \"sensors\", pfs = [\"pf0\"] }]").unwrap();
        assert_eq!(config.pools[0].pfs, ["pf0"]);
        assert_eq!((config.pools[0].vfs, config.pools[0].carrier), (None, Carrier::Require));
        assert_eq!(
            (config.pools[0].promisc, config.pools[0].pf_promisc),
            (Promisc::Require, false)
        );
    }

    #[test]
    fn less_than_promiscuity_has_to_be_asked_for() {
        let pool = "pool = [{ name = \"a\", pfs = [\"x\"], promisc = \"best-effort\", pf_promisc = true }]";
        let config = parse(pool).unwrap();
        assert_eq!(config.pools[0].promisc, Promisc::BestEffort);
        assert!(config.pools[0].pf_promisc);
        assert!(parse("pool = [{ name = \"a\", pfs = [\"x\"], promisc = \"off\" }]").is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "[[pool]]\nname = \"a\"\npfs = [\"x\"]\nvsf = 3\n",
                "/c.toml: line 4: unknown field `vsf`",
            ),
            ("[[pool]]\nname = 1\n", "/c.toml: line 2: invalid type"),
            ("[[pool\n", "/c.toml: line 1: "),
            ("", "/c.toml: it names no pool; see"),
            ("pool = [{ name = \"a\", pfs = [] }]", "/c.toml: pool `a` names no PF;"),
            (
                "pool = [{ name = \"a\", pfs = [\"x/y\"] }]",
                "/c.toml: pool `a`: `x/y` is no PF's name;",
            ),
            (
                "pool = [{ name = \"a\", pfs = [\"x\"], vfs = 0 }]",
                "/c.toml: pool `a`: `vfs` must be",
            ),
            (
                "pool = [{ name = \"a\", pfs = [\"x\"] }, { name = \"a\", pfs = [\"y\"] }]",
                "/c.toml: there are two pools named `a`;",
            ),
        ] {
            let line = parse(text).unwrap_err();
            assert!(line.starts_with(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_pool_is_never_guessed() {
        let path = Path::new("/c.toml");
        let one = parse("pool = [{ name = \"a\", pfs = [\"x\"] }]").unwrap();
        assert_eq!(one.pool(None, path).unwrap().name, "a");
        let two =
            parse("pool = [{ name = \"a\", pfs = [\"x\"] }, { name = \"b\", pfs = [\"y\"] }]");
        let two = two.unwrap();
        assert_eq!(two.pool(Some("b"), path).unwrap().name, "b");
        assert!(two.pool(None, path).unwrap_err().line().ends_with("one of: a, b"));
        assert!(two.pool(Some("c"), path).unwrap_err().line().contains("has no pool `c`"));
    }
}
