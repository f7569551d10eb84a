//! `/etc/runvf/config.toml`.

use super::finding::Finding;
use super::machine::Machine;
use crate::error::Error;
use crate::policy::config::Config;
use crate::policy::error::PolicyError;

pub(super) fn config(machine: &Machine) -> Finding {
    const CHECK: &str = "config";
    match Config::load(&machine.host) {
        Ok(config) => {
            let pools = config.pools.iter();
            let pools: Vec<String> =
                pools.map(|pool| format!("{} ({})", pool.name, pool.pfs.join(", "))).collect();
            Finding::ok(CHECK, pools.join(", "))
        }
        Err(error @ Error::Policy(PolicyError::NoConfig { .. })) => {
            Finding::failure(CHECK, error.to_string(), "`runvfctl init` writes one")
        }
        Err(error) => Finding::failure(CHECK, error.to_string(), error.hint().unwrap_or_default()),
    }
}
