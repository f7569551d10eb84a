//! CDI devices: requests for one VLAN that need no annotation.
//!
//! The Container Device Interface names its devices one by one, so the configuration decides which
//! devices there are. A device grants nothing: its request is authorized like any other, because
//! its file may be older than the configuration.

use crate::kernel::vlan::VlanProto;
use crate::policy::config::{Config, Tenant};
use crate::policy::request::{DEFAULT_INTERFACE, Interface, Request, VLAN_RANGE};

/// The request of a CDI device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// 1–4094.
    pub vlan: u16,
    pub proto: VlanProto,
    /// The tenant that the device names. `None`: the device names a VLAN only.
    pub tenant: Option<String>,
}

impl Device {
    /// The request for an interface with a name that the attach replaces by a free one.
    pub fn request(&self) -> Request {
        let interface = Interface {
            name: DEFAULT_INTERFACE.to_owned(),
            vlan: self.vlan,
            pool: None,
            mtu: None,
            mac: None,
            qos: 0,
            proto: self.proto,
            transmit: None,
            vfio: false,
        };
        Request { tenant: self.tenant.clone(), interfaces: vec![interface], pod: None }
    }
}

impl Config {
    /// A device for each VLAN that a container can get without naming a pool: the VLANs of the
    /// tenants, or all VLANs if there are no tenants.
    pub fn vlan_devices(&self) -> Vec<Device> {
        if self.tenants.is_empty() {
            let all = VLAN_RANGE.filter(|_| self.pools.len() == 1);
            let device = |vlan| Device { vlan, proto: VlanProto::default(), tenant: None };
            return all.map(device).collect();
        }
        let tenants = self.tenants.iter().filter(|tenant| self.has_one_pool(tenant));
        let of_tenant = |tenant: &Tenant| {
            let (vlans, proto) = (tenant.vlans.clone(), tenant.proto);
            let all = vlans.into_iter().flat_map(|range| range.first..=range.last);
            all.map(move |vlan| Device { vlan, proto, tenant: None })
        };
        let mut all: Vec<Device> = tenants.flat_map(of_tenant).collect();
        all.sort_by_key(|device| device.vlan);
        all
    }

    /// A device for each tenant that has one VLAN and one pool, so that its name says all.
    pub fn tenant_devices(&self) -> Vec<Device> {
        let only_vlan = |tenant: &Tenant| match tenant.vlans.as_slice() {
            [range] if range.first == range.last => Some(range.first),
            _ => None,
        };
        let device = |tenant: &Tenant| {
            let (vlan, name) = (only_vlan(tenant)?, tenant.name.clone());
            Some(Device { vlan, proto: tenant.proto, tenant: Some(name) })
        };
        self.tenants.iter().filter(|tenant| self.has_one_pool(tenant)).filter_map(device).collect()
    }

    fn has_one_pool(&self, tenant: &Tenant) -> bool {
        self.pools.iter().filter(|pool| tenant.may_use(&pool.name)).count() == 1
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ONE_POOL: &str = "[[pool]]\nname = \"a\"\npfs = [\"x\"]\n";
    const TWO_POOLS: &str =
        "[[pool]]\nname = \"a\"\npfs = [\"x\"]\n[[pool]]\nname = \"b\"\npfs = [\"y\"]\n";

    fn devices(text: &str) -> (Vec<u16>, Vec<(String, u16)>) {
        let config = Config::parse(text, Path::new("/c.toml")).unwrap();
        let vlans = config.vlan_devices();
        assert!(vlans.iter().all(|device| device.tenant.is_none()));
        let tenants = config.tenant_devices().into_iter();
        (
            vlans.into_iter().map(|device| device.vlan).collect(),
            tenants.map(|device| (device.tenant.unwrap(), device.vlan)).collect(),
        )
    }

    #[test]
    fn without_tenants_each_vlan_is_a_device() {
        let (vlans, tenants) = devices(ONE_POOL);
        assert_eq!((vlans.len(), vlans[0], vlans[4093]), (4094, 1, 4094));
        assert_eq!(tenants, []);
        // A device names no pool, and runvf never guesses one.
        assert_eq!(devices(TWO_POOLS), (vec![], vec![]));
    }

    #[test]
    fn with_tenants_only_their_vlans_are_devices() {
        let tenants = "[[tenant]]\nname = \"acme\"\nvlans = [300, \"100-102\"]\n\
            [[tenant]]\nname = \"bravo\"\nvlans = [200]\n";
        let (vlans, named) = devices(&format!("{ONE_POOL}{tenants}"));
        assert_eq!(vlans, [100, 101, 102, 200, 300]);
        assert_eq!(named, [("bravo".to_owned(), 200)]);
    }

    #[test]
    fn a_tenant_of_several_pools_has_no_device() {
        let tenants = "[[tenant]]\nname = \"acme\"\nvlans = [100]\n\
            [[tenant]]\nname = \"bravo\"\nvlans = [200]\npools = [\"b\"]\n";
        let (vlans, named) = devices(&format!("{TWO_POOLS}{tenants}"));
        assert_eq!((vlans, named), (vec![200], vec![("bravo".to_owned(), 200)]));
    }

    #[test]
    fn the_request_of_a_device_is_authorized_like_that_of_an_annotation() {
        use crate::policy::authorize::decide;
        let tenants = "[[tenant]]\nname = \"acme\"\nvlans = [100]\nproto = \"802.1ad\"\n\
            [[tenant]]\nname = \"bravo\"\nvlans = [200]\n";
        let path = Path::new("/c.toml");
        let config = Config::parse(&format!("{ONE_POOL}{tenants}"), path).unwrap();
        for device in config.vlan_devices().iter().chain(&config.tenant_devices()) {
            decide(&config, &device.request(), path).unwrap();
        }
        // The file is older than the configuration.
        let stale = Device { tenant: Some("acme".to_owned()), ..config.vlan_devices()[1].clone() };
        let line = decide(&config, &stale.request(), path).unwrap_err().line();
        assert!(line.starts_with("tenant `acme` asks for VLAN 200, but may use only"), "{line}");
    }
}
