use super::*;

/// acme has VLANs 100–109 and 300 on pool `east`; bravo has VLAN 200 on both pools and at most two
/// VFs; civic has VLAN 400 with 802.1ad on pool `west`.
const TENANTS: &str = r#"
pool = [{ name = "east", pfs = ["x"] }, { name = "west", pfs = ["y"] }]
tenant = [
    { name = "acme", vlans = ["100-109", 300], pools = ["east"] },
    { name = "bravo", vlans = [200], max = 2 },
    { name = "civic", vlans = [400], proto = "802.1ad", pools = ["west"] },
]"#;
const ONE_POOL: &str = r#"pool = [{ name = "east", pfs = ["x"] }]"#;

/// Returns the tenant and the pools, or the error line.
fn decision_for(
    config: &str,
    annotations: &[(&str, &str)],
) -> Result<(Option<String>, String), String> {
    let path = Path::new("/etc/runvf/config.toml");
    let config = Config::parse(config, path).unwrap();
    let request = Request::from_annotations(annotations.iter().copied()).unwrap().unwrap();
    let decision = decide(&config, &request, path).map_err(|error| error.line())?;
    let pools: Vec<&Pool> = decision.interfaces.iter().map(|(_, pool)| pool).collect();
    Ok((decision.tenant.map(|grant| grant.tenant.name), pool_names(&pools)))
}

const VLAN: &str = "io.runvf.vlan";
const TENANT: &str = "io.runvf.tenant";
const POOL: &str = "io.runvf.pool";
const PROTO: &str = "io.runvf.proto";

#[test]
fn requests_that_the_configuration_allows() {
    for (config, annotations, tenant, pools) in [
        // Without tenants in the configuration, any tenant may have any VLAN.
        (ONE_POOL, &[(VLAN, "4094"), (TENANT, "anyone")][..], None, "east"),
        (TENANTS, &[(VLAN, "100")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "300"), (TENANT, "acme")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "109"), (POOL, "east")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "200"), (POOL, "west")], Some("bravo"), "west"),
        (TENANTS, &[(VLAN, "400"), (PROTO, "802.1ad")], Some("civic"), "west"),
        (TENANTS, &[(VLAN, "100"), ("io.runvf.vlan.tap1", "300")], Some("acme"), "east, east"),
    ] {
        let expected = Ok((tenant.map(str::to_owned), pools.to_owned()));
        assert_eq!(decision_for(config, annotations), expected, "{annotations:?}");
    }
}

#[test]
fn refused_requests_and_their_messages() {
    for (annotations, expected) in [
        (
            &[(VLAN, "200"), (TENANT, "acme")][..],
            "tenant `acme` asks for VLAN 200, but may use only VLAN 100-109, 300; \
             ask for another VLAN, or have VLAN 200 added to the tenant in /etc/runvf/config.toml",
        ),
        // The same message as for a VLAN of another tenant.
        (
            &[(VLAN, "999"), (TENANT, "acme")],
            "tenant `acme` asks for VLAN 999, but may use only VLAN 100-109, 300; \
             ask for another VLAN, or have VLAN 999 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), ("io.runvf.vlan.tap1", "200"), (TENANT, "acme")],
            "tenant `acme` asks for VLAN 200, but may use only VLAN 100-109, 300; \
             ask for another VLAN, or have VLAN 200 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), (TENANT, "acne")],
            "tenant `acne` asks for VLAN 100, but this host has no such tenant; \
             correct `io.runvf.tenant`; /etc/runvf/config.toml lists the tenants",
        ),
        (
            &[(VLAN, "999")],
            "VLAN 999 is not assigned to any tenant; \
             ask for another VLAN, or have VLAN 999 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), ("io.runvf.vlan.tap1", "200")],
            "VLANs 100 and 200 do not belong to the same tenant; use one container per tenant",
        ),
        (
            &[(VLAN, "100"), (PROTO, "802.1ad")],
            "the tenant of VLAN 100 asks for VLAN 100 with protocol 802.1ad, but its VLANs use 802.1q; \
             set `io.runvf.proto=802.1q`",
        ),
        (
            &[(VLAN, "400"), (TENANT, "civic")],
            "tenant `civic` asks for VLAN 400 with protocol 802.1q, but its VLANs use 802.1ad; \
             set `io.runvf.proto=802.1ad`",
        ),
        (
            &[(VLAN, "100"), (TENANT, "acme"), (POOL, "west")],
            "tenant `acme` asks for pool `west`, but may use only pool east; correct `io.runvf.pool`",
        ),
        // The request names no tenant, so the message names none.
        (
            &[(VLAN, "100"), (POOL, "west")],
            "the tenant of VLAN 100 asks for pool `west`, but may use only pool east; correct `io.runvf.pool`",
        ),
        // The same message for a pool that does not exist.
        (
            &[(VLAN, "100"), (POOL, "north")],
            "the tenant of VLAN 100 asks for pool `north`, but may use only pool east; correct `io.runvf.pool`",
        ),
        (
            &[(VLAN, "200")],
            "/etc/runvf/config.toml: there are several pools, but the container names none; \
             add `io.runvf.pool=<name>`, one of: east, west",
        ),
    ] {
        assert_eq!(decision_for(TENANTS, annotations), Err(expected.to_owned()), "{annotations:?}");
    }
}

/// acme's pods are in two namespaces, bravo's in one, and civic has no pods.
const NAMESPACES: &str = r#"
pool = [{ name = "east", pfs = ["x"] }]
tenant = [
    { name = "acme", vlans = [100, 300], namespaces = ["acme-east", "monitoring"] },
    { name = "bravo", vlans = [200], namespaces = ["bravo", "monitoring"] },
    { name = "civic", vlans = [400] },
]"#;

#[test]
fn a_pod_gets_only_the_vlans_of_the_tenants_that_name_its_namespace() {
    use crate::policy::pod::{Pod, PodRole};
    let path = Path::new("/etc/runvf/config.toml");
    let decided = |config: &str, namespace: &str, annotations: &[(&str, &str)]| {
        let mut request = Request::from_annotations(annotations.iter().copied()).unwrap().unwrap();
        let (name, sandbox) = ("sensor".to_owned(), "5a".to_owned());
        request.pod =
            Some(PodRole::Sandbox(Pod { namespace: namespace.to_owned(), name, sandbox }));
        let decision = decide(&Config::parse(config, path).unwrap(), &request, path);
        decision
            .map(|decision| decision.tenant.map(|grant| grant.tenant.name))
            .map_err(|error| error.line())
    };
    for (namespace, vlan, tenant) in [
        ("acme-east", "100", "acme"),
        ("monitoring", "300", "acme"),
        ("monitoring", "200", "bravo"),
    ] {
        let found = decided(NAMESPACES, namespace, &[(VLAN, vlan)]);
        assert_eq!(found, Ok(Some(tenant.to_owned())));
        assert_eq!(decided(NAMESPACES, namespace, &[(VLAN, vlan), (TENANT, tenant)]), found);
    }
    // One line for a VLAN of another tenant, of a tenant without pods, and of none, and for the
    // name of another tenant.
    for (namespace, vlan, tenant) in [
        ("acme-east", "200", None),
        ("acme-east", "400", None),
        ("acme-east", "999", None),
        ("default", "100", None),
        ("default", "100", Some("acme")),
        ("bravo", "100", Some("acme")),
        ("bravo", "100", Some("unknown")),
    ] {
        let mut annotations = vec![(VLAN, vlan)];
        annotations.extend(tenant.map(|tenant| (TENANT, tenant)));
        let line = decided(NAMESPACES, namespace, &annotations).unwrap_err();
        let expected = format!("pods of namespace `{namespace}` may not use VLAN {vlan}; ask for");
        assert!(line.starts_with(&expected), "{line}");
    }
    let by_vfio = [(VLAN, "100"), ("io.runvf.driver", "vfio-pci")];
    let line = decided(NAMESPACES, "acme-east", &by_vfio).unwrap_err();
    let expected = "pod acme-east/sensor asks for vfio-pci, which no pod can have; ";
    assert!(line.starts_with(expected), "{line}");
    // Without tenants, any pod may have any VLAN, like any container.
    assert_eq!(decided(ONE_POOL, "default", &[(VLAN, "4094")]), Ok(None));
    // A container without a pod needs no namespace.
    assert!(decision_for(NAMESPACES, &[(VLAN, "100")]).is_ok());
}

#[test]
fn an_annotation_allows_sending_only_where_the_pool_does() {
    const SENDING: &str = r#"pool = [{ name = "east", pfs = ["x"], transmit = "allow" }]"#;
    let refused = "`mon0` asks to send, but containers of pool `east` only receive; remove \
        `io.runvf.transmit`, or set `transmit = \"allow\"` in the pool in /etc/runvf/config.toml";
    for (config, transmit, expected) in [
        (ONE_POOL, None, Ok(false)),
        (ONE_POOL, Some("drop"), Ok(false)),
        (ONE_POOL, Some("allow"), Err(refused.to_owned())),
        (SENDING, None, Ok(true)),
        (SENDING, Some("drop"), Ok(false)),
        (SENDING, Some("allow"), Ok(true)),
    ] {
        let path = Path::new("/etc/runvf/config.toml");
        let config = Config::parse(config, path).unwrap();
        let annotation = transmit.map(|value| ("io.runvf.transmit", value));
        let annotations = [(VLAN, "100")].into_iter().chain(annotation);
        let request = Request::from_annotations(annotations).unwrap().unwrap();
        let decision = decide(&config, &request, path).map_err(|error| error.line());
        let sends = decision.map(|decision| {
            let (interface, pool) = &decision.interfaces[0];
            may_send(interface, pool)
        });
        assert_eq!(sends, expected, "{transmit:?}");
    }
}
