//! Refusals of CDI devices, word for word. `soak::doors` kills the hook.

use crate::cdi::{POOL, RUN, finding, leave_with_devices, seen, with_devices};
use crate::host::{configure, on_vlans};

const TENANTS: &str = "[[tenant]]\nname = \"acme\"\nvlans = [100]\n\
    [[tenant]]\nname = \"bravo\"\nvlans = [\"200-201\"]\nmax = 1\n";

#[test]
fn a_refusal_of_a_device_reaches_the_user() {
    let (lab, before) = with_devices(&(POOL.to_owned() + TENANTS));
    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/tenant=acme");
        assert_eq!(output.text(), "mon0 vlan=100 tenant=acme 1", "{run}: {output}");
    }
    // bravo has two VLANs, so its name says too little.
    let names = lab.ok("jq -c '[.devices[].name]' /etc/cdi/runvf-*.json").unwrap();
    assert_eq!(names.text(), "[\"acme\"]\n[\"100\",\"200\",\"201\"]");
    for run in RUN {
        let refused = |options: &str, line: &str| {
            let run = if options.contains("--network") {
                &run.replace("--network none", "")
            } else {
                run
            };
            let output = seen(&lab, run, options);
            assert!(output.status != 0 && output.stdout.is_empty(), "{run} {options}: {output}");
            assert!(output.stderr.contains(line), "{run} {options}: {output}");
        };
        let quota = "the tenant of VLAN 201 asks for 1 more VF, but has 1 of at most 1";
        refused("--device runvf.io/vlan=200 --device runvf.io/vlan=201", quota);
        // All VFs of a container belong to one tenant.
        let tenants = "already holds another tenant's VF";
        refused("--device runvf.io/vlan=200 --device runvf.io/vlan=100", tenants);
        refused("--network host --device runvf.io/vlan=100", "host's network namespace");
        // The engine itself refuses a device that no file has.
        refused("--device runvf.io/vlan=400", "runvf.io/vlan=400");
        lab.ok("runvfctl gc").unwrap();
        assert!(on_vlans(&lab, "pf0").is_empty());
    }
    let events = lab.json("runvfctl audit --json").unwrap();
    let events = events.as_array().unwrap().iter();
    assert_eq!(events.filter(|entry| entry["event"] == "refused").count(), 6);

    // The files are older than the configuration, which decides.
    configure(&lab, &(POOL.to_owned() + "[[tenant]]\nname = \"civic\"\nvlans = [100]\n"));
    let stale = finding(&lab, "cdi").unwrap();
    assert!(stale["evidence"].as_str().unwrap().starts_with("stale"), "{stale}");
    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/tenant=acme");
        let line = "tenant `acme` asks for VLAN 100, but this host has no such tenant";
        assert!(output.status != 0 && output.stderr.contains(line), "{run}: {output}");
    }
    lab.ok("runvfctl setup").unwrap();
    assert_eq!(finding(&lab, "cdi").unwrap()["severity"], "ok");
    // dockerd notices the new files.
    let output = seen(&lab, RUN[0], "--device runvf.io/tenant=civic");
    assert_eq!(output.text(), "mon0 vlan=100 tenant=civic 1", "{output}");
    lab.ok("cp /etc/cdi/runvf-vlan.json /etc/cdi/other.json").unwrap();
    let twice = finding(&lab, "cdi").unwrap();
    assert_eq!(
        (&twice["severity"], &twice["mend"]),
        (&"failure".into(), &"remove /etc/cdi/other.json".into())
    );
    lab.ok("rm /etc/cdi/other.json").unwrap();
    leave_with_devices(lab, &before);
}
