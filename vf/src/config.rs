//! `/etc/runvf/config.toml`: which PFs there are to take VFs from, and which tenant may have which VLANs.
//!
//! `trust` says whose word the file is, `parse` and `sound` what is wrong with it, `policy` (in the crate's root) what follows from it.

mod defaults;
mod parse;
mod sound;
mod trust;
mod vlans;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use self::parse::MANUAL;
pub use self::trust::folders_are_roots;
pub use self::vlans::VlanRange;
pub(crate) use self::vlans::list;

use self::parse::Place;
use crate::inventory::{Pf, pci_named};
use crate::kernel::sysfs::Sysfs;
use crate::{Error, Host, VlanProto};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
    /// None: whoever may annotate a container may have any VLAN.
    #[serde(rename = "tenant", default)]
    pub tenants: Vec<Tenant>,
    /// They are in the pools already, see `config/defaults.rs`; here so that the key is known.
    #[serde(rename = "defaults", default, skip_serializing)]
    _defaults: BTreeMap<String, IgnoredAny>,
}

/// Who may have VFs on which VLANs. A VLAN has one tenant at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub name: String,
    pub vlans: Vec<VlanRange>,
    /// What tags them: 100 of the one is another network than 100 of the other.
    #[serde(default)]
    pub proto: VlanProto,
    /// The names of the pools whose VFs it may have. `None`: of all.
    pub pools: Option<Vec<String>>,
    /// The most VFs that it may have at once. `None`: as many as there are.
    pub max: Option<usize>,
}

impl Tenant {
    pub(crate) fn owns(&self, vlan: u16) -> bool {
        self.vlans.iter().any(|range| range.contains(vlan))
    }

    pub(crate) fn may_use(&self, pool: &str) -> bool {
        self.pools.as_ref().is_none_or(|pools| pools.iter().any(|name| name == pool))
    }
}

/// PFs that see the same traffic: a VF of one is as good as a VF of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Netdev names, alternative names of theirs, or PCI addresses. Tried in this order.
    pub pfs: Vec<String>,
    /// The PFs' driver, as it is named in `/sys/bus/pci/drivers`: a PF with another is not taken. `None`: whichever it is.
    pub driver: Option<String>,
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
    /// What a VF is set up as inside.
    #[serde(default)]
    pub profile: Profile,
    /// Of containers that ask for none, as [`crate::Interface::mtu`]. `None`: the driver's own.
    pub mtu: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// It listens and says nothing of its own: no ARP, no IPv6, and no frames merged into what was never on the wire.
    #[default]
    Sensor,
    /// It takes part: ARP, IPv6 and offloads are as the driver and the namespace have them. Promiscuous all the same.
    Plain,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        Self::parse(&trust::read(host)?, &host.config)
    }

    /// Loads the configuration and finds every PF that it names on this machine.
    ///
    /// # Errors
    /// As [`Config::load`]; [`Error::NoPf`], [`Error::NoSriov`], [`Error::OtherDriver`]; [`Error::Config`] when two names lead to one PF: its VFs would
    /// count twice, and whichever pool comes first would decide how they are cleaned.
    pub fn check(host: &Host) -> Result<Self, Error> {
        let text = trust::read(host)?;
        let config = Self::parse(&text, &host.config)?;
        let sysfs = Sysfs(host.sysfs.clone());
        let mut seen: Vec<(String, &str, &str)> = Vec::new();
        for (index, pool) in config.pools.iter().enumerate() {
            for (item, named) in pool.pfs.iter().enumerate() {
                let pf = Pf::find(&sysfs, named, pool)?;
                if let Some((_, other, of)) = seen.iter().find(|(pci, ..)| *pci == pf.pci) {
                    let at = Place::item("pool", index, "pfs", item);
                    let what = format!("`{named}` is the PF that pool `{of}` names `{other}`");
                    return Err(at.fault(what, sound::ONE_POOL).error(&text, &host.config));
                }
                seen.push((pf.pci, named, &pool.name));
            }
        }
        Ok(config)
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
            Some(name) => {
                all.iter().find(|pool| pool.name == name).copied().ok_or_else(|| Error::Config {
                    path: path.to_owned(),
                    problem: format!("has no pool `{name}`"),
                    hint: format!("there is: {}", names(&all)),
                })
            }
        }
    }
}

/// The only one of several pools that a container may have meant.
pub(crate) fn only<'a>(pools: &[&'a Pool], path: &Path) -> Result<&'a Pool, Error> {
    match pools {
        [only] => Ok(only),
        several => Err(Error::Config {
            path: path.to_owned(),
            problem: "has several pools and the container names none".to_owned(),
            hint: format!("add `io.runvf.pool=<name>`, one of: {}", names(several)),
        }),
    }
}

pub(crate) fn names(pools: &[&Pool]) -> String {
    pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether a netdev belongs to a VF of a PF that some pool names.
///
/// # Errors
/// As [`Config::load`]; when the kernel cannot be asked for alternative names.
pub fn manages(host: &Host, netdev: &str) -> Result<bool, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let config = Config::load(host)?;
    let Some((pf, _)) = sysfs.pci_of_netdev(netdev).and_then(|vf| sysfs.pf_of(&vf)) else {
        return Ok(false);
    };
    for named in config.pools.iter().flat_map(|pool| &pool.pfs) {
        if pci_named(&sysfs, named)?.as_ref() == Some(&pf) {
            return Ok(true);
        }
    }
    Ok(false)
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
