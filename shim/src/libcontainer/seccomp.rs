//! The seccomp filter of a process that `exec` adds. libcontainer gives it none (`tenant_builder.rs` builds a new linux
//! section without it), so everything that `docker exec` starts would run unfiltered; runc filters it.
//!
//! The only place left to load a filter is right before execve, when privileges are dropped already, and without
//! no_new_privs the kernel wants CAP_SYS_ADMIN for it (seccomp(2)). So that one capability is kept until then, in the
//! effective and permitted sets but not in the bounding set, and dropped after the filter is on. What runc asks of a
//! profile is asked here too: it must let capset(2) and execve(2) pass.

use std::collections::HashSet;

use libcontainer::capabilities::drop_privileges;
use libcontainer::oci_spec::runtime::{Capability, LinuxCapabilities, LinuxSeccomp, Process, Spec};
use libcontainer::seccomp::{initialize_seccomp, is_notify};
use libcontainer::syscall::syscall::create_syscall;

use crate::error::Error;

#[derive(Debug, Clone)]
pub(crate) struct SeccompFilter {
    seccomp: LinuxSeccomp,
    /// What the process shall have in the end; `None`: it never had more.
    capabilities: Option<LinuxCapabilities>,
}

impl SeccompFilter {
    /// `None` if the container has no profile. Changes the process that libcontainer will see.
    pub(crate) fn of(spec: &Spec, process: &mut Process) -> Result<Option<Self>, Error> {
        let linux = spec.linux().as_ref();
        let Some(seccomp) = linux.and_then(|linux| linux.seccomp().clone()) else {
            return Ok(None);
        };
        if is_notify(&seccomp) {
            let what = "exec in a container with a seccomp notifier is not supported by runvf";
            return Err(Error::Unsupported { what });
        }
        let capabilities = match process.no_new_privileges() {
            Some(true) => None,
            _ => keep_sys_admin(process),
        };
        Ok(Some(Self { seccomp, capabilities }))
    }

    pub(crate) fn apply(&self) -> Result<(), String> {
        initialize_seccomp(&self.seccomp).map_err(|error| crate::error::line(&error))?;
        if let Some(capabilities) = &self.capabilities {
            drop_privileges(capabilities, &*create_syscall())
                .map_err(|error| crate::error::line(&error))?;
        }
        Ok(())
    }
}

/// Returns what the process had. A process without a capabilities object keeps all of root's, CAP_SYS_ADMIN too.
fn keep_sys_admin(process: &mut Process) -> Option<LinuxCapabilities> {
    let mut final_ones = process.capabilities().clone()?;
    // An absent set means "none" to runc, and "leave as it is" to libcontainer.
    let effective = final_ones.effective().clone().unwrap_or_default();
    let permitted = final_ones.permitted().clone().unwrap_or_default();
    let with = |set: &HashSet<Capability>| {
        let mut set = set.clone();
        set.insert(Capability::SysAdmin);
        Some(set)
    };
    let mut until_then = final_ones.clone();
    until_then.set_effective(with(&effective)).set_permitted(with(&permitted));
    process.set_capabilities(Some(until_then));
    final_ones.set_effective(Some(effective)).set_permitted(Some(permitted));
    Some(final_ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_sets_are_widened_and_only_until_the_filter_is_on() {
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
