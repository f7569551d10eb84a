//! What differs between the hosts of the tests: the SR-IOV NIC with its drivers, and the kernel.
//!
//! A test that holds for both NICs is a function of a [`HostKind`]. `tests_on!` makes tests of such
//! functions.

use lab::{HostKind, Kernel, Lab, Nic};

pub(crate) const I82576: HostKind = HostKind { nic: Nic::Intel82576, kernel: Kernel::Stable };
pub(crate) const X710: HostKind = HostKind { nic: Nic::IntelX710, kernel: Kernel::Stable };
pub(crate) const X710_ON_BACKPORTS: HostKind =
    HostKind { nic: Nic::IntelX710, kernel: Kernel::Backports };

/// Makes a test of each function, which gets the kind of the host.
macro_rules! tests_on {
    ($host:expr, $module:ident: $($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            $module::$name($host);
        })+
    };
}
pub(crate) use tests_on;

/// Makes tests of functions of another module, so that tests of one subject can be in different
/// targets.
macro_rules! tests_of {
    ($module:ident: $($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            $module::$name();
        })+
    };
}
pub(crate) use tests_of;

/// The NIC of a host, and its names. All PFs of a host are alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Card {
    nic: Nic,
    pub(crate) pf_driver: &'static str,
    pub(crate) vf_driver: &'static str,
    /// The number of VFs that a PF supports.
    pub(crate) max_vfs: usize,
    /// Routing ID of VF 0 of `pf0`, and the distance to the next VF.
    routing_ids: (usize, usize),
    /// Whether `runvfctl setup` leaves free VFs without a driver.
    pub(crate) parks: bool,
}

impl Card {
    pub(crate) fn of(lab: &Lab) -> Self {
        match lab.kind().nic {
            nic @ Nic::Intel82576 => Self {
                nic,
                pf_driver: "igb",
                vf_driver: "igbvf",
                max_vfs: 7,
                routing_ids: (0x180, 2),
                parks: false,
            },
            nic @ Nic::IntelX710 => Self {
                nic,
                pf_driver: "i40e",
                vf_driver: "iavf",
                max_vfs: 32,
                routing_ids: (0x110, 1),
                parks: true,
            },
        }
    }

    pub(crate) fn pfs(self) -> Vec<String> {
        (0..self.nic.pfs()).map(|port| format!("pf{port}")).collect()
    }

    /// `"pf0", "pf1"`, as in the configuration.
    pub(crate) fn quoted_pfs(self) -> String {
        self.pfs().iter().map(|pf| format!("\"{pf}\"")).collect::<Vec<_>>().join(", ")
    }

    /// The PCI address of a VF of `pf0`.
    pub(crate) fn vf(self, index: usize) -> String {
        let (first, distance) = self.routing_ids;
        let id = first + index * distance;
        format!("0000:{:02x}:{:02x}.{}", id >> 8, id >> 3 & 0x1f, id & 7)
    }

    /// The file of the claim of a VF of `pf0`.
    pub(crate) fn claim(self, index: usize) -> String {
        format!("/run/runvf/claims/{}.json", self.vf(index))
    }

    /// Whether a PF's VFs can be promiscuous only after a private flag of the PF is on.
    pub(crate) fn needs_private_flag(self) -> bool {
        self.nic == Nic::IntelX710
    }

    /// Whether only a trusted VF receives unknown unicast.
    pub(crate) fn trust_matters(self) -> bool {
        self.nic == Nic::IntelX710
    }

    /// Whether the PF driver counts the frames that a VF has lost.
    pub(crate) fn counts_drops(self) -> bool {
        self.nic == Nic::IntelX710
    }

    /// Whether the VFs lose their carrier while their PF is down. i40e leaves the link up.
    pub(crate) fn pf_down_ends_carrier(self) -> bool {
        self.nic == Nic::Intel82576
    }

    /// Whether a promiscuous VF receives unicast to a station that another filter of the card has. On
    /// the 82576 only the VF with that address gets it.
    pub(crate) fn shows_unicast_to_others(self) -> bool {
        self.nic == Nic::IntelX710
    }
}

/// The command that allows the VFs of both PFs to be promiscuous, as `runvfctl setup` does. It runs
/// on hosts that need no such flag as well.
pub(crate) const ALLOW_PROMISC: &str = "for pf in /sys/class/net/pf*; do
        ! ethtool --show-priv-flags ${pf##*/} | grep -q vf-true-promisc-support ||
            ethtool --set-priv-flags ${pf##*/} vf-true-promisc-support on
    done";
