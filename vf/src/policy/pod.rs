//! Kubernetes pods: which pod a container belongs to, and whether it is the pod's sandbox.
//!
//! The engine says so by annotations of its own. A user of Kubernetes can write annotations, too,
//! and is not root on the node. So only the keys of the engine that makes the pods of this host are
//! believed: a pod that carries keys of the other engine has forged them.
//!
//! - containerd writes `io.kubernetes.cri.*` after the user's annotations, and passes on only those
//!   of the user's that its configuration names (`pod_annotations`; containerd,
//!   `pkg/cri/annotations` and `pkg/cri/server/container_create.go`).
//! - CRI-O passes all of the user's annotations on, and older versions let them replace its own
//!   `io.kubernetes.cri-o.*` (CRI-O, `internal/factory/container/container.go`). It adds kubelet's
//!   labels last. So the namespace comes from kubelet's label, and must agree with CRI-O's key.
//! - Podman writes two of CRI-O's keys for the containers of its own pods, with
//!   `io.container.manager=libpod`.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::policy::error::PolicyError;

/// The engine that makes the pods of this host: `cri` in `/etc/runvf/runtime.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriEngine {
    Containerd,
    Crio,
}

/// The pod of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// The id of the pod's sandbox, the container that has the pod's VFs.
    pub sandbox: String,
}

/// What a container is to its pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodRole {
    /// It holds the pod's network namespace, and gets the VFs.
    Sandbox(Pod),
    /// It finds the VFs in the network namespace of its sandbox.
    Member(Pod),
}

impl PodRole {
    pub fn pod(&self) -> &Pod {
        match self {
            Self::Sandbox(pod) | Self::Member(pod) => pod,
        }
    }
}

/// Prefixes of the engines' keys. Neither is a prefix of the other.
const CONTAINERD: &str = "io.kubernetes.cri.";
const CRIO: &str = "io.kubernetes.cri-o.";
/// The prefixes of all keys that [`pod_role`] reads.
const PREFIXES: [&str; 2] = ["io.kubernetes.", MANAGER];
const MANAGER: &str = "io.container.manager";
/// kubelet's labels of each pod and container (Kubernetes, `pkg/kubelet/types/labels.go`).
const LABEL_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const LABEL_NAME: &str = "io.kubernetes.pod.name";

/// What a container is to its pod. `None`: it belongs to no pod of Kubernetes.
///
/// # Errors
/// [`PolicyError::BadPod`] when the annotations have keys of an engine that does not make the pods
/// of this host, or when a key is missing or contradicts another one.
pub fn pod_role<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    engine: Option<CriEngine>,
) -> Result<Option<PodRole>, Error> {
    let keys = Keys(annotations.into_iter().filter(|(key, _)| is_pod_key(key)).collect());
    // kubelet's label is always there under CRI-O, and Podman has no such label.
    if !keys.any(CONTAINERD)
        && keys.get(LABEL_NAMESPACE).is_none()
        && keys.get(MANAGER) == Some("libpod")
    {
        return Ok(None);
    }
    match (engine, keys.any(CONTAINERD), keys.any(CRIO)) {
        (_, false, false) => Ok(None),
        (Some(CriEngine::Containerd), true, false) => keys.containerd().map(Some),
        (Some(CriEngine::Crio), false, true) => keys.crio().map(Some),
        (None, ..) => Err(bad(
            "the container belongs to a Kubernetes pod, and /etc/runvf/runtime.toml names no engine \
             for pods",
            "set `cri = \"containerd\"` or `cri = \"crio\"` there",
        )),
        (Some(CriEngine::Containerd), ..) => Err(foreign("containerd", CRIO)),
        (Some(CriEngine::Crio), ..) => Err(foreign("crio", CONTAINERD)),
    }
}

/// Whether [`pod_role`] reads this annotation.
pub fn is_pod_key(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

struct Keys<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Keys<'a> {
    fn any(&self, prefix: &str) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
    }

    /// # Errors
    /// [`PolicyError::BadPod`] when the key is missing, or its value is not a name.
    fn text(&self, key: &str) -> Result<String, Error> {
        match self.get(key) {
            // Names are printed to terminals. The longest name of Kubernetes has 253 characters.
            Some(value)
                if (1..=253).contains(&value.len())
                    && value.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(value.to_owned())
            }
            _ => Err(bad(
                &format!(
                    "the container belongs to a Kubernetes pod, but has no valid annotation {key}"
                ),
                "the engine writes it; see docs/kubernetes.md",
            )),
        }
    }

    fn containerd(&self) -> Result<PodRole, Error> {
        let pod = Pod {
            namespace: self.text("io.kubernetes.cri.sandbox-namespace")?,
            name: self.text("io.kubernetes.cri.sandbox-name")?,
            sandbox: self.text("io.kubernetes.cri.sandbox-id")?,
        };
        self.role("io.kubernetes.cri.container-type", pod)
    }

    fn crio(&self) -> Result<PodRole, Error> {
        const NAMESPACE: &str = "io.kubernetes.cri-o.Namespace";
        let pod = Pod {
            namespace: self.text(LABEL_NAMESPACE)?,
            name: self.text(LABEL_NAME)?,
            sandbox: self.text("io.kubernetes.cri-o.SandboxID")?,
        };
        if self.get(NAMESPACE).is_some_and(|namespace| namespace != pod.namespace) {
            return Err(bad(
                &format!("the annotations {NAMESPACE} and {LABEL_NAMESPACE} contradict each other"),
                "remove both from the pod's own annotations and labels",
            ));
        }
        self.role("io.kubernetes.cri-o.ContainerType", pod)
    }

    fn role(&self, key: &str, pod: Pod) -> Result<PodRole, Error> {
        match self.text(key)?.as_str() {
            "sandbox" => Ok(PodRole::Sandbox(pod)),
            "container" => Ok(PodRole::Member(pod)),
            _ => Err(bad(
                &format!("the annotation {key} is neither `sandbox` nor `container`"),
                "the engine writes it; see docs/kubernetes.md",
            )),
        }
    }
}

fn foreign(engine: &str, prefix: &str) -> Error {
    bad(
        &format!(
            "the container has annotations {prefix}*, but the pods of this host are made by {engine}"
        ),
        "remove them from the pod, or correct `cri` in /etc/runvf/runtime.toml",
    )
}

fn bad(problem: &str, hint: &str) -> Error {
    Error::Policy(PolicyError::BadPod { problem: problem.to_owned(), hint: hint.to_owned() })
}

#[cfg(test)]
mod tests;
