use super::*;

type Annotations = Vec<(&'static str, &'static str)>;

const CONTAINERD_SANDBOX: [(&str, &str); 4] = [
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.kubernetes.cri.sandbox-id", "5a"),
    ("io.kubernetes.cri.sandbox-name", "sensor"),
    ("io.kubernetes.cri.sandbox-namespace", "acme"),
];

const CRIO_MEMBER: [(&str, &str); 5] = [
    ("io.kubernetes.cri-o.ContainerType", "container"),
    ("io.kubernetes.cri-o.SandboxID", "5a"),
    ("io.kubernetes.pod.namespace", "acme"),
    ("io.kubernetes.pod.name", "sensor"),
    ("io.container.manager", "cri-o"),
];

/// What Podman 5.4 writes for a container of a pod.
const PODMAN: [(&str, &str); 3] = [
    ("io.container.manager", "libpod"),
    ("io.kubernetes.cri-o.ContainerType", "container"),
    ("io.kubernetes.cri-o.SandboxID", "7b"),
];

const ENGINES: [Option<CriEngine>; 3] = [None, Some(CriEngine::Containerd), Some(CriEngine::Crio)];

fn with(
    base: &[(&'static str, &'static str)],
    more: &[(&'static str, &'static str)],
) -> Annotations {
    // A later annotation replaces an earlier one, as in the engine's map.
    let is_kept = |one: &&(&str, &str)| !more.iter().any(|(key, _)| *key == one.0);
    base.iter().filter(is_kept).chain(more).copied().collect()
}

fn role(
    annotations: &[(&str, &str)],
    engine: Option<CriEngine>,
) -> Result<Option<PodRole>, String> {
    pod_role(annotations.iter().copied(), engine).map_err(|error| error.line())
}

fn refused(annotations: &[(&str, &str)], engine: Option<CriEngine>) -> String {
    role(annotations, engine).unwrap_err()
}

fn pod() -> Pod {
    Pod { namespace: "acme".into(), name: "sensor".into(), sandbox: "5a".into() }
}

#[test]
fn a_container_without_keys_of_an_engine_belongs_to_no_pod() {
    for engine in ENGINES {
        assert_eq!(role(&[("io.runvf.vlan", "100"), ("a", "b")], engine), Ok(None));
    }
}

#[test]
fn the_engine_of_the_host_names_the_pod() {
    let containerd = Some(CriEngine::Containerd);
    assert_eq!(role(&CONTAINERD_SANDBOX, containerd), Ok(Some(PodRole::Sandbox(pod()))));
    let member = with(&CONTAINERD_SANDBOX, &[("io.kubernetes.cri.container-type", "container")]);
    assert_eq!(role(&member, containerd), Ok(Some(PodRole::Member(pod()))));
    let crio = Some(CriEngine::Crio);
    assert_eq!(role(&CRIO_MEMBER, crio), Ok(Some(PodRole::Member(pod()))));
    let sandbox = with(
        &CRIO_MEMBER,
        &[
            ("io.kubernetes.cri-o.ContainerType", "sandbox"),
            ("io.kubernetes.cri-o.Namespace", "acme"),
        ],
    );
    assert_eq!(role(&sandbox, crio), Ok(Some(PodRole::Sandbox(pod()))));
}

#[test]
fn keys_of_another_engine_are_forged() {
    let forged = with(&CONTAINERD_SANDBOX, &[("io.kubernetes.cri-o.Namespace", "bravo")]);
    let line = refused(&forged, Some(CriEngine::Containerd));
    assert!(line.contains("annotations io.kubernetes.cri-o.*, but the pods"), "{line}");
    let forged = with(&CRIO_MEMBER, &[("io.kubernetes.cri.sandbox-namespace", "bravo")]);
    let line = refused(&forged, Some(CriEngine::Crio));
    assert!(line.contains("annotations io.kubernetes.cri.*, but the pods"), "{line}");
    // Also alone: a container of Docker has neither.
    refused(&CRIO_MEMBER, Some(CriEngine::Containerd));
    refused(&CONTAINERD_SANDBOX, Some(CriEngine::Crio));
    let line = refused(&CONTAINERD_SANDBOX, None);
    assert!(line.ends_with("set `cri = \"containerd\"` or `cri = \"crio\"` there"), "{line}");
}

#[test]
fn a_pod_of_podman_is_no_pod_of_kubernetes() {
    for engine in ENGINES {
        assert_eq!(role(&PODMAN, engine), Ok(None));
    }
}

/// Under CRI-O a user's annotation may say anything, but kubelet's label is always there.
#[test]
fn a_pod_of_kubernetes_cannot_pass_for_one_of_podman() {
    let forged = with(&CRIO_MEMBER, &[("io.container.manager", "libpod")]);
    assert_eq!(role(&forged, Some(CriEngine::Crio)), Ok(Some(PodRole::Member(pod()))));
    refused(&forged, None);
    let forged = with(&CONTAINERD_SANDBOX, &[("io.container.manager", "libpod")]);
    let containerd = Some(CriEngine::Containerd);
    assert_eq!(role(&forged, containerd), Ok(Some(PodRole::Sandbox(pod()))));
}

/// Older versions of CRI-O let a pod's annotation replace CRI-O's own.
#[test]
fn a_forged_namespace_contradicts_the_label_of_kubelet() {
    let forged = with(&CRIO_MEMBER, &[("io.kubernetes.cri-o.Namespace", "bravo")]);
    let line = refused(&forged, Some(CriEngine::Crio));
    assert!(line.contains("contradict each other"), "{line}");
}

#[test]
fn an_incomplete_pod_is_refused() {
    for left_out in 0..CONTAINERD_SANDBOX.len() {
        let mut keys = CONTAINERD_SANDBOX.to_vec();
        let (key, _) = keys.remove(left_out);
        let line = refused(&keys, Some(CriEngine::Containerd));
        assert!(line.contains(key), "{line}");
        let line = refused(&with(&CONTAINERD_SANDBOX, &[(key, "")]), Some(CriEngine::Containerd));
        assert!(line.contains(key), "{line}");
    }
    let other = with(&CONTAINERD_SANDBOX, &[("io.kubernetes.cri.container-type", "podsandbox")]);
    let line = refused(&other, Some(CriEngine::Containerd));
    assert!(line.contains("neither `sandbox` nor `container`"), "{line}");
    for key in ["io.kubernetes.cri-o.SandboxID", "io.kubernetes.pod.namespace"] {
        let line = refused(&with(&CRIO_MEMBER, &[(key, "")]), Some(CriEngine::Crio));
        assert!(line.contains(key), "{line}");
    }
}
