use super::*;
use crate::claim::tests::claim;

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
    Ok((decision.tenant.map(|party| party.tenant.name), names(&pools)))
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
            "tenant `acme` asks for VLAN 200, but may have 100-109, 300 only; \
             ask for another, or have 200 added to the tenant in /etc/runvf/config.toml",
        ),
        // The same as for a VLAN that is another's.
        (
            &[(VLAN, "999"), (TENANT, "acme")],
            "tenant `acme` asks for VLAN 999, but may have 100-109, 300 only; \
             ask for another, or have 999 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), ("io.runvf.vlan.tap1", "200"), (TENANT, "acme")],
            "tenant `acme` asks for VLAN 200, but may have 100-109, 300 only; \
             ask for another, or have 200 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), (TENANT, "acne")],
            "tenant `acne` asks for VLAN 100, but this host has no such tenant; \
             correct `io.runvf.tenant`; the names are in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "999")],
            "VLAN 999 is no tenant's; \
             ask for another, or have 999 added to the tenant in /etc/runvf/config.toml",
        ),
        (
            &[(VLAN, "100"), ("io.runvf.vlan.tap1", "200")],
            "VLAN 100 and VLAN 200 are not of one tenant; a container has one tenant: ask for them in two",
        ),
        (
            &[(VLAN, "100"), (PROTO, "802.1ad")],
            "the tenant of VLAN 100 asks for VLAN 100 of 802.1ad, but its VLANs are of 802.1q; \
             ask for it with `io.runvf.proto=802.1q`",
        ),
        (
            &[(VLAN, "400"), (TENANT, "civic")],
            "tenant `civic` asks for VLAN 400 of 802.1q, but its VLANs are of 802.1ad; \
             ask for it with `io.runvf.proto=802.1ad`",
        ),
        (
            &[(VLAN, "100"), (TENANT, "acme"), (POOL, "west")],
            "tenant `acme` asks for pool `west`, but may use east only; correct `io.runvf.pool`",
        ),
        // Nobody has named a tenant, so none is named.
        (
            &[(VLAN, "100"), (POOL, "west")],
            "the tenant of VLAN 100 asks for pool `west`, but may use east only; correct `io.runvf.pool`",
        ),
        // The same for a pool that there is not.
        (
            &[(VLAN, "100"), (POOL, "north")],
            "the tenant of VLAN 100 asks for pool `north`, but may use east only; correct `io.runvf.pool`",
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

fn bravo(named: bool) -> Party {
    let path = Path::new("/c.toml");
    let config = Config::parse(TENANTS, path).unwrap();
    let mut annotations = vec![(VLAN, "200"), (POOL, "west")];
    annotations.extend(named.then_some((TENANT, "bravo")));
    let request = Request::from_annotations(annotations).unwrap().unwrap();
    decide(&config, &request, path).unwrap().tenant.unwrap()
}

fn held(tenant: Option<&str>, vlan: u32, state: State) -> Claim {
    let mut held = claim("0000:01:10.0", "n");
    (held.tenant, held.want.vlan, held.state) = (tenant.map(str::to_owned), vlan, state);
    held
}

#[test]
fn every_claim_counts_that_is_theirs_by_name_or_by_vlan() {
    let broken = State::Quarantined { reason: String::new() };
    for theirs in [
        held(Some("bravo"), 200, State::Attached),
        held(Some("bravo"), 200, State::Claiming),
        held(Some("bravo"), 200, State::Releasing),
        held(Some("bravo"), 200, broken),
        // The configuration has changed since.
        held(Some("bravo"), 7, State::Attached),
        held(None, 200, State::Attached),
    ] {
        let others = held(Some("acme"), 100, State::Attached);
        let claims = [theirs, others.clone(), others];
        bravo(false).admit(&claims, 1).unwrap();
        bravo(false).admit(&claims, 2).unwrap_err();
    }
}

#[test]
fn a_quota_that_is_used_up_is_told_without_a_name_that_was_not_named() {
    let full =
        [held(Some("bravo"), 200, State::Attached), held(Some("bravo"), 200, State::Attached)];
    let line =
        |named, claims: &[Claim], asked| bravo(named).admit(claims, asked).unwrap_err().line();
    assert_eq!(
        line(true, &full, 1),
        "tenant `bravo` asks for 1 more VF, but has 2 of at most 2; \
         stop one of its containers, or raise `max` in /etc/runvf/config.toml"
    );
    assert_eq!(
        line(false, &full[1..], 2),
        "the tenant of VLAN 200 asks for 2 more VFs, but has 1 of at most 2; \
         stop one of its containers, or raise `max` in /etc/runvf/config.toml"
    );
    let broken = State::Quarantined { reason: String::new() };
    let broken = [held(Some("bravo"), 200, broken), held(Some("bravo"), 200, State::Attached)];
    assert_eq!(
        line(true, &broken, 1),
        "tenant `bravo` asks for 1 more VF, but has 2 of at most 2; \
         1 of them in quarantine, which `runvfctl repair` may clean; or stop one of its containers"
    );
}

#[test]
fn a_network_namespace_is_one_tenants() {
    let here = NetnsRecord { cookie: 7, ..held(None, 0, State::Attached).netns };
    let boot = boot_id().unwrap();
    let there = |tenant: Option<&str>, vlan: u32, state: State| Claim {
        netns: here,
        boot_id: boot.clone(),
        ..held(tenant, vlan, state)
    };
    let refused = Err(
        "tenant `bravo` may have no VF in a network namespace in which there is one that is not theirs; \
        give it a network of its own (`--network none`), or a pod of its own; `runvfctl status` shows who has what",
    );
    let quarantined = State::Quarantined { reason: String::new() };
    for (claims, expected) in [
        (vec![], Ok(())),
        (
            vec![there(Some("bravo"), 200, State::Attached), there(None, 200, State::Claiming)],
            Ok(()),
        ),
        (
            vec![
                there(Some("bravo"), 200, State::Attached),
                there(Some("acme"), 100, State::Claiming),
            ],
            refused,
        ),
        (vec![there(None, 100, State::Attached)], refused),
        (vec![there(Some("acme"), 100, quarantined)], refused),
        // Another namespace, or the same number at another boot.
        (vec![held(Some("acme"), 100, State::Attached)], Ok(())),
        (vec![Claim { boot_id: "b".into(), ..there(Some("acme"), 100, State::Attached) }], Ok(())),
    ] {
        let admitted = bravo(true).admit_to(here, &claims).map_err(|error| error.line());
        assert_eq!(admitted, expected.map_err(str::to_owned), "{claims:?}");
    }
}
