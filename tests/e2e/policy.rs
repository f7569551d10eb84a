//! Proof of the policy: which tenant gets which VLAN, how a refusal reads, and what the audit log
//! says afterwards.

use lab::{HostKind, Lab, Output};
use serde_json::Value;

use crate::card::Card;
use crate::engine::{Engine, run};
use crate::hook_calls::{assert_free, functions, vlans, with};
use crate::host::{assert_untouched, configure, leave, prepared_on, state};

/// Longer than the name of an interface may be.
const ALTNAME: &str = "mirror-of-the-first-rack";

const TENANTS: &str = r#"
[[tenant]]
name = "acme"
vlans = ["100-109", 300]
pools = ["east"]

[[tenant]]
name = "bravo"
vlans = [200]
pools = ["east"]
max = 1
"#;

fn pools(pfs: [&str; 2]) -> String {
    let one =
        |name: &str, pf: &str| format!("[[pool]]\nname = \"{name}\"\npfs = [\"{pf}\"]\nvfs = 3\n");
    one("east", pfs[0]) + &one("west", pfs[1])
}

const REFUSED: [(&str, &str); 5] = [
    (
        "--annotation io.runvf.vlan=200 --annotation io.runvf.tenant=acme",
        "tenant `acme` asks for VLAN 200, but may use only VLAN 100-109, 300; \
         ask for another VLAN, or have VLAN 200 added to the tenant in /etc/runvf/config.toml",
    ),
    (
        "--annotation io.runvf.vlan=100 --annotation io.runvf.tenant=acne",
        "tenant `acne` asks for VLAN 100, but this host has no such tenant; \
         correct `io.runvf.tenant`; /etc/runvf/config.toml lists the tenants",
    ),
    (
        "--annotation io.runvf.vlan=400",
        "VLAN 400 is not assigned to any tenant; ask for another VLAN, or have VLAN 400 added to the tenant in /etc/runvf/config.toml",
    ),
    (
        "--annotation io.runvf.vlan=100 --annotation io.runvf.pool=west",
        "the tenant of VLAN 100 asks for pool `west`, but may use only pool east; correct `io.runvf.pool`",
    ),
    // bravo has one VF already.
    (
        "--annotation io.runvf.vlan=200",
        "the tenant of VLAN 200 asks for 1 more VF, but has 1 of at most 1; \
         stop one of the tenant's containers, or raise `max` in /etc/runvf/config.toml",
    ),
];

/// A container `c` of acme in the netns of `b`.
const JOIN_B: &str = "join c b 100 tap1; attach c; end c";

/// Event, VLAN, tenant and reason of each audit entry.
pub(crate) fn audit(lab: &Lab, options: &str) -> Vec<(String, u64, String, String)> {
    let all = lab.json(&format!("runvfctl audit {options} --json")).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let one = |entry: &Value| {
        let vlan = entry["vlan"].as_u64().unwrap();
        (text(entry, "event"), vlan, text(entry, "tenant"), text(entry, "reason"))
    };
    all.as_array().unwrap().iter().map(one).collect()
}

fn remove_audit_log(lab: &Lab) {
    lab.ok("rm -f /var/log/runvf/audit*").unwrap();
}

pub(crate) fn a_tenant_gets_only_its_own_vlans(host: HostKind, engine: Engine) {
    let lab = prepared_on(host);
    let untouched = state(&lab);
    functions(&lab);
    lab.ok(&format!("ip link property add dev pf0 altname {ALTNAME}")).unwrap();
    configure(&lab, &(pools([ALTNAME, "pf1"]) + TENANTS));
    lab.ok(&with("holder b 200; attach b")).unwrap();
    assert_eq!(vlans(&lab).iter().map(|vf| vf.0).collect::<Vec<_>>(), [200]);
    let before = state(&lab);

    remove_audit_log(&lab);
    for (options, line) in REFUSED {
        let output = run(&lab, engine, options, "echo it runs");
        assert_refused(&output, engine, line);
    }
    assert_untouched(&lab, &before);
    let lines = audit(&lab, "");
    assert_eq!(lines.len(), REFUSED.len(), "{lines:?}");
    for ((event, _, _, reason), (_, line)) in lines.iter().zip(REFUSED) {
        assert_eq!((event.as_str(), reason.as_str()), ("refused", line));
    }
    // The audit log names the tenant; the refusal does not.
    assert_eq!((lines[4].1, lines[4].2.as_str()), (200, "bravo"));

    let output = run(&lab, engine, "--annotation io.runvf.vlan=105", "ip link show mon0");
    assert!(output.status == 0 && output.stdout.contains("PROMISC"), "{engine:?}: {output}");
    assert_untouched(&lab, &before);
    let entries = audit(&lab, "--vlan 105 --tenant acme");
    let events: Vec<_> = entries.iter().map(|line| (line.0.as_str(), line.3.as_str())).collect();
    assert_eq!(events, [("attached", ""), ("released", "")]);

    // A container in the netns of b sees what b sees.
    let refused = lab.sh(&with(JOIN_B)).unwrap();
    // The shell may report the end of its child in a later line.
    assert_eq!(
        refused.stderr.lines().next(),
        Some(
            "runvf: the tenant of VLAN 100: this network namespace already holds another tenant's VF; \
             run the container in a network namespace of its own (`--network none`) or in another pod; `runvfctl status` lists the claims"
        )
    );
    assert_untouched(&lab, &before);
    // If the owner of that netns cannot be read, the attach is refused, too.
    let claim = Card::of(&lab).claim(0);
    let unreadable =
        format!("mv {claim} /tmp/claim; echo > {claim}; {JOIN_B}\nmv /tmp/claim {claim}");
    let refused = lab.sh(&with(&unreadable)).unwrap();
    let error = format!("runvf: {claim} is not a claim: ");
    assert!(refused.stderr.starts_with(&error), "{refused}");
    assert_untouched(&lab, &before);

    let table = lab.ok("runvfctl audit").unwrap();
    let rows = |event: &str| table.stdout.lines().filter(|line| line.contains(event)).count();
    assert_eq!((rows(" released "), rows(" attached "), rows(" refused ")), (1, 0, 7), "{table}");
    let shown = lab.ok("runvfctl status").unwrap();
    let bravo = shown.stdout.lines().find(|line| line.contains("bravo")).unwrap();
    assert!(bravo.contains(" attached ") && bravo.ends_with('Z'), "{shown}");
    lab.ok(&with(&format!("end b; detach b; ip link property del dev pf0 altname {ALTNAME}")))
        .unwrap();
    leave(lab, &untouched);
}

fn assert_refused(output: &Output, engine: Engine, line: &str) {
    assert_eq!(output.status, engine.refusal(), "{engine:?}: {output}");
    assert!(!output.stdout.contains("it runs"), "{engine:?}: {output}");
    let lines = output.stderr.lines().filter(|shown| shown.contains(line)).count();
    assert_eq!(lines, 1, "{engine:?}: expected one line with {line:?} in {output}");
}

/// Without an audit entry a container gets no VF; but a release goes on, and its entry waits for
/// `gc`.
pub(crate) fn attach_requires_a_writable_audit_log_and_release_does_not(host: HostKind) {
    let lab = prepared_on(host);
    let untouched = state(&lab);
    functions(&lab);
    lab.ok(&with("holder a 100; holder b 200; attach a")).unwrap();
    remove_audit_log(&lab);
    lab.ok(
        "mkdir /tmp/elsewhere; mv /var/log/runvf /tmp/kept; ln -s /tmp/elsewhere /var/log/runvf",
    )
    .unwrap();

    let refused = lab.sh(&with("attach b")).unwrap();
    assert_eq!(refused.status, 1, "{refused}");
    let error = "runvf: cannot write the audit log /var/log/runvf/audit.jsonl: ";
    assert!(refused.stderr.starts_with(error), "{refused}");
    assert_eq!(vlans(&lab).iter().map(|vf| vf.0).collect::<Vec<_>>(), [100]);

    let released = lab.ok(&with("end a; detach a")).unwrap();
    let complaint =
        "is clean, but its audit entry waits for `runvfctl gc`: cannot write the audit log";
    assert!(released.stderr.contains(complaint), "{released}");
    assert_free(&lab, "released without an audit entry");
    let doctor = lab.sh("runvfctl doctor").unwrap();
    assert!(doctor.stdout.contains("1 entry waits in /run/runvf/audit-spool"), "{doctor}");
    lab.ok(&with(
        "[ -z \"$(ls -A /tmp/elsewhere)\" ]; rm /var/log/runvf; mv /tmp/kept /var/log/runvf; rm -d /tmp/elsewhere; end b",
    ))
    .unwrap();
    let events = || audit(&lab, "").into_iter().map(|entry| (entry.0, entry.1)).collect::<Vec<_>>();
    let released = [("released".to_owned(), 100)];
    assert_eq!(events(), released, "a reader sees the entry that waits");
    lab.ok("runvfctl gc; [ -z \"$(ls -A /run/runvf/audit-spool)\" ]; grep -c released /var/log/runvf/audit.jsonl")
        .unwrap();
    assert_eq!(events(), released);
    leave(lab, &untouched);
}

pub(crate) fn a_tenant_gets_only_its_own_vlans_under_docker(host: HostKind) {
    a_tenant_gets_only_its_own_vlans(host, Engine::Docker);
}

pub(crate) fn config_check_reports_each_problem(host: HostKind) {
    let lab = prepared_on(host);
    let untouched = state(&lab);
    let check = |error: &str| {
        let output = lab.sh("runvfctl config check").unwrap();
        assert_eq!((output.status, output.stderr.as_str()), (1, error), "{output}");
    };
    lab.ok(&format!("ip link property add dev pf0 altname {ALTNAME}")).unwrap();
    configure(&lab, &(pools(["pf0", ALTNAME]) + TENANTS));
    check(&format!(
        "runvfctl: /etc/runvf/config.toml: line 7: `{ALTNAME}` is the same PF as `pf0` in pool `east`; \
         list each PF once, in one pool\n"
    ));
    configure(&lab, &(pools(["pf0", "pf1"]) + TENANTS));
    let fine = "/etc/runvf/config.toml is valid\n";
    for command in ["runvfctl config check", "runvfctl check"] {
        assert_eq!(lab.ok(command).unwrap().stdout, fine);
    }
    let shown = lab.json("runvfctl config show --json").unwrap();
    assert_eq!(shown["tenant"][0]["vlans"], serde_json::json!(["100-109", 300]));
    assert_eq!(shown["pool"][1]["carrier"], "require");
    lab.ok("chmod 777 /etc/runvf").unwrap();
    check(
        "runvfctl: /etc/runvf/config.toml: users other than root can replace it by writing to /etc/runvf; \
         `chown root:root /etc/runvf && chmod go-w /etc/runvf`\n",
    );
    lab.ok(&format!("chmod 755 /etc/runvf; ip link property del dev pf0 altname {ALTNAME}"))
        .unwrap();
    leave(lab, &untouched);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        attach_requires_a_writable_audit_log_and_release_does_not,
        a_tenant_gets_only_its_own_vlans_under_docker,
        config_check_reports_each_problem,
    );
}
