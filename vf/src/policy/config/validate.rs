//! Validates a configuration that is well-formed.
//!
//! The person who types `docker run` may see these messages, so they name the line of a tenant and
//! not its name.

use super::figure::Figure;
use super::parse::{ConfigProblem, KeyPath};
use super::schema::{Config, Pool, Tenant};
use crate::policy::request::{MTU_RANGE, NAME_RULE, is_name};
use crate::policy::suggest::did_you_mean;

pub(crate) const LIST_PF_ONCE: &str = "list each PF once, in one pool";

impl Config {
    /// Checks the pools and tenants. `text` is the text of the file, for line numbers in messages.
    pub(super) fn validate(&self, text: &str) -> Result<(), ConfigProblem> {
        if self.pools.is_empty() {
            return Err(ConfigProblem::of_whole_file("no pool is defined"));
        }
        (0..self.pools.len()).try_for_each(|index| validate_pool(&self.pools, index))?;
        for index in 0..self.tenants.len() {
            self.validate_tenant(index)?;
            self.check_vlan_overlaps(index, text)?;
        }
        Ok(())
    }

    fn validate_tenant(&self, index: usize) -> Result<(), ConfigProblem> {
        let Tenant { name, vlans, pools, max, namespaces, .. } = &self.tenants[index];
        let problem = |key, problem: &str, hint: &str| {
            Err(KeyPath::new("tenant", index, key).problem(problem.to_owned(), hint))
        };
        if !is_name(name) {
            return problem("name", "not a valid tenant name", NAME_RULE);
        }
        if self.tenants[..index].iter().any(|other| other.name == *name) {
            let hint = "merge them or rename one";
            return problem("name", "an earlier tenant has the same name", hint);
        }
        if vlans.is_empty() {
            let hint = "add some, for example `vlans = [100, \"200-299\"]`";
            return problem("vlans", "this tenant has no VLAN", hint);
        }
        if *max == Some(0) {
            return problem("max", "`max` must be at least 1", "remove it for no limit");
        }
        if let Some(item) = namespaces.iter().position(|namespace| !is_namespace(namespace)) {
            let problem = format!("`{}` is not a namespace of Kubernetes", namespaces[item]);
            return Err(KeyPath::item("tenant", index, "namespaces", item)
                .problem(problem, "a namespace is 1 to 63 lower-case letters, digits or `-`"));
        }
        let Some(pools) = pools else { return Ok(()) };
        if pools.is_empty() {
            let hint = "remove `pools` to allow all pools";
            return problem("pools", "this tenant may use no pool", hint);
        }
        let existing: Vec<&str> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        match pools.iter().enumerate().find(|(_, pool)| !existing.contains(&pool.as_str())) {
            None => Ok(()),
            Some((item, pool)) => Err(KeyPath::item("tenant", index, "pools", item)
                .problem(format!("pool `{pool}` does not exist"), did_you_mean(pool, &existing))),
        }
    }

    /// Checks that no VLAN of a tenant belongs to an earlier tenant or is listed twice: a range
    /// that contains another VLAN of the same list is probably a typing error.
    fn check_vlan_overlaps(&self, index: usize, text: &str) -> Result<(), ConfigProblem> {
        let key = |tenant, item| KeyPath::item("tenant", tenant, "vlans", item);
        for (item, range) in self.tenants[index].vlans.iter().enumerate() {
            for (tenant, other) in self.tenants[..=index].iter().enumerate() {
                let earlier = if tenant == index { item } else { other.vlans.len() };
                for (other_item, other_range) in other.vlans[..earlier].iter().enumerate() {
                    let Some(overlap) = range.overlap(*other_range) else { continue };
                    let line = key(tenant, other_item).line(text).unwrap_or(1);
                    let which = if tenant == index { "this" } else { "another" };
                    let problem =
                        format!("VLAN {overlap} already belongs to {which} tenant, in line {line}");
                    let hint = "list each VLAN once, for one tenant";
                    return Err(key(index, item).problem(problem, hint));
                }
            }
        }
        Ok(())
    }
}

/// Whether a text is a DNS label (RFC 1123), as Kubernetes requires of a namespace.
fn is_namespace(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn validate_pool(pools: &[Pool], index: usize) -> Result<(), ConfigProblem> {
    let pool = &pools[index];
    let at_key = |key| KeyPath::new("pool", index, key);
    if pool.pfs.is_empty() {
        let hint = "add a name from `ip -br link`, for example `pfs = [\"enp1s0f0\"]`";
        return Err(at_key("pfs").problem(format!("pool `{}` has no PF", pool.name), hint));
    }
    if pools[..index].iter().any(|other| other.name == pool.name) {
        let problem = format!("two pools are named `{}`", pool.name);
        return Err(at_key("name").problem(problem, "merge them or rename one"));
    }
    if pool.vfs == Some(0) {
        let problem = format!("pool `{}`: `vfs` must be at least 1", pool.name);
        return Err(
            at_key("vfs").problem(problem, "remove it to create as many VFs as the PF supports")
        );
    }
    if pool.mtu.is_some_and(|mtu| !MTU_RANGE.contains(&mtu)) {
        let problem = format!("pool `{}`: `mtu` must be from 68 to 65535", pool.name);
        return Err(at_key("mtu").problem(problem, "remove it to keep the driver's MTU"));
    }
    for (key, figure) in [("channels", pool.channels), ("rx_ring", pool.rx_ring)] {
        if figure == Some(Figure::Number(0)) {
            let problem = format!("pool `{}`: `{key}` must be at least 1", pool.name);
            return Err(at_key(key).problem(problem, "remove it for the default"));
        }
    }
    if pool.rx_usecs == Some(Figure::Max) {
        let problem = format!("pool `{}`: `rx_usecs` must be a number or \"keep\"", pool.name);
        return Err(at_key("rx_usecs").problem(problem, "remove it for the default"));
    }
    for (item, pf) in pool.pfs.iter().enumerate() {
        let at_item = KeyPath::item("pool", index, "pfs", item);
        // The name becomes part of a path in sysfs.
        if pf.is_empty() || pf.contains(['/', '\0']) {
            let problem = format!("pool `{}`: `{pf}` is not a valid PF name", pool.name);
            return Err(at_item.problem(problem, "use a name from `ip -br link`"));
        }
        if pool.pfs[..item].contains(pf) {
            return Err(at_item
                .problem(format!("pool `{}` names PF `{pf}` twice", pool.name), LIST_PF_ONCE));
        }
        if let Some(other) = pools[..index].iter().find(|other| other.pfs.contains(pf)) {
            let problem =
                format!("PF `{pf}` is in pool `{}` and in pool `{}`", other.name, pool.name);
            return Err(at_item.problem(problem, LIST_PF_ONCE));
        }
    }
    Ok(())
}
