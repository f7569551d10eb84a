//! Why an attach, a release or a repair cannot go on.

#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    #[error("the container uses the host's network namespace, and a VF must stay out of it")]
    HostNetwork,
    #[error("container {container}: process {pid} has exited")]
    ContainerGone { container: String, pid: i32 },
    #[error("the container already has an interface named `{interface}`")]
    NameTaken { interface: String },
    #[error("no free VF in pool `{pool}`: {detail}")]
    NoFreeVf { pool: String, detail: String },
    #[error("VF {vf} was released while container {container} was attaching it")]
    ClaimLost { vf: String, container: String },
    #[error("VF {vf} does not exist")]
    NoVf { vf: String },
    #[error("VF {vf} has no claim")]
    NoClaim { vf: String },
    #[error("VF {vf}: no carrier within {seconds} s after `{interface}` was brought up")]
    NoCarrier { vf: String, interface: String, seconds: u64 },
    #[error("VF {vf}: `{interface}` in the container is not {what}")]
    NotInside { vf: String, interface: String, what: &'static str },
    #[error("container {container} has no VF for interface `{interface}`")]
    NotAttached { container: String, interface: String },
}

impl LifecycleError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::HostNetwork => "run it without `--network host`".to_owned(),
            Self::NameTaken { .. } => {
                "choose another name with `io.runvf.vlan.<name>=<vlan>`".to_owned()
            }
            Self::NoFreeVf { .. } => "stop a sensor, or add a PF to the pool; a VF that is up, or in another network \
                 namespace, is in use, too (keep NetworkManager off VFs); see `runvfctl status`"
                .to_owned(),
            Self::NoCarrier { .. } => {
                "check the PF's cable; `carrier = \"ignore\"` in the pool starts sensors without a link".to_owned()
            }
            Self::NoVf { .. } | Self::NoClaim { .. } => "see `runvfctl status`".to_owned(),
            Self::NotInside { .. } => {
                "the VF driver, or a process in the container's network namespace, changes it; see `dmesg`".to_owned()
            }
            Self::NotAttached { .. } | Self::ClaimLost { .. } => {
                "remove the container and run it again; see `runvfctl status`".to_owned()
            }
            Self::ContainerGone { .. } => return None,
        })
    }
}
