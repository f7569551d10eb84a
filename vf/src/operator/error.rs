//! Why a PF cannot be set up or probed.

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("PF {pf} has {have} VFs, but pool `{pool}` requires {wanted}")]
    VfCountDiffers { pf: String, pool: String, have: usize, wanted: usize },
    #[error("private flag `{flag}` of {on} is off, and VF {vf} of that card is claimed")]
    FlagInUse { flag: &'static str, on: String, vf: String },
    #[error("PF {pf}: set {wanted}, but it does not read back")]
    PfReadbackDiffers { pf: String, wanted: String },
    #[error("PF {pf} does not exist")]
    UnknownPf { pf: String },
    #[error("PF {pf} is in no pool")]
    NoPool { pf: String, pooled: String },
    #[error(
        "a probe needs 2 free VFs, but PF {pf} has {free}: {claimed} claimed, {foreign} foreign"
    )]
    TooFewFree { pf: String, free: usize, claimed: usize, foreign: usize },
    #[error("`--vlan` and `--other` are both {vlan}")]
    SameVlan { vlan: u16 },
    #[error("PF {pf} has no two VLANs that are neither in use on it nor assigned to a tenant")]
    NoSpareVlan { pf: String },
    #[error("the probe of PF {pf} was interrupted")]
    Stopped { pf: String },
}

impl OperatorError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::VfCountDiffers { pf, have, .. } => format!(
                "stop its sensors, `echo 0 > /sys/class/net/{pf}/device/sriov_numvfs` and run `runvfctl setup` again, \
                 or set `vfs = {have}` in the pool"
            ),
            Self::FlagInUse { .. } => {
                "stop the sensors on that card and run `runvfctl setup` again; `runvfctl status` lists them".to_owned()
            }
            Self::PfReadbackDiffers { .. } => {
                "see `dmesg`; for network managers see `udevadm test` with the VF's path in /sys".to_owned()
            }
            Self::UnknownPf { .. } => "see `runvfctl status`".to_owned(),
            Self::NoPool { pooled, .. } => {
                format!("add it to a pool in /etc/runvf/config.toml; the PFs there are {pooled}")
            }
            Self::TooFewFree { free: 0, claimed: 0, foreign: 0, .. } => {
                "run `runvfctl setup` to create VFs".to_owned()
            }
            Self::TooFewFree { .. } => "stop a sensor; `runvfctl status` lists the claims".to_owned(),
            Self::SameVlan { .. } => "set `--other` to another VLAN".to_owned(),
            Self::NoSpareVlan { .. } => "choose two with `--vlan` and `--other`".to_owned(),
            Self::Stopped { .. } => return None,
        })
    }
}
