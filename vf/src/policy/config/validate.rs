//! What a configuration must not say although it could be read.
//!
//! Whoever types `docker run` may be shown this. So what is wrong with a tenant is told by its line and not by its name.

use super::parse::{Fault, Place};
use super::schema::{Config, Pool, Tenant};
use crate::policy::request::{MTU, NAME, is_name};
use crate::policy::suggest::did_you_mean;

pub(crate) const ONE_POOL: &str = "a PF is in one pool and there once: take it out of the other";

impl Config {
    pub(super) fn is_sound(&self, text: &str) -> Result<(), Fault> {
        if self.pools.is_empty() {
            return Err(Fault::of_the_whole("it names no pool"));
        }
        (0..self.pools.len()).try_for_each(|index| pool_is_sound(&self.pools, index))?;
        for index in 0..self.tenants.len() {
            self.tenant_is_sound(index)?;
            self.vlans_have_one_owner(index, text)?;
        }
        Ok(())
    }

    fn tenant_is_sound(&self, index: usize) -> Result<(), Fault> {
        let Tenant { name, vlans, pools, max, .. } = &self.tenants[index];
        let wrong = |key, problem: &str, hint: &str| {
            Err(Place::new("tenant", index, key).fault(problem.to_owned(), hint))
        };
        if !is_name(name) {
            return wrong("name", "this is not the name of a tenant", NAME);
        }
        if self.tenants[..index].iter().any(|other| other.name == *name) {
            let hint = "make them one, or give one another name";
            return wrong("name", "there is another tenant of this name above", hint);
        }
        if vlans.is_empty() {
            let hint = "write them as in `vlans = [100, \"200-299\"]`";
            return wrong("vlans", "this tenant has no VLAN", hint);
        }
        if *max == Some(0) {
            return wrong("max", "`max` must be 1 or more", "leave it out for no bound");
        }
        let Some(pools) = pools else { return Ok(()) };
        if pools.is_empty() {
            let hint = "leave `pools` out for all of them";
            return wrong("pools", "this tenant may use no pool", hint);
        }
        let known: Vec<&str> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        match pools.iter().enumerate().find(|(_, pool)| !known.contains(&pool.as_str())) {
            None => Ok(()),
            Some((item, pool)) => Err(Place::item("tenant", index, "pools", item)
                .fault(format!("there is no pool `{pool}`"), did_you_mean(pool, &known))),
        }
    }

    /// Neither among those before it nor within itself: a range that holds another VLAN of the list is a slip of the fingers.
    fn vlans_have_one_owner(&self, index: usize, text: &str) -> Result<(), Fault> {
        let place = |tenant, item| Place::item("tenant", tenant, "vlans", item);
        for (item, range) in self.tenants[index].vlans.iter().enumerate() {
            for (tenant, other) in self.tenants[..=index].iter().enumerate() {
                let before = if tenant == index { item } else { other.vlans.len() };
                for (at, of) in other.vlans[..before].iter().enumerate() {
                    let Some(both) = range.overlap(*of) else { continue };
                    let line = place(tenant, at).line(text).unwrap_or(1);
                    let whose = if tenant == index { "this" } else { "another" };
                    let problem =
                        format!("VLAN {both} is {whose} tenant's already, by line {line}");
                    let hint = "a VLAN has one tenant and is there once: take it out of the other";
                    return Err(place(index, item).fault(problem, hint));
                }
            }
        }
        Ok(())
    }
}

fn pool_is_sound(pools: &[Pool], index: usize) -> Result<(), Fault> {
    let pool = &pools[index];
    let at = |key| Place::new("pool", index, key);
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
    if pool.mtu.is_some_and(|mtu| !MTU.contains(&mtu)) {
        let problem = format!("pool `{}`: `mtu` must be from 68 to 65535", pool.name);
        return Err(at("mtu").fault(problem, "leave it out for the driver's own"));
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
