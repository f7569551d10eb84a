//! The kinds of hosts: an SR-IOV NIC with its PFs, and a kernel.

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

/// The kernel of a host. Both are installed in the same root filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kernel {
    /// The kernel of Debian 13.
    #[default]
    Stable,
    /// The newer kernel of Debian 13's backports.
    Backports,
}

/// The kind of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct HostKind {
    /// The SR-IOV NIC of the host
    #[arg(long, global = true, value_enum, default_value = "82576")]
    pub nic: Nic,
    /// The kernel of the host
    #[arg(long, global = true, value_enum, default_value = "stable")]
    pub kernel: Kernel,
}

impl From<Nic> for HostKind {
    fn from(nic: Nic) -> Self {
        Self { nic, kernel: Kernel::default() }
    }
}

impl Nic {
    /// The number of PFs. Each has a wire of its own, with a mirror port.
    pub fn pfs(self) -> u8 {
        match self {
            Self::Intel82576 => 3,
            Self::IntelX710 => 2,
        }
    }
}

impl Kernel {
    /// What the names of the kernel's files end with.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Stable => "",
            Self::Backports => "-backports",
        }
    }
}

impl HostKind {
    /// The name of a stage of the image, which differs between the kinds of hosts. No name begins
    /// with another one and a hyphen, because the cache finds a stage's folders by such a prefix.
    pub(crate) fn stage(self, name: &str) -> String {
        let nic = match self.nic {
            Nic::Intel82576 => "",
            Nic::IntelX710 => "x710-",
        };
        let kernel = match self.kernel {
            Kernel::Stable => "",
            Kernel::Backports => "backports-",
        };
        format!("{nic}{kernel}{name}")
    }

    /// The name of a file of the host that runs in the background.
    pub(crate) fn background_file(self, extension: &str) -> String {
        format!("{}.{extension}", self.stage("up"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stage_has_the_prefix_of_another_one() {
        let mut stages = vec!["tools".to_owned(), "guest".to_owned(), "sensors".to_owned()];
        stages.extend(["x710-headers".to_owned(), "x710-device".to_owned()]);
        for nic in [Nic::Intel82576, Nic::IntelX710] {
            for kernel in [Kernel::Stable, Kernel::Backports] {
                for name in ["host", "installed", "faulty"] {
                    stages.push(HostKind { nic, kernel }.stage(name));
                }
            }
        }
        for one in &stages {
            let longer = stages.iter().find(|other| other.starts_with(&format!("{one}-")));
            assert_eq!(longer, None, "{one}");
        }
    }
}
