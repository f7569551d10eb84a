use std::fs;

use super::*;

/// A host with one pool, and with the tenants acme (VLAN 100) and bravo (VLAN 200).
fn host(folder: &Path) -> Host {
    let config = "pool = [{ name = \"p\", pfs = [\"no-such-pf\"] }]\n\
        tenant = [{ name = \"acme\", vlans = [100] }, { name = \"bravo\", vlans = [200] }]";
    let path = folder.join("config.toml");
    fs::write(&path, config).unwrap();
    let (sysfs, run) = (folder.join("sys"), folder.join("run"));
    Host { sysfs, run, config: path, audit: folder.join("audit.jsonl") }
}

fn network(options: Value) -> Value {
    json!({
        "name": "acme", "id": "1".repeat(64), "driver": "runvf", "dns_enabled": true, "internal": false,
        "ipv6_enabled": false, "created": "2026-01-31T12:00:00Z", "options": options,
        "ipam_options": null, "subnets": null,
    })
}

fn created(options: Value) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    create(&host(folder.path()), network(options)).map_err(|error| error.line())
}

#[test]
fn a_new_network_has_no_addresses_and_keeps_what_runvf_does_not_know() {
    let stored = created(json!({ "vlan": "100", "tenant": "acme" })).unwrap();
    assert_eq!(stored["ipam_options"], json!({ "driver": "none" }));
    assert_eq!(stored["dns_enabled"], json!(false));
    assert_eq!(stored["created"], json!("2026-01-31T12:00:00Z"));
    assert_eq!(stored["options"], json!({ "vlan": "100", "tenant": "acme" }));
}

#[test]
fn a_mistake_shows_when_the_network_is_created() {
    for (options, expected) in [
        (json!({}), "the network has no VLAN; add `--opt vlan=<1-4094>`"),
        (json!(null), "the network has no VLAN; add `--opt vlan=<1-4094>`"),
        (json!({ "vlan": "5000" }), "--opt vlan=5000 is not a VLAN; give a number from 1 to 4094"),
        (
            json!({ "vlan": "100", "vlam": "1" }),
            "`vlam` is not an option of a network of runvf; \
             the options are vlan, tenant, pool, mtu, qos, proto, transmit, interface",
        ),
        (
            json!({ "vlan": "100", "interface": "a/b" }),
            "--opt interface=a/b has an interface name with a character that is not allowed; an \
             interface name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`",
        ),
        (
            json!({ "vlan": "100", "tenant": "delta" }),
            "tenant `delta` asks for VLAN 100, but this host has no such tenant; \
             correct `--opt tenant`; /etc/runvf/config.toml lists the tenants",
        ),
        (
            json!({ "vlan": "200", "tenant": "acme" }),
            "tenant `acme` asks for VLAN 200, but may use only VLAN 100; ask for another VLAN, or \
             have VLAN 200 added to the tenant in /etc/runvf/config.toml",
        ),
    ] {
        assert_eq!(created(options.clone()).unwrap_err(), expected, "{options}");
    }
}

#[test]
fn a_network_with_addresses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut with_subnet = network(json!({ "vlan": "100" }));
    with_subnet["subnets"] = json!([{ "subnet": "10.0.0.0/24" }]);
    let error = create(&host(folder.path()), with_subnet).unwrap_err();
    assert_eq!(error.line(), "a VF of runvf has no address; leave out `--subnet`");
}

#[test]
fn a_refused_network_has_an_audit_entry() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    create(&host, network(json!({ "vlan": "300" }))).unwrap_err();
    let entries = vf::audit(&host).unwrap().entries;
    let [one] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((one.event, one.vlan), (vf::Event::Refused, 300));
    assert_eq!(one.container, "(network acme)");
}

fn exec(options: Value, of_container: Value) -> Value {
    json!({
        "container_id": "c", "container_name": "sensor", "port_mappings": [],
        "network": network(options), "network_options": of_container,
    })
}

#[test]
fn the_policy_is_asked_at_each_setup() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let error = |options: Value, of_container: Value| {
        let netns = Path::new("/proc/self/ns/net");
        setup(&host, netns, exec(options, of_container)).unwrap_err().line()
    };
    let named = json!({ "interface_name": "mon0", "aliases": ["sensor"] });
    let refused = error(json!({ "vlan": "300" }), named.clone());
    assert!(refused.starts_with("VLAN 300 is not assigned to any tenant; "), "{refused}");
    let host_netns = error(json!({ "vlan": "100" }), named);
    assert!(host_netns.starts_with("the container uses the host's network names"), "{host_netns}");
    let with_ip = json!({ "interface_name": "mon0", "static_ips": ["10.0.0.2"] });
    assert_eq!(
        error(json!({ "vlan": "100" }), with_ip),
        "a VF of runvf has no address; leave out `--ip`"
    );
    let with_vlan = json!({ "interface_name": "mon0", "options": { "vlan": "200" } });
    assert_eq!(
        error(json!({ "vlan": "100" }), with_vlan),
        "`vlan` cannot be an option of one container; create another network for it"
    );
}

#[test]
fn a_teardown_without_a_claim_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let of_container = json!({ "interface_name": "eth0" });
    let input = exec(json!({ "vlan": "100" }), of_container);
    teardown(&host(folder.path()), Path::new("/nonexistent"), &input).unwrap();
    teardown(&host(folder.path()), Path::new("/nonexistent"), &json!({})).unwrap();
}

#[test]
fn the_plugin_is_recognised_by_its_name() {
    for (program, expected) in [
        ("/usr/libexec/netavark/runvf", true),
        ("runvf", true),
        ("/usr/libexec/runvf/runvf-hook", false),
    ] {
        assert_eq!(is_called(Some(OsStr::new(program))), expected, "{program}");
    }
    let info = run("info", None).unwrap().unwrap();
    assert_eq!(info["api_version"], "1.0.0");
    assert_eq!(run("setup", None).unwrap_err().line(), Error::NoNetns.line());
    assert!(run("x", None).unwrap_err().line().starts_with("the plugin has no verb `x`; "));
}

#[test]
fn a_teardown_fails_only_if_a_running_container_keeps_its_vf() {
    let result = |outcome: &Outcome, is_in_use: bool| {
        let [vf, interface, container] = ["0000:01:10.0", "mon0", "c"].map(str::to_owned);
        let one = Released { vf, interface, container, outcome: outcome.clone() };
        check_released(&[one], |_| is_in_use)
    };
    let left = Outcome::Left("cannot lock".to_owned());
    assert_eq!(
        result(&left, true).unwrap_err().line(),
        "VF 0000:01:10.0 (mon0 of c) was not released: cannot lock; `runvfctl gc` tries again"
    );
    assert!(result(&left, false).is_ok());
    for outcome in [Outcome::Clean, Outcome::Quarantined("no driver".to_owned())] {
        assert!(result(&outcome, true).is_ok(), "{outcome:?}");
    }
}
