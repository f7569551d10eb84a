//! The kinds of hosts: an SR-IOV NIC, and its PFs.

/// The SR-IOV NIC of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Nic {
    /// Intel 82576, QEMU's igb: three PFs with 7 VFs each, driven by igb and igbvf.
    #[default]
    #[value(name = "82576")]
    Intel82576,
    /// Intel X710, the device model of `lab/x710`: two PFs with 32 VFs each, driven by i40e and iavf.
    #[value(name = "x710")]
    IntelX710,
}

impl Nic {
    /// The number of PFs. Each has a wire of its own, with a mirror port.
    pub fn pfs(self) -> u8 {
        match self {
            Self::Intel82576 => 3,
            Self::IntelX710 => 2,
        }
    }

    /// The name of a stage of the image, which differs between the kinds of hosts.
    pub(crate) fn stage(self, name: &str) -> String {
        match self {
            Self::Intel82576 => name.to_owned(),
            Self::IntelX710 => format!("x710-{name}"),
        }
    }

    /// The name of a file of the host that runs in the background.
    pub(crate) fn background_file(self, extension: &str) -> String {
        format!("{}.{extension}", self.stage("up"))
    }
}
