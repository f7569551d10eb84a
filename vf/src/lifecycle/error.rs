//! Errors of attach, release and repair.

use crate::kernel::mac::MacAddress;

#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    #[error("the container uses the host's network namespace, and a VF must stay out of it")]
    HostNetwork,
    #[error("container {container}: process {pid} has exited")]
    ContainerGone { container: String, pid: i32 },
    #[error("the container already has an interface named `{interface}`")]
    NameTaken { interface: String },
    #[error(
        "cannot move `{netdev}` into the container by linux.netDevices: it is {}PF {pf}, which \
         runvf manages",
        .vf.as_ref().map(|vf| format!("VF {vf} of ")).unwrap_or_default()
    )]
    ManagedNetdev { netdev: String, pf: String, vf: Option<String> },
    #[error(
        "MAC {mac} is in use on VLAN {vlan} of PF {pf}: container {container} has it ({interface})"
    )]
    MacInUse { mac: MacAddress, vlan: u16, pf: String, container: String, interface: String },
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
    #[error("VF {vf}: `{interface}` in the container {problem}")]
    BadNetdev { vf: String, interface: String, problem: &'static str },
    #[error("pod {pod} has no VF on VLAN {vlan} as `{interface}` in this network namespace")]
    NotInPod { pod: String, vlan: u16, interface: String },
    #[error("VF {vf}: this kernel cannot keep `{interface}` from sending")]
    NoEgressHook { vf: String, interface: String },
    #[error("`{interface}` asks for vfio-pci, which this runtime or hook cannot give")]
    NeedsRuntime { interface: String },
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
            Self::ManagedNetdev { .. } => "remove it from linux.netDevices; a container gets a VF \
                 by the annotation `io.runvf.vlan=<1-4094>`"
                .to_owned(),
            Self::MacInUse { .. } => "give each container another `io.runvf.mac`".to_owned(),
            Self::NoFreeVf { .. } => {
                "stop a sensor, or add a PF to the pool; a VF that is up or in another network \
                 namespace counts as in use (keep NetworkManager off VFs); see `runvfctl status`"
                    .to_owned()
            }
            Self::NoCarrier { .. } => {
                "check the PF's cable; `carrier = \"ignore\"` in the pool starts sensors without \
                 a link"
                    .to_owned()
            }
            Self::NoVf { .. } | Self::NoClaim { .. } => "see `runvfctl status`".to_owned(),
            Self::BadNetdev { .. } => {
                "the VF driver or a process in the container's network namespace has changed it; \
                 see `dmesg`"
                    .to_owned()
            }
            Self::NoEgressHook { .. } => "use a kernel with CONFIG_NF_TABLES_NETDEV and \
                 CONFIG_NETFILTER_EGRESS (Linux 5.16), or set `transmit = \"allow\"` in the pool"
                .to_owned(),
            Self::NeedsRuntime { .. } => {
                "use `--runtime runvf` with its builtin engine, because the \
                 device nodes must be known before the container is made"
                    .to_owned()
            }
            Self::NotAttached { .. } | Self::ClaimLost { .. } => {
                "remove the container and run it again; see `runvfctl status`".to_owned()
            }
            Self::NotInPod { .. } => {
                "the pod's sandbox gets the VF, by the same annotations; delete \
                 the pod, so that Kubernetes creates its sandbox again"
                    .to_owned()
            }
            Self::ContainerGone { .. } => return None,
        })
    }
}
