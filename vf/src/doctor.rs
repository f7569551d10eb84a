//! What must be so on a machine before a sensor can start, looked at one by one: `runvfctl doctor`.
//!
//! Files are read below a root; what is in no file is a value of [`facts`], gathered before. So every check is a function of
//! recorded things, and the hosts in `doctor/hosts` are such records with what is to be said of them. Nothing is changed, and no
//! VF is tried out: a probe would disturb whoever has it.

mod config;
mod facts;
mod machine;
mod network;
mod pf;
mod state;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::facts::Facts;
use crate::kernel::sysfs::Sysfs;
use crate::{Config, Host};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// It could not be found out, or not without disturbing a VF.
    Unknown,
    /// Sensors start, and something is not as it should be.
    Warning,
    /// Sensors do not start, or see nothing.
    Failure,
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which stays the same from release to release.
    pub check: &'static str,
    /// The PF, VF or program that it is about; none: the machine.
    pub of: Option<String>,
    pub severity: Severity,
    pub evidence: String,
    /// What to do, if there is something to do.
    pub mend: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { check, of: None, severity: Severity::Ok, evidence: evidence.into(), mend: None }
    }

    pub fn unknown(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { severity: Severity::Unknown, ..Self::ok(check, evidence) }
    }

    pub fn warning(
        check: &'static str,
        evidence: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { severity: Severity::Warning, mend, ..Self::ok(check, evidence) }
    }

    pub fn failure(
        check: &'static str,
        evidence: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Failure, ..Self::warning(check, evidence, mend) }
    }

    #[must_use]
    pub fn of(self, object: impl Into<String>) -> Self {
        Self { of: Some(object.into()), ..self }
    }
}

/// A machine as it is looked at.
struct Machine {
    root: PathBuf,
    host: Host,
    sysfs: Sysfs,
    facts: Facts,
}

/// Looks at this machine.
pub fn doctor() -> Vec<Finding> {
    let sysfs = Sysfs(Host::default().sysfs);
    let facts = facts::gather(&sysfs);
    Machine::below(Path::new("/"), facts).findings()
}

impl Machine {
    fn below(root: &Path, facts: Facts) -> Self {
        let host = Host::below(root);
        Self { root: root.to_owned(), sysfs: Sysfs(host.sysfs.clone()), host, facts }
    }

    /// Every check there is, in the order in which they are to be mended.
    fn findings(&self) -> Vec<Finding> {
        let mut all = vec![
            machine::kernel(self),
            machine::iommu(self),
            machine::cgroup(self),
            machine::sriov(self),
            config::config(self),
        ];
        for pool in Config::load(&self.host).map(|config| config.pools).unwrap_or_default() {
            for named in &pool.pfs {
                all.extend(pf::checks(self, named, &pool));
            }
        }
        all.extend([network::network_manager(self), network::networkd(self)]);
        all.extend([state::setup_unit(self), state::gc_timer(self)]);
        all.extend(state::claims(self));
        all
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// A file's text without blanks around it.
    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.at(path)).ok().map(|text| text.trim().to_owned())
    }

    /// How many entries a folder has.
    fn count(&self, path: &str) -> usize {
        fs::read_dir(self.at(path)).map_or(0, |entries| entries.count())
    }
}

#[cfg(test)]
mod recorded;
