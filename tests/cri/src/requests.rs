//! The requests, as kubelet fills them for a pod of one process per container.

use std::collections::HashMap;

use k8s_cri::v1::{
    Capability, ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec,
    LinuxContainerConfig, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, RunPodSandboxRequest,
};

pub(crate) fn sandbox(
    namespace: &str,
    name: &str,
    annotations: HashMap<String, String>,
    host_network: bool,
) -> PodSandboxConfig {
    let metadata = PodSandboxMetadata {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: format!("{namespace}-{name}"),
        attempt: 0,
    };
    let security = LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(host_network)),
        ..LinuxSandboxSecurityContext::default()
    };
    let linux = LinuxPodSandboxConfig {
        security_context: Some(security),
        ..LinuxPodSandboxConfig::default()
    };
    PodSandboxConfig {
        metadata: Some(metadata),
        log_directory: format!("/var/log/pods/{namespace}_{name}"),
        labels: HashMap::from([
            ("io.kubernetes.pod.namespace".to_owned(), namespace.to_owned()),
            ("io.kubernetes.pod.name".to_owned(), name.to_owned()),
        ]),
        annotations,
        linux: Some(linux),
        ..PodSandboxConfig::default()
    }
}

/// The containers of a pod share its network, and each has its own processes.
fn namespaces(host_network: bool) -> NamespaceOption {
    let network = if host_network { NamespaceMode::Node } else { NamespaceMode::Pod };
    NamespaceOption {
        network: network.into(),
        pid: NamespaceMode::Container.into(),
        ..NamespaceOption::default()
    }
}

pub(crate) fn run(config: PodSandboxConfig, runtime_handler: String) -> RunPodSandboxRequest {
    RunPodSandboxRequest { config: Some(config), runtime_handler }
}

pub(crate) fn create(
    pod_sandbox_id: String,
    sandbox: PodSandboxConfig,
    name: &str,
    image: &str,
    command: Vec<String>,
) -> CreateContainerRequest {
    let capabilities =
        Capability { add_capabilities: vec!["NET_RAW".to_owned()], ..Capability::default() };
    let security = LinuxContainerSecurityContext {
        capabilities: Some(capabilities),
        namespace_options: Some(namespaces(false)),
        ..LinuxContainerSecurityContext::default()
    };
    let linux = LinuxContainerConfig {
        security_context: Some(security),
        ..LinuxContainerConfig::default()
    };
    let config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() }),
        command,
        log_path: format!("{name}.log"),
        linux: Some(linux),
        ..ContainerConfig::default()
    };
    let (config, sandbox_config) = (Some(config), Some(sandbox));
    CreateContainerRequest { pod_sandbox_id, config, sandbox_config }
}
