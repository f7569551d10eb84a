//! The attach of a CDI device: a VLAN under the next free name.

use std::path::Path;

use crate::error::Error;
use crate::host::Container;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::{Netns, cookie};
use crate::kernel::netns_life::Effort;
use crate::kernel::process::boot_id;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::lifecycle::grant::Grant;
use crate::policy::error::PolicyError;
use crate::policy::request::Interface;

impl Grant {
    /// Attaches the VF of a CDI device: the first one of a container as `mon0`, the second one as
    /// `mon1`. Does nothing if the container has this VLAN already, also by another door: then one
    /// VF serves both.
    ///
    /// # Errors
    /// As [`Grant::attach`]; [`PolicyError::BadPod`] for a container of a Kubernetes pod.
    pub fn attach_device(mut self, container: &Container) -> Result<(), Error> {
        let name = self
            .name_for_device(container)
            .inspect_err(|error| self.record_refusal(&container.id, Some(container.pid), error))?;
        let Some(name) = name else { return Ok(()) };
        for (interface, _) in &mut self.interfaces {
            interface.name.clone_from(&name);
        }
        self.attach(container)
    }

    /// The name of the device's interface. `None`: the container has the device's VLAN.
    ///
    /// The hooks of one container run one after the other, so no other hook takes the name
    /// meanwhile. Another container in this network namespace may; then the move into the namespace
    /// fails.
    pub(super) fn name_for_device(&self, container: &Container) -> Result<Option<String>, Error> {
        if let Some(role) = &self.pod {
            let pod = role.pod();
            let (namespace, name) = (&pod.namespace, &pod.name);
            return Err(Error::Policy(PolicyError::BadPod {
                problem: format!("pod {namespace}/{name}: a CDI device serves no Kubernetes pods"),
                hint: "ask by the annotation `io.runvf.vlan` of a pod with `runtimeClassName: \
                       runvf`"
                    .to_owned(),
            }));
        }
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)))?;
        let (cookie, mut links) = netns.inside(|| Ok((cookie()?, Netlink::open()?.links()?)))?;
        let boot = boot_id()?;
        let mut claims = Claims::open(&self.host.run)?.readable()?;
        claims.retain(|claim| claim.netns.cookie == cookie && claim.boot_id == boot);
        let (abandoned, owned): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| claim.is_abandoned(Effort::Quick));
        // Not an abandoned claim: a container that is started again in the network namespace of its
        // pod has the id of its former process, and `gc` would take that process's VF.
        let has_vlan = |claim: &Claim| {
            let is_attached = claim.container == container.id && claim.state == State::Attached;
            // A program that drives a VF by vfio-pci has no interface on the VLAN.
            let has_netdev = claim.iommu_group.is_none();
            is_attached
                && has_netdev
                && self.interfaces.iter().all(|(wanted, _)| is_on_vlan(claim, wanted))
        };
        if owned.iter().any(has_vlan) {
            return Ok(None);
        }
        // The attach releases the abandoned VFs, so such a container keeps its names.
        let is_abandoned = |vf: &str| abandoned.iter().any(|claim| claim.vf == vf);
        links.retain(|link| !link.parent.as_deref().is_some_and(is_abandoned));
        Ok(Some(free_name(&links)))
    }
}

fn is_on_vlan(claim: &Claim, interface: &Interface) -> bool {
    claim.want.vlan == u32::from(interface.vlan) && claim.want.proto == interface.proto
}

/// The first of `mon0`, `mon1`, … that no link has, also not as an alternative name.
fn free_name(links: &[Link]) -> String {
    let is_free = |name: &String| {
        !links.iter().any(|link| link.name == *name || link.altnames.contains(name))
    };
    let mut names = (0_u32..).map(|number| format!("mon{number}"));
    names.find(is_free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::vlan::VlanProto;
    use crate::ledger::claim::tests::claim;
    use crate::policy::device::Device;

    #[test]
    fn the_name_is_the_first_one_that_is_free() {
        let link = |name: &str, altnames: &[&str]| Link {
            name: name.to_owned(),
            altnames: altnames.iter().map(|name| (*name).to_owned()).collect(),
            ..Link::default()
        };
        assert_eq!(free_name(&[]), "mon0");
        assert_eq!(free_name(&[link("lo", &[]), link("mon0", &[])]), "mon1");
        assert_eq!(free_name(&[link("eth0", &["mon0"]), link("mon2", &[])]), "mon1");
    }

    #[test]
    fn a_vlan_of_another_protocol_is_another_network() {
        let device = Device { vlan: 100, proto: VlanProto::Dot1Q, tenant: None };
        let wanted = &device.request().interfaces[0];
        let mut claim = claim("0000:01:10.0", "n");
        claim.want.vlan = 100;
        assert!(is_on_vlan(&claim, wanted));
        claim.want.proto = VlanProto::Dot1Ad;
        assert!(!is_on_vlan(&claim, wanted));
    }
}
