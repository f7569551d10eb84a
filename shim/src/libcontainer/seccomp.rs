//! The seccomp filter of a process that `exec` adds. libcontainer loads none for it
//! (`tenant_builder.rs` builds a new linux section without the filter), so the programs of
//! `docker exec` would run unfiltered. runc filters them.
//!
//! runvf can load the filter only right before execve(2), after privileges are dropped. Without
//! no_new_privs, the kernel requires CAP_SYS_ADMIN for that (seccomp(2)). So the process keeps this
//! capability until then, in the effective and permitted sets but not in the bounding set, and drops
//! it after the filter is loaded. As under runc, a profile must therefore allow capset(2) and
//! execve(2).

use std::collections::HashSet;

use libcontainer::capabilities::drop_privileges;
use libcontainer::oci_spec::runtime::{Capability, LinuxCapabilities, LinuxSeccomp, Process, Spec};
use libcontainer::seccomp::{initialize_seccomp, is_notify};
use libcontainer::syscall::syscall::create_syscall;

use crate::error::Error;

#[derive(Debug, Clone)]
pub(crate) struct SeccompFilter {
    seccomp: LinuxSeccomp,
    /// The process's final capabilities. `None` if they were not changed.
    capabilities: Option<LinuxCapabilities>,
}

impl SeccompFilter {
    /// Returns `None` if the container has no profile. Adds CAP_SYS_ADMIN to the process if it is
    /// necessary to load the filter.
    pub(crate) fn prepare(spec: &Spec, process: &mut Process) -> Result<Option<Self>, Error> {
        let linux = spec.linux().as_ref();
        let Some(seccomp) = linux.and_then(|linux| linux.seccomp().clone()) else {
            return Ok(None);
        };
        if is_notify(&seccomp) {
            let what = "runvf does not support exec in a container with a seccomp notifier";
            return Err(Error::Unsupported { what });
        }
        let capabilities = match process.no_new_privileges() {
            Some(true) => None,
            _ => keep_sys_admin(process),
        };
        Ok(Some(Self { seccomp, capabilities }))
    }

    /// Loads the filter for the calling process, then sets its final capabilities.
    pub(crate) fn apply(&self) -> Result<(), String> {
        initialize_seccomp(&self.seccomp).map_err(|error| crate::error::line(&error))?;
        if let Some(capabilities) = &self.capabilities {
            drop_privileges(capabilities, &*create_syscall())
                .map_err(|error| crate::error::line(&error))?;
        }
        Ok(())
    }
}

/// Adds CAP_SYS_ADMIN and returns the previous capabilities. A process without a capabilities object
/// already has CAP_SYS_ADMIN, because it keeps all capabilities of root.
fn keep_sys_admin(process: &mut Process) -> Option<LinuxCapabilities> {
    let mut previous = process.capabilities().clone()?;
    // For runc, an absent set is empty. libcontainer does not change an absent set.
    let effective = previous.effective().clone().unwrap_or_default();
    let permitted = previous.permitted().clone().unwrap_or_default();
    let with = |set: &HashSet<Capability>| {
        let mut set = set.clone();
        set.insert(Capability::SysAdmin);
        Some(set)
    };
    let mut extended = previous.clone();
    extended.set_effective(with(&effective)).set_permitted(with(&permitted));
    process.set_capabilities(Some(extended));
    previous.set_effective(Some(effective)).set_permitted(Some(permitted));
    Some(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_is_added_to_two_sets_and_is_not_in_the_final_ones() {
        let mut process = Process::default();
        let mut few = LinuxCapabilities::default();
        few.set_effective(None).set_bounding(Some(HashSet::from([Capability::Kill])));
        process.set_capabilities(Some(few));
        let after = keep_sys_admin(&mut process).unwrap();
        let before = process.capabilities().as_ref().unwrap();
        let has = |set: &Option<HashSet<Capability>>| {
            set.as_ref().is_some_and(|set| set.contains(&Capability::SysAdmin))
        };
        assert!(has(before.effective()) && has(before.permitted()));
        assert!(!has(before.bounding()) && !has(before.inheritable()) && !has(before.ambient()));
        assert!(!has(after.effective()) && !has(after.permitted()) && !has(after.bounding()));
        assert_eq!(after.effective(), &Some(HashSet::new()));
    }
}
