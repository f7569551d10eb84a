//! What is wrong with a PF or a VF, or with what its driver answered.

use std::io;

use nix::errno::Errno;

use crate::kernel::error::NetlinkError;
use crate::kernel::retry::is_busy;

#[derive(Debug, thiserror::Error)]
pub enum NicError {
    #[error("PF {pf} of pool `{pool}` does not exist")]
    NoPf { pf: String, pool: String },
    #[error("PF {pf} does not support SR-IOV")]
    NoSriov { pf: String },
    #[error("PF {pf} is not in the host's network namespace")]
    PfInOtherNetns { pf: String, pcis: Vec<String> },
    #[error("PF {pf} has several netdevs: {}", .netdevs.join(", "))]
    SeveralNetdevs { pf: String, netdevs: Vec<String> },
    #[error("{netdev} is not the netdev of a PF: it is a representor or a subfunction of {pf}")]
    NotPfNetdev { netdev: String, pf: String },
    #[error("PF {pf} has driver {found}, but pool `{pool}` requires {wanted}")]
    WrongDriver { pf: String, pool: String, found: String, wanted: String },
    #[error("PF {pf} is down")]
    PfDown { pf: String },
    #[error("a VF of PF {pf} would not be promiscuous: {why}")]
    NotPromiscuous { pf: String, why: String, hint: String },
    #[error("PF driver {driver} of {pf} does not support 802.1ad VLANs on VFs")]
    ProtoUnsupported { pf: String, driver: String },
    #[error("cannot create VFs on {pf}: the driver is busy")]
    PfBusy { pf: String, source: io::Error },
    #[error("cannot create VFs on {pf}: asked for {wanted}, the driver created {made}")]
    WrongVfCount { pf: String, wanted: usize, made: usize },
    #[error("VF {vf}: the VF driver did not create a netdev within {seconds} s")]
    NoNetdev { vf: String, seconds: u64, driver_override: Option<String> },
    #[error(
        "netdev {netdev} of {pci} is in sysfs, but netlink does not find it within {seconds} s"
    )]
    NetdevUnsettled { pci: String, netdev: String, seconds: u64 },
    #[error("VF {vf} of PF {pf}: set {wanted}, but the PF driver reports {found}")]
    ReadbackDiffers { vf: String, pf: String, wanted: String, found: String },
    #[error("VF {vf} of PF {pf}: cannot set {what}")]
    SetVf { vf: String, pf: String, what: String, source: NetlinkError },
    #[error("PF {pf} of VF {vf} is gone")]
    PfGone { pf: String, vf: String },
    #[error("PF {pf} no longer reports VF {vf}")]
    VfGone { vf: String, pf: String },
    #[error("VF {vf}: cannot find the network namespace of its netdev within {seconds} s")]
    NotLocated { vf: String, seconds: u64 },
    #[error("VF {vf}: neither its netdev nor the network namespace that owns it can be found")]
    NetnsHidden { vf: String },
    #[error(
        "the driver of VF {vf} did not tell its PF {pf} within {seconds} s that it is promiscuous"
    )]
    NotTold { vf: String, pf: String, seconds: u64 },
    #[error("VF {vf} does not support function-level reset, which pool `{pool}` requires")]
    NoFlr { vf: String, pool: String },
    #[error("{netdev}: {problem}")]
    Setting { netdev: String, problem: String },
    #[error("VF {vf}: the driver vfio-pci is not loaded")]
    NoVfio { vf: String },
    #[error("VF {vf} is in no IOMMU group")]
    NoIommu { vf: String },
    #[error("VF {vf} shares IOMMU group {group} with {}", .others.join(", "))]
    SharedGroup { vf: String, group: u32, others: Vec<String> },
    #[error("VF {vf} was not given to vfio-pci: {problem}")]
    VfioNotBound { vf: String, problem: String },
}

const MANY_FILES: &str = "a container has very many processes or open files; see `ls /proc/*/fd`";
const NOT_STARTED: &str = "its engine may be about to start the container; see `runvfctl status`";
const BUSY: &str =
    "the driver stayed busy: the PF is in a reset, or another tool changes VFs; see `dmesg`";

impl NicError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPf { .. } => "see `ip -br link` and correct /etc/runvf/config.toml".to_owned(),
            Self::NoSriov { .. } => {
                "enable SR-IOV in the firmware, or name another PF in /etc/runvf/config.toml"
                    .to_owned()
            }
            Self::PfInOtherNetns { pcis, .. } => format!(
                "the netdev of {} is in another network namespace; move it back with \
                 `ip -n <netns> link set <netdev> netns 1` and run `runvfctl setup`",
                pcis.join(", ")
            ),
            Self::SeveralNetdevs { .. } => {
                "use a NIC with one PCI function for each port".to_owned()
            }
            Self::NotPfNetdev { pf, .. } => format!("name {pf} in /etc/runvf/config.toml"),
            Self::WrongDriver { .. } => {
                "load that driver, or correct `driver` in /etc/runvf/config.toml".to_owned()
            }
            Self::PfDown { pf } => format!("run `ip link set {pf} up`"),
            Self::NotPromiscuous { hint, .. } => {
                format!("{hint}; `promisc = \"best-effort\"` in the pool allows it nevertheless")
            }
            Self::ProtoUnsupported { .. } => "remove `io.runvf.proto`".to_owned(),
            Self::WrongVfCount { pf, .. } => format!("see `dmesg`; PF {pf} must be up"),
            Self::NoNetdev { vf, driver_override: Some(driver), .. } => format!(
                "its driver_override is `{driver}`: run \
                 `echo > /sys/bus/pci/devices/{vf}/driver_override`"
            ),
            Self::NoNetdev { vf, .. } => {
                format!("see `dmesg` for {vf}; the VF driver must be installed")
            }
            Self::NetdevUnsettled { pci, .. } => {
                format!("its driver may be loading or hang: see `dmesg` for {pci}, then try again")
            }
            Self::ReadbackDiffers { .. } => "this PF driver ignores what runvf needs".to_owned(),
            Self::SetVf { what, source, .. } if source.errno() == Some(Errno::EOPNOTSUPP) => {
                format!("this driver cannot set {what}; the PF must be in legacy eswitch mode")
            }
            Self::SetVf { source, .. } if is_busy(source.errno()) => BUSY.to_owned(),
            Self::SetVf { .. } => return None,
            Self::PfBusy { .. } => BUSY.to_owned(),
            Self::PfGone { .. } | Self::VfGone { .. } => {
                "its driver may be loading or in a reset: see `dmesg`, then `runvfctl status`"
                    .to_owned()
            }
            Self::NotLocated { .. } => MANY_FILES.to_owned(),
            Self::NetnsHidden { .. } => NOT_STARTED.to_owned(),
            Self::Setting { .. } => "change the setting in the pool in /etc/runvf/config.toml; \
                 \"keep\" leaves it as the driver sets it"
                .to_owned(),
            Self::NotTold { .. } => "a reset may still run; see `dmesg`".to_owned(),
            Self::NoFlr { .. } => "set `scrub = \"rebind\"` for that pool".to_owned(),
            Self::NoVfio { .. }
            | Self::NoIommu { .. }
            | Self::SharedGroup { .. }
            | Self::VfioNotBound { .. } => return self.hint_for_vfio(),
        })
    }

    fn hint_for_vfio(&self) -> Option<String> {
        Some(match self {
            Self::NoVfio { .. } => {
                "run `modprobe vfio-pci`, and name it in a file in /etc/modules-load.d".to_owned()
            }
            Self::NoIommu { .. } => "a program that drives it could read and write all memory: turn \
                 the IOMMU on in the firmware, and with `intel_iommu=on` on the kernel's command line"
                .to_owned(),
            Self::SharedGroup { .. } => "a program that drives it could reach them by DMA: use a \
                 slot whose root port has ACS"
                .to_owned(),
            Self::VfioNotBound { vf, .. } => format!("see `dmesg` for {vf}"),
            _ => return None,
        })
    }
}
