//! Tenants: who may have which VLAN, what the one who may not is told, and what is on record afterwards.

use lab::{Lab, Output};
use serde_json::Value;

use crate::engine::{Engine, run};
use crate::holder::{assert_free, functions, vlans, with};
use crate::host::{assert_untouched, configure, installed, leave, prepared, state};

/// Longer than any interface's own name may be.
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
        "tenant `acme` asks for VLAN 200, but may have 100-109, 300 only; \
         ask for another, or have 200 added to the tenant in /etc/runvf/config.toml",
    ),
    (
        "--annotation io.runvf.vlan=100 --annotation io.runvf.tenant=acne",
        "tenant `acne` asks for VLAN 100, but this host has no such tenant; \
         correct `io.runvf.tenant`; the names are in /etc/runvf/config.toml",
    ),
    (
        "--annotation io.runvf.vlan=400",
        "VLAN 400 is no tenant's; ask for another, or have 400 added to the tenant in /etc/runvf/config.toml",
    ),
    (
        "--annotation io.runvf.vlan=100 --annotation io.runvf.pool=west",
        "the tenant of VLAN 100 asks for pool `west`, but may use east only; correct `io.runvf.pool`",
    ),
    // A VF of bravo's is in use.
    (
        "--annotation io.runvf.vlan=200",
        "the tenant of VLAN 200 asks for 1 more VF, but has 1 of at most 1; \
         stop one of its containers, or raise `max` in /etc/runvf/config.toml",
    ),
];

/// A container `c` of acme's in the network of `b`.
const BESIDE_B: &str = r#"
nsenter -n -t $(< /tmp/b.pid) sleep 100000 < /dev/null &> /dev/null &
echo $! > /tmp/c.pid
until [ /proc/$!/ns/net -ef /proc/$(< /tmp/b.pid)/ns/net ]; do :; done
sed "s/\"id\":\"b\"/\"id\":\"c\"/; s/\"pid\":[0-9]*/\"pid\":$!/; s/vlan\":\"200\"/vlan.tap1\":\"100\"/" /tmp/b.state > /tmp/c.state
attach c
end c
"#;

/// What is on record: event, VLAN, tenant and reason of each line.
fn audit(lab: &Lab, options: &str) -> Vec<(String, u64, String, String)> {
    let all = lab.json(&format!("runvfctl audit {options} --json")).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let one = |entry: &Value| {
        let vlan = entry["vlan"].as_u64().unwrap();
        (text(entry, "event"), vlan, text(entry, "tenant"), text(entry, "reason"))
    };
    all.as_array().unwrap().iter().map(one).collect()
}

fn forget(lab: &Lab) {
    lab.ok("rm -f /var/log/runvf/audit*").unwrap();
}

#[test]
fn a_tenant_gets_what_is_its_own_and_nothing_else() {
    let lab = prepared();
    let untouched = state(&lab);
    functions(&lab);
    lab.ok(&format!("ip link property add dev pf0 altname {ALTNAME}")).unwrap();
    configure(&lab, &(pools([ALTNAME, "pf1"]) + TENANTS));
    lab.ok(&with("holder b 200; attach b")).unwrap();
    assert_eq!(vlans(&lab).iter().map(|vf| vf.0).collect::<Vec<_>>(), [200]);
    let before = state(&lab);

    for engine in [Engine::Docker, Engine::PodmanHooks] {
        forget(&lab);
        for (options, told) in REFUSED {
            let output = run(&lab, engine, options, "echo it runs");
            assert_told(&output, engine, told);
        }
        assert_untouched(&lab, &before);
        let lines = audit(&lab, "");
        assert_eq!(lines.len(), REFUSED.len(), "{lines:?}");
        for ((event, _, _, reason), (_, told)) in lines.iter().zip(REFUSED) {
            assert_eq!((event.as_str(), reason.as_str()), ("refused", told));
        }
        // The operator is told the name that the one who asked is not.
        assert_eq!((lines[4].1, lines[4].2.as_str()), (200, "bravo"));

        let output = run(&lab, engine, "--annotation io.runvf.vlan=105", "ip link show mon0");
        assert!(output.status == 0 && output.stdout.contains("PROMISC"), "{engine:?}: {output}");
        assert_untouched(&lab, &before);
        let had: Vec<_> = audit(&lab, "--vlan 105 --tenant acme");
        let events: Vec<_> = had.iter().map(|line| (line.0.as_str(), line.3.as_str())).collect();
        assert_eq!(events, [("attached", ""), ("released", "")]);
    }

    // Who shares b's network sees what b sees.
    let lone = lab.sh(&with(BESIDE_B)).unwrap();
    // After it the shell may say that it has seen its child die.
    assert_eq!(
        lone.stderr.lines().next(),
        Some(
            "runvf: the tenant of VLAN 100 may have no VF in a network namespace in which there is one that is not theirs; \
             give it a network of its own (`--network none`), or a pod of its own; `runvfctl status` shows who has what"
        )
    );
    assert_untouched(&lab, &before);
    // And who cannot be told whose that network is is not let in either.
    let claim = "/run/runvf/claims/0000:01:10.0.json";
    let lost = format!("mv {claim} /tmp/claim; echo > {claim}; {BESIDE_B}\nmv /tmp/claim {claim}");
    let lone = lab.sh(&with(&lost)).unwrap();
    let told = format!("runvf: {claim} is not a claim: ");
    assert!(lone.stderr.starts_with(&told), "{lone}");
    assert_untouched(&lab, &before);

    let table = lab.ok("runvfctl audit").unwrap();
    let rows = |event: &str| table.stdout.lines().filter(|line| line.contains(event)).count();
    assert_eq!((rows(" released "), rows(" attached "), rows(" refused ")), (1, 0, 7), "{table}");
    let shown = lab.ok("runvfctl status").unwrap();
    let theirs = shown.stdout.lines().find(|line| line.contains("bravo")).unwrap();
    assert!(theirs.contains(" attached ") && theirs.ends_with('Z'), "{shown}");
    lab.ok(&with(&format!("end b; detach b; ip link property del dev pf0 altname {ALTNAME}")))
        .unwrap();
    leave(lab, &untouched);
}

fn assert_told(output: &Output, engine: Engine, told: &str) {
    assert_eq!(output.status, engine.refusal(), "{engine:?}: {output}");
    assert!(!output.stdout.contains("it runs"), "{engine:?}: {output}");
    let lines = output.stderr.lines().filter(|line| line.contains(told)).count();
    assert_eq!(lines, 1, "{engine:?}: expected one line with {told:?} in {output}");
}

/// Twenty attaches begin as soon as nobody holds the lock alone.
const RUSH: &str = r#"
for i in $(seq 20); do holder c$i $((99 + i)); done
exec 8> /tmp/go; flock 8
for i in $(seq 20); do
    (exec 8>&- 9< /tmp/go; flock -s 9; exec 9<&-; exec $hook attach < /tmp/c$i.state 2> /tmp/c$i.err) & pids[i]=$!
done
exec 8>&-
for i in $(seq 20); do wait ${pids[i]}; echo "$? $(cat /tmp/c$i.err)"; done 2> /dev/null
"#;

#[test]
fn a_quota_holds_whoever_comes_at_once() {
    let lab = installed();
    functions(&lab);
    let tenant = "[[tenant]]\nname = \"acme\"\nvlans = [\"100-199\"]\nmax = 3\n";
    let pool = "[[pool]]\nname = \"all\"\npfs = [\"pf0\", \"pf1\", \"pf2\"]\nvfs = 4\n";
    configure(&lab, &(pool.to_owned() + tenant));
    lab.ok("for pf in pf0 pf1 pf2; do echo 4 > /sys/class/net/$pf/device/sriov_numvfs; done")
        .unwrap();
    assert_free(&lab, "before");

    let output = lab.sh_within(std::time::Duration::from_secs(300), &with(RUSH)).unwrap();
    let (won, lost): (Vec<_>, Vec<_>) = output.stdout.lines().partition(|line| *line == "0 ");
    assert_eq!((won.len(), lost.len()), (3, 17), "{output}");
    for line in lost {
        // How many there were depends on who is counted while it is still made.
        assert_eq!(
            line,
            "1 runvf: the tenant of VLAN NNN asks for 1 more VF, but has 3 of at most 3; stop one of its \
             containers, or raise `max` in /etc/runvf/config.toml"
                .replace("NNN", line.split(' ').nth(6).unwrap())
        );
    }
    let on = vlans(&lab);
    assert_eq!(on.len(), 3, "{on:?}");
    lab.ok(&with("for i in $(seq 20); do end c$i; detach c$i; done")).unwrap();
    assert_free(&lab, "after all were released");
    let lines = audit(&lab, "--since 1h");
    let count = |event: &str| lines.iter().filter(|line| line.0 == event).count();
    let counts = ["attached", "released", "refused"].map(count);
    assert_eq!((counts, lines.len()), ([3, 3, 17], 23), "{lines:?}");
}

/// Nobody gets a VF that would not be on record; and nobody keeps one because it cannot be written that it was given back.
#[test]
fn what_cannot_be_put_on_record() {
    let lab = prepared();
    let untouched = state(&lab);
    functions(&lab);
    lab.ok(&with("holder a 100; holder b 200; attach a")).unwrap();
    forget(&lab);
    lab.ok(
        "mkdir /tmp/elsewhere; mv /var/log/runvf /tmp/kept; ln -s /tmp/elsewhere /var/log/runvf",
    )
    .unwrap();

    let refused = lab.sh(&with("attach b")).unwrap();
    assert_eq!(refused.status, 1, "{refused}");
    let told = "runvf: cannot put on record in /var/log/runvf/audit.jsonl who has which VLAN: ";
    assert!(refused.stderr.starts_with(told), "{refused}");
    assert_eq!(vlans(&lab).iter().map(|vf| vf.0).collect::<Vec<_>>(), [100]);

    let released = lab.ok(&with("end a; detach a")).unwrap();
    assert!(released.stderr.contains("is clean: cannot put on record in"), "{released}");
    assert_free(&lab, "released without a record");
    lab.ok(&with(
        "[ -z \"$(ls -A /tmp/elsewhere)\" ]; rm /var/log/runvf; mv /tmp/kept /var/log/runvf; rm -d /tmp/elsewhere; end b",
    ))
    .unwrap();
    leave(lab, &untouched);
}

#[test]
fn what_a_configuration_is_checked_for() {
    let lab = prepared();
    let untouched = state(&lab);
    let check = |told: &str| {
        let output = lab.sh("runvfctl config check").unwrap();
        assert_eq!((output.status, output.stderr.as_str()), (1, told), "{output}");
    };
    lab.ok(&format!("ip link property add dev pf0 altname {ALTNAME}")).unwrap();
    configure(&lab, &(pools(["pf0", ALTNAME]) + TENANTS));
    check(&format!(
        "runvfctl: /etc/runvf/config.toml: line 7: `{ALTNAME}` is the same PF as `pf0` in pool `east`; \
         list each PF once, in one pool\n"
    ));
    configure(&lab, &(pools(["pf0", "pf1"]) + TENANTS));
    let fine = "/etc/runvf/config.toml is fine\n";
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
