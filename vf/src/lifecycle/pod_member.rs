//! A container of a Kubernetes pod that is not the pod's sandbox: the sandbox has the VFs, and all
//! containers of the pod find them in its network namespace.

use std::path::Path;

use crate::error::Error;
use crate::host::{Container, Host};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, cookie};
use crate::kernel::process::boot_id;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf;
use crate::lifecycle::error::LifecycleError;
use crate::nic::vf_config::verify_settings;
use crate::policy::pod::Pod;
use crate::policy::request::Interface;

/// Checks that the container's network namespace holds, for each interface, an attached VF of the
/// pod's sandbox on the interface's VLAN.
///
/// # Errors
/// [`LifecycleError::NotInPod`]; when the namespace or the PF cannot be inspected.
pub(super) fn check<'a>(
    host: &Host,
    interfaces: impl IntoIterator<Item = &'a Interface>,
    pod: &Pod,
    container: &Container,
) -> Result<(), Error> {
    let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)))?;
    let cookie = netns.inside(cookie)?;
    for interface in interfaces {
        let not_in_pod = || {
            Error::Lifecycle(LifecycleError::NotInPod {
                pod: format!("{}/{}", pod.namespace, pod.name),
                vlan: interface.vlan,
                interface: interface.name.clone(),
            })
        };
        let find = || -> Result<Option<Claim>, Error> {
            let mut claims = claims_of_pod(host, pod, cookie)?.into_iter();
            Ok(claims.find(|claim| claim.is_attached_as(interface)))
        };
        // Under the lock of the PF, a release of the sandbox looks for processes of the pod, and
        // changes the claim. So either it finds this container, or this container finds no claim.
        let seen = find()?.ok_or_else(not_in_pod)?;
        let _lock = lock_pf(&host.run, &seen.pf)?;
        let claim = find()?.filter(|claim| claim.pf == seen.pf).ok_or_else(not_in_pod)?;
        if !is_ready(host, &claim, &netns)? {
            return Err(not_in_pod());
        }
    }
    Ok(())
}

/// The claims of a pod's sandbox in the network namespace with this cookie.
///
/// The sandbox's id alone proves nothing, because it may be that of another pod. The cookie in the
/// claim ties both together. None of these claims is abandoned while the container that asks lives,
/// because the container is a process of the pod.
pub(super) fn claims_of_pod(host: &Host, pod: &Pod, cookie: u64) -> Result<Vec<Claim>, Error> {
    let boot = boot_id()?;
    let mut claims = Claims::open(&host.run)?.of_container(&pod.sandbox)?;
    claims.retain(|claim| claim.netns.cookie == cookie && claim.boot_id == boot);
    Ok(claims)
}

/// Whether the claim's netdev is up and promiscuous in this network namespace.
///
/// # Errors
/// When the PF reports other settings than the claim's.
pub(super) fn is_ready(host: &Host, claim: &Claim, netns: &Netns) -> Result<bool, Error> {
    let link = netns.inside(|| Netlink::open()?.link_by_pci(&claim.vf))?;
    if !link.is_some_and(|link| link.flags.up && link.flags.promisc) {
        return Ok(false);
    }
    verify_settings(&Netlink::open()?, &Sysfs(host.sysfs.clone()), claim)?;
    Ok(true)
}
