use std::path::Path;

use super::*;
use crate::ledger::claim::tests::claim;
use crate::policy::authorize::decide;
use crate::policy::config::Config;
use crate::policy::request::Request;

/// VLAN 100 is acme's; VLAN 200 is bravo's, with two VFs at most.
const TENANTS: &str = r#"
pool = [{ name = "east", pfs = ["x"] }, { name = "west", pfs = ["y"] }]
tenant = [
    { name = "acme", vlans = [100], pools = ["east"] },
    { name = "bravo", vlans = [200], max = 2 },
]"#;

fn bravo(named: bool) -> TenantGrant {
    let path = Path::new("/c.toml");
    let config = Config::parse(TENANTS, path).unwrap();
    let mut annotations = vec![("io.runvf.vlan", "200"), ("io.runvf.pool", "west")];
    annotations.extend(named.then_some(("io.runvf.tenant", "bravo")));
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
        check_quota(&bravo(false), &claims, 1).unwrap();
        check_quota(&bravo(false), &claims, 2).unwrap_err();
    }
}

#[test]
fn a_quota_that_is_used_up_is_told_without_a_name_that_was_not_named() {
    let full =
        [held(Some("bravo"), 200, State::Attached), held(Some("bravo"), 200, State::Attached)];
    let line = |named, claims: &[Claim], asked| {
        check_quota(&bravo(named), claims, asked).unwrap_err().line()
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
    let broken = State::Quarantined { reason: String::new() };
    let broken = [held(Some("bravo"), 200, broken), held(Some("bravo"), 200, State::Attached)];
    assert_eq!(
        line(true, &broken, 1),
        "tenant `bravo` asks for 1 more VF, but has 2 of at most 2; \
         1 of them quarantined: run `runvfctl repair`, or stop one of the tenant's containers"
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
    let refused = Err("tenant `bravo`: this network namespace already holds another tenant's VF; \
        run the container in a network namespace of its own (`--network none`) or in another pod; `runvfctl status` lists the claims");
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
        let admitted =
            check_netns_tenancy(&bravo(true), here, &claims).map_err(|error| error.line());
        assert_eq!(admitted, expected.map_err(str::to_owned), "{claims:?}");
    }
}
