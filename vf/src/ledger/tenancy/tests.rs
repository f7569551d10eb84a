use std::path::Path;

use super::*;
use crate::ledger::claim::tests::claim;
use crate::policy::authorize::decide;
use crate::policy::config::Config;
use crate::policy::request::Request;

/// VLAN 100 belongs to acme. VLAN 200 belongs to bravo, which may have two VFs.
const TENANTS: &str = r#"
pool = [{ name = "east", pfs = ["x"] }, { name = "west", pfs = ["y"] }]
tenant = [
    { name = "acme", vlans = [100], pools = ["east"] },
    { name = "bravo", vlans = [200], max = 2 },
]"#;

fn bravo(names_tenant: bool) -> TenantGrant {
    let path = Path::new("/c.toml");
    let config = Config::parse(TENANTS, path).unwrap();
    let mut annotations = vec![("io.runvf.vlan", "200"), ("io.runvf.pool", "west")];
    annotations.extend(names_tenant.then_some(("io.runvf.tenant", "bravo")));
    let request = Request::from_annotations(annotations).unwrap().unwrap();
    decide(&config, &request, path).unwrap().tenant.unwrap()
}

fn claim_of(tenant: Option<&str>, vlan: u32, state: State) -> Claim {
    let mut claim = claim("0000:01:10.0", "n");
    (claim.tenant, claim.want.vlan, claim.state) = (tenant.map(str::to_owned), vlan, state);
    claim
}

#[test]
fn claims_count_by_tenant_name_or_vlan_in_every_state() {
    let quarantined = State::Quarantined { reason: String::new() };
    for counted in [
        claim_of(Some("bravo"), 200, State::Attached),
        claim_of(Some("bravo"), 200, State::Claiming),
        claim_of(Some("bravo"), 200, State::Releasing),
        claim_of(Some("bravo"), 200, quarantined),
        // The configuration gave bravo VLAN 7 when the claim was made.
        claim_of(Some("bravo"), 7, State::Attached),
        claim_of(None, 200, State::Attached),
    ] {
        let other_tenant = claim_of(Some("acme"), 100, State::Attached);
        let claims = [counted, other_tenant.clone(), other_tenant];
        check_quota(&bravo(false), &claims, 1).unwrap();
        check_quota(&bravo(false), &claims, 2).unwrap_err();
    }
}

#[test]
fn a_quota_error_names_the_tenant_only_if_the_request_did() {
    let full = [
        claim_of(Some("bravo"), 200, State::Attached),
        claim_of(Some("bravo"), 200, State::Attached),
    ];
    let line = |names_tenant, claims: &[Claim], asked| {
        check_quota(&bravo(names_tenant), claims, asked).unwrap_err().line()
    };
    assert_eq!(
        line(true, &full, 1),
        "tenant `bravo` asks for 1 more VF, but has 2 of at most 2; \
         stop one of the tenant's containers, or raise `max` in /etc/runvf/config.toml"
    );
    assert_eq!(
        line(false, &full[1..], 2),
        "the tenant of VLAN 200 asks for 2 more VFs, but has 1 of at most 2; \
         stop one of the tenant's containers, or raise `max` in /etc/runvf/config.toml"
    );
    let quarantined = State::Quarantined { reason: String::new() };
    let with_quarantined =
        [claim_of(Some("bravo"), 200, quarantined), claim_of(Some("bravo"), 200, State::Attached)];
    assert_eq!(
        line(true, &with_quarantined, 1),
        "tenant `bravo` asks for 1 more VF, but has 2 of at most 2; \
         1 of them quarantined: run `runvfctl repair`, or stop one of the tenant's containers"
    );
}

#[test]
fn a_netns_holds_vfs_of_one_tenant_only() {
    let here = NetnsRecord { cookie: 7, ..claim_of(None, 0, State::Attached).netns };
    let boot = boot_id().unwrap();
    let claim_here = |tenant: Option<&str>, vlan: u32, state: State| Claim {
        netns: here,
        boot_id: boot.clone(),
        ..claim_of(tenant, vlan, state)
    };
    let refused = Err("tenant `bravo`: this network namespace already holds another tenant's VF; \
        run the container in a network namespace of its own (`--network none`) or in another pod; \
        `runvfctl status` lists the claims");
    let quarantined = State::Quarantined { reason: String::new() };
    for (claims, expected) in [
        (vec![], Ok(())),
        (
            vec![
                claim_here(Some("bravo"), 200, State::Attached),
                claim_here(None, 200, State::Claiming),
            ],
            Ok(()),
        ),
        (
            vec![
                claim_here(Some("bravo"), 200, State::Attached),
                claim_here(Some("acme"), 100, State::Claiming),
            ],
            refused,
        ),
        (vec![claim_here(None, 100, State::Attached)], refused),
        (vec![claim_here(Some("acme"), 100, quarantined)], refused),
        // Another network namespace, and the same cookie on another boot.
        (vec![claim_of(Some("acme"), 100, State::Attached)], Ok(())),
        (
            vec![Claim { boot_id: "b".into(), ..claim_here(Some("acme"), 100, State::Attached) }],
            Ok(()),
        ),
    ] {
        let result = check_netns_tenancy(&bravo(true), here, &claims).map_err(|error| error.line());
        assert_eq!(result, expected.map_err(str::to_owned), "{claims:?}");
    }
}
