//! The tenants and the constants of the traffic.

pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) vlan: u16,
    pub(crate) engine: &'static str,
    /// The command that starts a sensor, without its options.
    pub(crate) command: &'static str,
}

pub(crate) const TENANTS: [Tenant; 3] = [
    Tenant { name: "acme", vlan: 100, engine: "docker", command: "docker run --runtime runvf" },
    Tenant { name: "bravo", vlan: 200, engine: "docker", command: "docker run --runtime runvf" },
    Tenant { name: "civic", vlan: 300, engine: "podman", command: "podman run" },
];

/// The VLAN with frames that match the sensors' rule for attacks.
pub(crate) const ATTACKED_VLAN: u16 = 200;
/// A VLAN without a tenant.
pub(crate) const UNASSIGNED_VLAN: u16 = 400;
/// Frames of each flow.
pub(crate) const FRAMES: u32 = 100;
pub(crate) const ATTACKS: u32 = 5;
