use std::path::Path;

use super::super::{Carrier, OnLoss, OnPromiscOff, Profile, Promisc, Scrub};
use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/c.toml")).map_err(|error| error.line())
}

#[test]
fn a_minimal_config_gets_the_default_values() {
    let config = parse("pool = [{ name = \"sensors\", pfs = [\"pf0\"] }]").unwrap();
    assert_eq!(config.pools[0].pfs, ["pf0"]);
    assert_eq!((config.pools[0].vfs, config.pools[0].carrier), (None, Carrier::Require));
    assert_eq!((config.pools[0].promisc, config.pools[0].pf_promisc), (Promisc::Require, false));
    assert_eq!(config.tenants, []);
}

#[test]
fn promisc_accepts_best_effort_but_not_off() {
    let pool =
        "pool = [{ name = \"a\", pfs = [\"x\"], promisc = \"best-effort\", pf_promisc = true }]";
    let config = parse(pool).unwrap();
    assert_eq!((config.pools[0].promisc, config.pools[0].pf_promisc), (Promisc::BestEffort, true));
    parse("pool = [{ name = \"a\", pfs = [\"x\"], promisc = \"off\" }]").unwrap_err();
}

#[test]
fn defaults_apply_to_pools_that_do_not_override_them() {
    let config = parse(
        "[defaults]\nvfs = 8\ncarrier = \"ignore\"\nscrub = \"flr\"\non_loss = \"keep\"\non_promisc_off = \"report\"\npromisc = \"best-effort\"\n\
         pf_promisc = true\nprofile = \"plain\"\nmtu = 9000\n\
         [[pool]]\nname = \"a\"\npfs = [\"x\"]\n\
         [[pool]]\nname = \"b\"\npfs = [\"y\"]\nvfs = 2\nprofile = \"sensor\"\npf_promisc = false\n",
    );
    let [a, b] = config.unwrap().pools.try_into().unwrap();
    assert_eq!((a.vfs, a.carrier, a.scrub), (Some(8), Carrier::Ignore, Scrub::Flr));
    assert_eq!((a.on_loss, a.promisc, a.pf_promisc), (OnLoss::Keep, Promisc::BestEffort, true));
    assert_eq!((a.profile, a.mtu), (Profile::Plain, Some(9000)));
    assert_eq!(a.on_promisc_off, OnPromiscOff::Report);
    assert_eq!((b.vfs, b.profile, b.pf_promisc), (Some(2), Profile::Sensor, false));
    assert_eq!((b.carrier, b.mtu), (Carrier::Ignore, Some(9000)));
}

#[test]
fn an_error_in_a_default_names_its_line() {
    for (defaults, expected) in [
        ("name = \"a\"\n", "line 2: `name` cannot be a default; set it in each pool"),
        ("mtu = 9000\npfs = [\"x\"]\n", "line 3: `pfs` cannot be a default; set it in each pool"),
        ("vsf = 3\n", "line 2: unknown field `vsf`; did you mean `vfs`?"),
        (
            "mtu = 9000\nprofile = \"plan\"\n",
            "line 3: unknown variant `plan`; did you mean `plain`?",
        ),
        // Reported although the pool overrides this default.
        ("scrub = \"flt\"\n", "line 2: unknown variant `flt`; did you mean `flr`?"),
        (
            "vfs = 0\n",
            "line 2: pool `a`: `vfs` must be at least 1; remove it to create as many VFs as the PF supports",
        ),
        (
            "\nmtu = 67\n",
            "line 3: pool `a`: `mtu` must be from 68 to 65535; remove it to keep the driver's MTU",
        ),
    ] {
        let text = format!(
            "[defaults]\n{defaults}[[pool]]\nname = \"a\"\npfs = [\"x\"]\nscrub = \"flr\"\n"
        );
        assert_eq!(parse(&text).unwrap_err(), format!("/c.toml: {expected}"));
    }
    let line = parse("defaults = 1\npool = [{ name = \"a\", pfs = [\"x\"] }]").unwrap_err();
    assert!(line.starts_with("/c.toml: line 1: invalid type: integer `1`, expected "), "{line}");
    let line = parse("[default]\nvfs = 3\n[[pool]]\nname = \"a\"\npfs = [\"x\"]\n").unwrap_err();
    assert_eq!(line, "/c.toml: line 1: unknown field `default`; did you mean `defaults`?");
}

#[test]
fn a_tenant_has_vlan_numbers_and_ranges_and_by_default_all_pools() {
    let config = parse(&format!(
        "{POOLS}[[tenant]]\nname = \"acme\"\nvlans = [100, \"200-299\"]\n\
         [[tenant]]\nname = \"bravo\"\nvlans = [300]\npools = [\"b\"]\nmax = 2\n"
    ));
    let [acme, bravo] = config.unwrap().tenants.try_into().unwrap();
    assert!([100, 200, 299].iter().all(|vlan| acme.owns(*vlan)));
    assert!([99, 101, 199, 300].iter().all(|vlan| !acme.owns(*vlan)));
    assert!(acme.may_use("a") && acme.may_use("b") && bravo.may_use("b") && !bravo.may_use("a"));
    assert_eq!((acme.max, bravo.max), (None, Some(2)));
}

/// Two pools on six lines, so that a tenant after them starts in line 7.
const POOLS: &str =
    "[[pool]]\nname = \"a\"\npfs = [\"x\"]\n[[pool]]\nname = \"b\"\npfs = [\"y\"]\n";

#[test]
fn an_error_in_a_pool_names_its_line() {
    for (text, expected) in [
        (
            "[[pool]]\nname = \"a\"\npfs = [\"x\"]\nvsf = 3\n",
            "line 4: unknown field `vsf`; did you mean `vfs`?",
        ),
        ("[[pol]]\nname = \"a\"\n", "line 1: unknown field `pol`; did you mean `pool`?"),
        (
            "[[pool]]\nname = \"a\"\npfs = [\"x\"]\nscrub = \"flt\"\n",
            "line 4: unknown variant `flt`; did you mean `flr`?",
        ),
        (
            "[[pool]]\nname = 1\n",
            "line 2: invalid type: integer `1`, expected a string; see /usr/share/doc/runvf/docs/config.md",
        ),
        ("", "no pool is defined; see /usr/share/doc/runvf/docs/config.md"),
        (
            "pool = [{ name = \"a\", pfs = [] }]",
            "line 1: pool `a` has no PF; add a name from `ip -br link`, for example `pfs = [\"enp1s0f0\"]`",
        ),
        (
            "pool = [{ name = \"a\", pfs = [\n\"x\",\n\"x/y\"] }]",
            "line 3: pool `a`: `x/y` is not a valid PF name; use a name from `ip -br link`",
        ),
        (
            "pool = [{ name = \"a\", pfs = [\"x\"], vfs = 0 }]",
            "line 1: pool `a`: `vfs` must be at least 1; remove it to create as many VFs as the PF supports",
        ),
        (
            "pool = [{ name = \"a\", pfs = [\"x\"] },\n{ name = \"a\", pfs = [\"y\"] }]",
            "line 2: two pools are named `a`; merge them or rename one",
        ),
        (
            "pool = [{ name = \"a\", pfs = [\"x\"] },\n{ name = \"b\", pfs = [\"y\",\n\"x\"] }]",
            "line 3: PF `x` is in pool `a` and in pool `b`; \
             list each PF once, in one pool",
        ),
        (
            "pool = [{ name = \"a\", pfs = [\"x\", \"x\"] }]",
            "line 1: pool `a` names PF `x` twice; \
             list each PF once, in one pool",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), format!("/c.toml: {expected}"));
    }
    assert!(parse("[[pool\n").unwrap_err().starts_with("/c.toml: line 1: "));
}

#[test]
fn an_error_in_a_tenant_names_its_line() {
    for (tenants, expected) in [
        (
            "[[tenant]]\nvlans = [1]\n",
            "line 7: missing field `name`; see /usr/share/doc/runvf/docs/config.md",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlan = [1]\n",
            "line 9: unknown field `vlan`; did you mean `vlans`?",
        ),
        (
            "[[tenant]]\nname = \"an acme\"\nvlans = [1]\n",
            "line 8: not a valid tenant name; a name is 1 to 63 letters, digits, `-`, `_` or `.`",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = []\n",
            "line 9: this tenant has no VLAN; add some, for example `vlans = [100, \"200-299\"]`",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1, 4095]\n",
            "line 9: invalid value: integer `4095`, expected a VLAN from 1 to 4094, or a range as in \"200-299\"; \
             see /usr/share/doc/runvf/docs/config.md",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [\n\"20-10\"]\n",
            "line 10: invalid value: string \"20-10\", expected a VLAN from 1 to 4094, or a range as in \"200-299\"; \
             see /usr/share/doc/runvf/docs/config.md",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1]\nmax = 0\n",
            "line 10: `max` must be at least 1; remove it for no limit",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1]\nnamespaces = [\"a\",\n\"B\"]\n",
            "line 11: `B` is not a namespace of Kubernetes; \
             a namespace is 1 to 63 lower-case letters, digits or `-`",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1]\npools = []\n",
            "line 10: this tenant may use no pool; remove `pools` to allow all pools",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1]\npools = [\"a\",\n\"c\"]\n",
            "line 11: pool `c` does not exist; did you mean `a`?",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [1]\n[[tenant]]\nname = \"acme\"\nvlans = [2]\n",
            "line 11: an earlier tenant has the same name; merge them or rename one",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [\"1-9\",\n9]\n",
            "line 10: VLAN 9 already belongs to this tenant, in line 9; list each VLAN once, for one tenant",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nvlans = [100, \"200-299\"]\n\
             [[tenant]]\nname = \"bravo\"\nvlans = [1,\n\"290-310\"]\n",
            "line 13: VLAN 290-299 already belongs to another tenant, in line 9; \
             list each VLAN once, for one tenant",
        ),
    ] {
        assert_eq!(
            parse(&format!("{POOLS}{tenants}")).unwrap_err(),
            format!("/c.toml: {expected}")
        );
    }
}
