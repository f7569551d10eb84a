use super::*;

/// VLAN 100–109 and 300 are acme's on pool `east`, 200 is bravo's on both, at most two VFs.
const TENANTS: &str = r#"
pool = [{ name = "east", pfs = ["x"] }, { name = "west", pfs = ["y"] }]
tenant = [
    { name = "acme", vlans = ["100-109", 300], pools = ["east"] },
    { name = "bravo", vlans = [200], max = 2 },
    { name = "civic", vlans = [400], proto = "802.1ad", pools = ["west"] },
]"#;
const ONE_POOL: &str = r#"pool = [{ name = "east", pfs = ["x"] }]"#;

/// The tenant and the pools, or the line that is shown.
fn decided(config: &str, annotations: &[(&str, &str)]) -> Result<(Option<String>, String), String> {
    let path = Path::new("/etc/runvf/config.toml");
    let config = Config::parse(config, path).unwrap();
    let request = Request::from_annotations(annotations.iter().copied()).unwrap().unwrap();
    let decision = decide(&config, &request, path).map_err(|error| error.line())?;
    let pools: Vec<&Pool> = decision.interfaces.iter().map(|(_, pool)| pool).collect();
    Ok((decision.tenant.map(|grant| grant.tenant.name), names(&pools)))
}

const VLAN: &str = "io.runvf.vlan";
const TENANT: &str = "io.runvf.tenant";
const POOL: &str = "io.runvf.pool";
const PROTO: &str = "io.runvf.proto";

#[test]
fn what_is_allowed() {
    for (config, annotations, tenant, pools) in [
        // Without tenants whoever asks is believed, as there is nobody to be compared with.
        (ONE_POOL, &[(VLAN, "4094"), (TENANT, "whoever")][..], None, "east"),
        (TENANTS, &[(VLAN, "100")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "300"), (TENANT, "acme")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "109"), (POOL, "east")], Some("acme"), "east"),
        (TENANTS, &[(VLAN, "200"), (POOL, "west")], Some("bravo"), "west"),
        (TENANTS, &[(VLAN, "400"), (PROTO, "802.1ad")], Some("civic"), "west"),
        (TENANTS, &[(VLAN, "100"), ("io.runvf.vlan.tap1", "300")], Some("acme"), "east, east"),
    ] {
        let expected = Ok((tenant.map(str::to_owned), pools.to_owned()));
        assert_eq!(decided(config, annotations), expected, "{annotations:?}");
    }
}

#[test]
fn what_is_refused_and_how_it_is_told() {
    for (annotations, expected) in [
        (
            &[(VLAN, "200"), (TENANT, "acme")][..],
            "tenant `acme` asks for VLAN 200, but may use only VLAN 100-109, 300; \
             ask for another VLAN, or have VLAN 200 added to the tenant in /etc/runvf/config.toml",
        ),
        // The same as for a VLAN that is another's.
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
        // Nobody has named a tenant, so none is named.
        (
            &[(VLAN, "100"), (POOL, "west")],
            "the tenant of VLAN 100 asks for pool `west`, but may use only pool east; correct `io.runvf.pool`",
        ),
        // The same for a pool that there is not.
        (
            &[(VLAN, "100"), (POOL, "north")],
            "the tenant of VLAN 100 asks for pool `north`, but may use only pool east; correct `io.runvf.pool`",
        ),
        (
            &[(VLAN, "200")],
            "/etc/runvf/config.toml: has several pools and the container names none; \
             add `io.runvf.pool=<name>`, one of: east, west",
        ),
    ] {
        assert_eq!(decided(TENANTS, annotations), Err(expected.to_owned()), "{annotations:?}");
    }
}
