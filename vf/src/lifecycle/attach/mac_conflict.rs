//! Refuses a MAC address that another container has on the same PF and VLAN.
//!
//! The card would deliver the frames for this address to one of the two VFs, or to both, and the
//! switch behind the PF cannot tell them apart. The same address on another VLAN is another station.
//! On another PF it is behind another port, so the switch decides.

use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::netlink::VfSettings;
use crate::kernel::netns_life::Effort;
use crate::ledger::claim::{Claim, State};
use crate::lifecycle::error::LifecycleError;
use crate::nic::free_vfs::FreeVf;
use crate::nic::pf::Pf;
use crate::policy::request::Interface;

/// The MACs in use on the PF and the VLAN of an interface.
pub(super) struct MacsInUse<'a> {
    pf: &'a Pf,
    interface: &'a Interface,
    by_claim: Vec<(MacAddress, Claim)>,
}

impl<'a> MacsInUse<'a> {
    /// `settings` are the settings that the PF reports for its VFs. The caller has the PF's lock, so
    /// no other attach can claim a VF of this PF before the caller's claim is on disk.
    pub(super) fn new(
        pf: &'a Pf,
        interface: &'a Interface,
        claims: Vec<Claim>,
        settings: &VfSettings,
    ) -> Self {
        let is_neighbor = |claim: &Claim| {
            claim.pf == pf.pci
                && claim.want.vlan == u32::from(interface.vlan)
                && claim.want.proto == interface.proto
        };
        // Without a requested MAC, the VF has the MAC that the PF reports.
        let mac = |claim: &Claim| match claim.want.mac {
            mac if mac.is_unicast() => mac,
            _ => settings.get(&claim.index).map_or_else(MacAddress::default, |vf| vf.mac),
        };
        let neighbors = claims.into_iter().filter(is_neighbor);
        Self { pf, interface, by_claim: neighbors.map(|claim| (mac(&claim), claim)).collect() }
    }

    /// Checks the MAC that the interface would have on this VF.
    ///
    /// An abandoned claim does not count, and neither does a quarantined one: no container uses
    /// these VFs.
    ///
    /// # Errors
    /// [`LifecycleError::MacInUse`].
    pub(super) fn check(&self, vf: &FreeVf) -> Result<(), Error> {
        let mac = self.interface.mac.unwrap_or(vf.settings.mac);
        let is_in_use = |(in_use, claim): &&(MacAddress, Claim)| {
            *in_use == mac
                // Some drivers report no MAC: all zeros.
                && mac.is_unicast()
                && !matches!(claim.state, State::Quarantined { .. })
                && !claim.is_abandoned(Effort::Quick)
        };
        match self.by_claim.iter().find(is_in_use) {
            None => Ok(()),
            Some((_, claim)) => Err(Error::Lifecycle(LifecycleError::MacInUse {
                mac,
                vlan: self.interface.vlan,
                pf: self.pf.name.clone(),
                container: claim.container.clone(),
                interface: claim.interface.clone(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::process::{ProcessId, boot_id};
    use crate::kernel::vf_settings::Settings;
    use crate::kernel::vlan::VlanProto;
    use crate::ledger::claim::tests::claim;
    use crate::policy::request::Request;

    const MAC: &str = "02:00:00:00:0a:0b";

    fn interface(vlan: &str, mac: Option<&str>) -> Interface {
        let mac = mac.map(|mac| ("io.runvf.mac", mac));
        let request =
            Request::from_annotations([("io.runvf.vlan", vlan)].into_iter().chain(mac)).unwrap();
        request.unwrap().interfaces.remove(0)
    }

    /// An attached claim of a living container on VLAN 100 with this MAC.
    fn attached(mac: Option<&str>) -> Claim {
        let mut claim = claim("0000:01:10.0", "n");
        claim.state = State::Attached;
        claim.init = ProcessId::own();
        claim.boot_id = boot_id().unwrap();
        claim.want.vlan = 100;
        claim.want.mac = mac.map_or_else(MacAddress::default, |mac| mac.parse().unwrap());
        claim
    }

    /// What the check says about an interface on a free VF with the MAC `own`.
    fn checked(claim: &Claim, interface: &Interface, own: &str) -> Result<(), String> {
        let pf = Pf { pci: "0000:01:00.0".into(), name: "pf0".into(), ifindex: 7, total: 7 };
        let with_mac = |mac: &str| Settings { mac: mac.parse().unwrap(), ..Settings::default() };
        let settings = VfSettings::from([(0, with_mac("02:00:00:00:00:aa")), (1, with_mac(own))]);
        let in_use = MacsInUse::new(&pf, interface, vec![claim.clone()], &settings);
        let vf = FreeVf {
            pci: "0000:01:10.2".into(),
            index: 1,
            link: None,
            driver: None,
            settings: settings[&1],
        };
        in_use.check(&vf).map_err(|error| error.line())
    }

    #[test]
    fn a_mac_has_one_container_on_a_pf_and_vlan() {
        let refused = format!(
            "MAC {MAC} is in use on VLAN 100 of PF pf0: container c has it (mon0); give each \
             container another `io.runvf.mac`"
        );
        let own = "02:00:00:00:00:bb";
        let asks = interface("100", Some(MAC));
        assert_eq!(checked(&attached(Some(MAC)), &asks, own), Err(refused.clone()));
        let starting = Claim {
            state: State::Claiming,
            worker: ProcessId::own().unwrap(),
            ..attached(Some(MAC))
        };
        assert_eq!(checked(&starting, &asks, own), Err(refused.clone()));
        // The free VF has this MAC by itself.
        assert_eq!(checked(&attached(Some(MAC)), &interface("100", None), MAC), Err(refused));
        // The other container has requested no MAC.
        let of_vf = interface("100", Some("02:00:00:00:00:aa"));
        assert!(checked(&attached(None), &of_vf, own).is_err());
    }

    #[test]
    fn a_mac_may_be_used_again_elsewhere_and_afterwards() {
        let own = "02:00:00:00:00:bb";
        let asks = interface("100", Some(MAC));
        let free = |claim: Claim| checked(&claim, &asks, own) == Ok(());
        assert!(free(attached(Some("02:00:00:00:00:cc"))));
        assert!(free(Claim { pf: "0000:02:00.0".to_owned(), ..attached(Some(MAC)) }));
        let mut other_vlan = attached(Some(MAC));
        other_vlan.want.vlan = 200;
        assert!(free(other_vlan));
        let mut other_proto = attached(Some(MAC));
        other_proto.want.proto = VlanProto::Dot1Ad;
        assert!(free(other_proto));
        assert!(free(Claim { boot_id: "before".to_owned(), ..attached(Some(MAC)) }));
        let state = State::Quarantined { reason: "x".to_owned() };
        assert!(free(Claim { state, ..attached(Some(MAC)) }));
        // VFs of i40e and ice report no MAC before their driver chooses one.
        let zeros = "00:00:00:00:00:00";
        assert_eq!(checked(&attached(None), &interface("100", None), zeros), Ok(()));
    }
}
