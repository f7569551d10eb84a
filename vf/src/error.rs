//! The one error of this crate. A variant is an operation that failed; it names its object (annotation, file, PF, PCI
//! address) and leaves the cause to `source`, which [`Error::line`] prints once.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::VlanProto;
use crate::busy::is_busy;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{annotation} {problem}")]
    Annotation { annotation: String, problem: String, hint: String },
    #[error("{first} and {second} both ask for an interface named `{interface}`")]
    TwiceNamed { interface: String, first: String, second: String },

    #[error("there is no {}", .path.display())]
    NoConfig { path: PathBuf, example: String },
    #[error("{}: {problem}", .path.display())]
    Config { path: PathBuf, problem: String, hint: String },

    #[error("tenant `{tenant}` asks for VLAN {vlan}, but this host has no such tenant")]
    UnknownTenant { tenant: String, vlan: u16 },
    #[error("tenant `{tenant}` asks for VLAN {vlan}, but may have {allowed} only")]
    NotTheirVlan { tenant: String, vlan: u16, allowed: String },
    #[error("VLAN {vlan} is no tenant's")]
    NobodysVlan { vlan: u16 },
    #[error("VLAN {first} and VLAN {second} are not of one tenant")]
    TwoTenants { first: u16, second: u16 },
    #[error("{who} asks for VLAN {vlan} of {proto}, but its VLANs are of {allowed}")]
    NotTheirProto { who: String, vlan: u16, proto: VlanProto, allowed: VlanProto },
    #[error("{who} asks for pool `{pool}`, but may use {allowed} only")]
    NotTheirPool { who: String, pool: String, allowed: String },
    #[error("{who} asks for {asked} more VF{}, but has {held} of at most {max}", if *.asked == 1 { "" } else { "s" })]
    OverQuota { who: String, asked: usize, held: usize, quarantined: usize, max: usize },
    #[error("{who} may have no VF in a network namespace in which there is one that is not theirs")]
    OthersNetns { who: String },

    #[error("the container uses the host's network, and a VF must never be moved there")]
    HostNetwork,
    #[error("process {pid} of container {container} is gone")]
    ContainerGone { container: String, pid: i32 },
    #[error("an interface named `{interface}` is in the container already")]
    NameTaken { interface: String },

    #[error("PF {pf} of pool `{pool}` is not on this machine")]
    NoPf { pf: String, pool: String },
    #[error("PF {pf} has no SR-IOV")]
    NoSriov { pf: String },
    #[error("PF {pf} has the driver {found}, and pool `{pool}` is for {wanted}")]
    OtherDriver { pf: String, pool: String, found: String, wanted: String },
    #[error("PF {pf} is down")]
    PfDown { pf: String },
    #[error("a VF of PF {pf} would not be promiscuous: {why}")]
    NotPromiscuous { pf: String, why: String, hint: String },
    #[error("{driver}, the driver of PF {pf}, cannot tag a VF's frames with 802.1ad")]
    NoProto { pf: String, driver: String },
    #[error("PF {pf} has {have} VFs and pool `{pool}` asks for {wanted}")]
    OtherCount { pf: String, pool: String, have: usize, wanted: usize },
    #[error("private flag `{flag}` of {on} is off, and VF {vf} of that card is claimed")]
    FlagInUse { flag: &'static str, on: String, vf: String },
    #[error("PF {pf}: {wanted} was set, but does not read back")]
    PfNotTaken { pf: String, wanted: String },
    #[error("no free VF in pool `{pool}`: {detail}")]
    NoFreeVf { pool: String, detail: String },
    #[error("PF {pf} makes no VFs")]
    PfBusy { pf: String, source: io::Error },
    #[error("PF {pf} was asked for {wanted} VFs and made {made}")]
    VfsNotMade { pf: String, wanted: usize, made: usize },
    #[error("VF {vf}: its driver brought up no network interface within {seconds} s")]
    NoNetdev { vf: String, seconds: u64 },
    #[error("VF {vf} of PF {pf}: {wanted} was set, but {found} reads back")]
    NotTaken { vf: String, pf: String, wanted: String, found: String },
    #[error("VF {vf} of PF {pf}: cannot set {what}")]
    SetVf { vf: String, pf: String, what: String, source: Netlink },
    #[error("PF {pf} of VF {vf} is gone")]
    PfGone { pf: String, vf: String },
    #[error("PF {pf} does not know VF {vf} any more")]
    VfGone { vf: String, pf: String },
    #[error("there is no PF {pf} on this machine")]
    UnknownPf { pf: String },
    #[error("PF {pf} is in no pool")]
    NoPool { pf: String, pooled: String },
    #[error("PF {pf} has {free} free VF{} and a probe needs 2: {claimed} claimed, {foreign} in use by something else", if *.free == 1 { "" } else { "s" })]
    TooFewFree { pf: String, free: usize, claimed: usize, foreign: usize },
    #[error("VLAN {vlan} cannot be kept apart from itself")]
    SameVlan { vlan: u16 },
    #[error("PF {pf} has no two VLANs that are neither in use there nor a tenant's")]
    NoSpareVlan { pf: String },
    #[error("the probe of PF {pf} was stopped")]
    Stopped { pf: String },

    #[error("VF {vf} was taken back from container {container} while it was being attached")]
    ClaimLost { vf: String, container: String },
    #[error("there is no VF {vf} on this machine")]
    NoVf { vf: String },
    #[error("nobody has claimed VF {vf}")]
    NoClaim { vf: String },
    #[error("VF {vf} has no function-level reset, which pool `{pool}` asks for")]
    NoFlr { vf: String, pool: String },
    #[error("VF {vf} {what}")]
    Dirty { vf: String, what: &'static str },
    #[error("VF {vf}: no carrier within {seconds} s of being set up as `{interface}`")]
    NoCarrier { vf: String, interface: String, seconds: u64 },
    #[error("VF {vf}: `{interface}` is not {what} inside the container")]
    NotInside { vf: String, interface: String, what: &'static str },
    #[error("container {container} has no VF for `{interface}`")]
    NotAttached { container: String, interface: String },

    #[error("cannot put on record in {} who has which VLAN", .path.display())]
    Audit { path: PathBuf, source: io::Error },
    #[error("cannot {action} {object}")]
    Link { action: &'static str, object: String, source: Netlink },
    #[error("cannot {action} {}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action}")]
    Kernel { action: &'static str, source: Errno },
    #[error("{} is not a claim: {problem}", .path.display())]
    BadClaim { path: PathBuf, problem: String },
    #[error("{what} did not finish within {seconds} s")]
    Timeout { what: String, seconds: u64 },
    #[error("the lock {} is still held by {} after {seconds} s", .path.display(), or_somebody(.holder))]
    Locked { path: PathBuf, seconds: u64, holder: String },
}

/// What the kernel, or the way to it, answered to a netlink message.
#[derive(Debug, thiserror::Error)]
pub enum Netlink {
    #[error("{}", .0.desc())]
    Refused(Errno),
    #[error("the kernel did not answer within {0} s")]
    Silent(u64),
    #[error("{0}")]
    Broken(String),
}

/// Whoever has a lock says so a moment later.
fn or_somebody(holder: &str) -> &str {
    if holder.is_empty() { "somebody" } else { holder }
}

const BUSY: &str = "its driver was busy all the while: a reset of the PF, or another tool that changes VFs; `dmesg` may say";

pub(crate) fn errno_of(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

impl Netlink {
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused(errno) => Some(*errno),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl Fn(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path: path.clone(), source }
    }

    pub(crate) fn errno(action: &'static str, path: impl Into<PathBuf>) -> impl Fn(Errno) -> Self {
        let path = path.into();
        move |errno| Self::File { action, path: path.clone(), source: errno.into() }
    }

    /// Of an operation on a file.
    pub(crate) fn file_errno(&self) -> Option<Errno> {
        match self {
            Self::File { source, .. } => errno_of(source),
            _ => None,
        }
    }

    /// What the person who sees the error can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Annotation { hint, .. } | Self::Config { hint, .. } => hint.clone(),
            Self::TwiceNamed { .. } => "give one of them another name".to_owned(),
            Self::NoConfig { example, .. } => example.clone(),
            Self::UnknownTenant { .. } => "correct `io.runvf.tenant`; the names are in /etc/runvf/config.toml".to_owned(),
            Self::NotTheirVlan { vlan, .. } | Self::NobodysVlan { vlan } => {
                format!("ask for another, or have {vlan} added to the tenant in /etc/runvf/config.toml")
            }
            Self::TwoTenants { .. } => "a container has one tenant: ask for them in two".to_owned(),
            Self::NotTheirProto { allowed, .. } => format!("ask for it with `io.runvf.proto={allowed}`"),
            Self::NotTheirPool { .. } => "correct `io.runvf.pool`".to_owned(),
            Self::OverQuota { quarantined: 0, .. } => {
                "stop one of its containers, or raise `max` in /etc/runvf/config.toml".to_owned()
            }
            Self::OverQuota { quarantined, .. } => format!(
                "{quarantined} of them in quarantine, which `runvfctl repair` may clean; or stop one of its containers"
            ),
            Self::OthersNetns { .. } => {
                "give it a network of its own (`--network none`), or a pod of its own; `runvfctl status` shows who has what".to_owned()
            }
            Self::HostNetwork => "run it without `--network host`".to_owned(),
            Self::NameTaken { .. } => {
                "ask for another name with `io.runvf.vlan.<name>=<vlan>`".to_owned()
            }
            Self::NoPf { .. } => "see `ip -br link` and correct /etc/runvf/config.toml".to_owned(),
            Self::NoSriov { .. } => "enable SR-IOV in the firmware, or name another PF in \
                 /etc/runvf/config.toml"
                .to_owned(),
            Self::OtherDriver { .. } => {
                "load that driver, or correct `driver` in /etc/runvf/config.toml".to_owned()
            }
            Self::UnknownPf { .. } => "see `runvfctl status`".to_owned(),
            Self::NoPool { pooled, .. } => {
                format!("add it to one in /etc/runvf/config.toml; the PFs there are {pooled}")
            }
            Self::TooFewFree { free: 0, claimed: 0, foreign: 0, .. } => {
                "`runvfctl setup` makes VFs".to_owned()
            }
            Self::TooFewFree { .. } => {
                "stop a sensor, or see `runvfctl status` for who has them".to_owned()
            }
            Self::SameVlan { .. } => "give `--other` another one".to_owned(),
            Self::NoSpareVlan { .. } => "name them with `--vlan` and `--other`".to_owned(),
            Self::PfDown { pf } => format!("`ip link set {pf} up`"),
            Self::NotPromiscuous { hint, .. } => {
                format!("{hint}; `promisc = \"best-effort\"` in the pool takes what there is")
            }
            Self::NoProto { .. } => "leave `io.runvf.proto` out".to_owned(),
            Self::OtherCount { pf, have, .. } => format!(
                "stop its sensors, `echo 0 > /sys/class/net/{pf}/device/sriov_numvfs` and set it up again, or \
                 write `vfs = {have}`"
            ),
            Self::FlagInUse { .. } => {
                "stop the sensors on that card and set it up again; `runvfctl status` shows them".to_owned()
            }
            Self::PfNotTaken { .. } => {
                "`dmesg` may say why, and of network managers `udevadm test` with the VF's path in /sys".to_owned()
            }
            Self::NoFreeVf { .. } => "stop a sensor, or add a PF to the pool; a VF is in use, too, \
                 when its interface is up (keep NetworkManager off VFs) or elsewhere; `runvfctl status` \
                 shows who holds what"
                .to_owned(),
            Self::VfsNotMade { pf, .. } => {
                format!("`dmesg` may say why; the PF {pf} must be up")
            }
            Self::NoNetdev { vf, .. } => {
                format!("look for {vf} in `dmesg`; is the VF's driver installed?")
            }
            Self::NotTaken { .. } => "the PF's driver does not do what runvf needs".to_owned(),
            Self::SetVf { what, source, .. } if source.errno() == Some(Errno::EOPNOTSUPP) => {
                format!("this driver cannot set {what}; is the PF in legacy eswitch mode?")
            }
            Self::NoCarrier { .. } => "check the PF's cable; `carrier = \"ignore\"` in the pool \
                 starts sensors without a link"
                .to_owned(),
            Self::BadClaim { path, .. } => {
                let vf = path.file_stem().unwrap_or_default().to_string_lossy();
                format!("`runvfctl repair {vf}` cleans that VF")
            }
            Self::Audit { .. } => "nobody gets a VF without a record: make room there, or put right who may write to it".to_owned(),
            Self::NoVf { .. } | Self::NoClaim { .. } => "see `runvfctl status`".to_owned(),
            Self::NoFlr { .. } => "set `scrub = \"rebind\"` for that pool".to_owned(),
            Self::SetVf { source, .. } | Self::Link { source, .. } if is_busy(source.errno()) => BUSY.to_owned(),
            Self::PfBusy { .. } => BUSY.to_owned(),
            Self::Locked { .. } => "try again when it is done; `dmesg` may say in what it hangs".to_owned(),
            Self::Timeout { .. } => "its driver may hang: see `dmesg`".to_owned(),
            Self::PfGone { .. } | Self::VfGone { .. } => {
                "its driver may be loading or resetting it: see `dmesg`, then `runvfctl status`".to_owned()
            }
            Self::NotInside { .. } => "something in the container's network namespace, or its driver, changes it; see `dmesg`".to_owned(),
            Self::NotAttached { .. } | Self::ClaimLost { .. } => {
                "remove the container and run it anew; `runvfctl status` shows who has which VF".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// The error, its causes and the hint, on one line: engines relay no more than that.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            line.push_str("; ");
            line.push_str(&hint);
        }
        line.replace(char::is_control, " ")
    }
}
