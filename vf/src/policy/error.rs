//! Errors in a request or in the configuration, and requests that the configuration does not allow.
//!
//! The person who typed `docker run` sees these messages. A message names the tenant of the request
//! and what that tenant may use. It never names another tenant, and never reveals whether a VLAN
//! belongs to another tenant.

use std::path::PathBuf;

use crate::kernel::vlan::VlanProto;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("{annotation} {problem}")]
    Annotation { annotation: String, problem: String, hint: String },
    #[error("{first} and {second} both ask for an interface named `{interface}`")]
    DuplicateInterface { interface: String, first: String, second: String },

    #[error("{} does not exist", .path.display())]
    NoConfig { path: PathBuf, example: String },
    #[error("{}: {problem}", .path.display())]
    Config { path: PathBuf, problem: String, hint: String },

    #[error("tenant `{tenant}` asks for VLAN {vlan}, but this host has no such tenant")]
    UnknownTenant { tenant: String, vlan: u16 },
    #[error("tenant `{tenant}` asks for VLAN {vlan}, but may use only VLAN {allowed}")]
    VlanNotAllowed { tenant: String, vlan: u16, allowed: String },
    #[error("VLAN {vlan} is not assigned to any tenant")]
    VlanUnassigned { vlan: u16 },
    #[error("VLANs {first} and {second} do not belong to the same tenant")]
    TwoTenants { first: u16, second: u16 },
    #[error("{tenant} asks for VLAN {vlan} with protocol {proto}, but its VLANs use {allowed}")]
    ProtoNotAllowed { tenant: String, vlan: u16, proto: VlanProto, allowed: VlanProto },
    #[error("pods of namespace `{namespace}` may not use VLAN {vlan}")]
    NamespaceNotAllowed { namespace: String, vlan: u16 },
    #[error("{problem}")]
    BadPod { problem: String, hint: String },
    #[error("{tenant} asks for pool `{pool}`, but may use only pool {allowed}")]
    PoolNotAllowed { tenant: String, pool: String, allowed: String },
    #[error("`{interface}` asks to send, but containers of pool `{pool}` only receive")]
    TransmitNotAllowed { interface: String, pool: String },
    #[error("`{interface}` asks for vfio-pci, but may only receive")]
    VfioSends { interface: String, pool: String },
}

impl PolicyError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Annotation { hint, .. }
            | Self::Config { hint, .. }
            | Self::BadPod { hint, .. } => hint.clone(),
            Self::NamespaceNotAllowed { namespace, .. } => format!(
                "ask for another VLAN, or have `{namespace}` added to `namespaces` of the VLAN's \
                 tenant in /etc/runvf/config.toml"
            ),
            Self::DuplicateInterface { .. } => "give one of them another name".to_owned(),
            Self::NoConfig { example, .. } => example.clone(),
            Self::UnknownTenant { .. } => {
                "correct `io.runvf.tenant`; /etc/runvf/config.toml lists the tenants".to_owned()
            }
            Self::VlanNotAllowed { vlan, .. } | Self::VlanUnassigned { vlan } => format!(
                "ask for another VLAN, or have VLAN {vlan} added to the tenant in /etc/runvf/config.toml"
            ),
            Self::TwoTenants { .. } => "use one container per tenant".to_owned(),
            Self::ProtoNotAllowed { allowed, .. } => format!("set `io.runvf.proto={allowed}`"),
            Self::PoolNotAllowed { .. } => "correct `io.runvf.pool`".to_owned(),
            Self::VfioSends { pool, .. } => format!(
                "nothing on the host can drop what such a program sends; set `transmit = \"allow\"` in pool `{pool}` in /etc/runvf/config.toml, and remove \
                 `io.runvf.transmit`"
            ),
            Self::TransmitNotAllowed { .. } => "remove `io.runvf.transmit`, or set \
                 `transmit = \"allow\"` in the pool in /etc/runvf/config.toml"
                .to_owned(),
        })
    }
}
