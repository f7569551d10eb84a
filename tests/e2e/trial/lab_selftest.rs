//! The lab tests its traffic and its sensors, without runvf: frames of the mirror ports arrive
//! exactly where the kernel's own tools direct them.

use std::time::Duration;

use lab::traffic::{Capture, Class, Mac, Traffic, mac};
use lab::{Lab, Result};

use crate::script::script;

/// Two VFs on pf0, on VLANs 100 and 200, each in a network namespace of its own.
fn two_tenants(lab: &Lab) -> Result<[Mac; 2]> {
    lab.ok("echo 2 > /sys/class/net/pf0/device/sriov_numvfs")?;
    let mut macs = [[0; 6]; 2];
    for (vf, vlan) in [(0_usize, 100), (1, 200)] {
        let net = format!("/sys/class/net/pf0/device/virtfn{vf}/net");
        lab.wait_until(Duration::from_secs(20), &format!("ls {net}/*"))?;
        let parameters = [("index", vf.to_string()), ("vlan", vlan.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        lab.ok(&script(include_str!("../scripts/tenant_vf.sh"), &parameters))?;
        lab.wait_until(
            Duration::from_secs(20),
            &format!("ip -n t{vlan} link show mon0 | grep -q LOWER_UP"),
        )?;
        let link = lab.json(&format!("ip -n t{vlan} -j link show mon0"))?;
        macs[vf] = mac(link[0]["address"].as_str().unwrap_or_default()).unwrap();
    }
    Ok(macs)
}

#[test]
fn each_vf_receives_only_its_vlan() -> Result<()> {
    let lab = Lab::restore()?;
    let macs = two_tenants(&lab)?;
    let first = Capture::start(&lab, "mon0", Some("t100"))?;
    let second = Capture::start(&lab, "mon0", Some("t200"))?;

    let traffic = Traffic::new().send_all(&[Some(100), Some(200), Some(300), None], &macs, 100);
    traffic.play(&lab, "mirror0")?;

    for (capture, vlan, own) in [(first, 100, macs[0]), (second, 200, macs[1])] {
        // The 82576 directs a unicast frame to the VF with its address. If that VF is on another
        // VLAN, no VF receives the frame. Promiscuity does not matter, because the address is not
        // unknown.
        let verdict = traffic.judge(&capture.finish(&traffic, Some(vlan))?, |flow| {
            let station = matches!(flow.class, Class::Unicast(mac) if mac != own);
            flow.vlan == Some(vlan) && !station
        })?;
        println!("VF on vlan {vlan}: {verdict}\n  {:?}", verdict.seen);
        verdict.require_exact(&format!("the VF on vlan {vlan}"))?;
        assert_eq!(verdict.on_vlan(Some(vlan)), 300);
    }
    Ok(())
}

#[test]
fn both_engines_have_the_sensor_images() -> Result<()> {
    let lab = Lab::restore()?;
    for engine in ["docker", "podman"] {
        for sensor in ["tcpdump", "suricata"] {
            lab.ok(&format!("{engine} run --rm --network none runvf/{sensor} true"))?;
        }
    }
    for sensor in ["tcpdump", "suricata"] {
        let bundle = format!("/var/lib/runvf-bundles/{sensor}");
        lab.ok(&format!("cd {bundle}; test -x rootfs/usr/local/bin/{sensor} -a -f config.json"))?;
    }
    Ok(())
}

/// Both bundles run under plain runc, with VFs that were moved by hand. Because the sensors work
/// without runvf, a blind sensor in another test is a fault of runvf.
#[test]
fn the_sensor_bundles_work_without_runvf() -> Result<()> {
    let lab = Lab::restore()?;
    two_tenants(&lab)?;
    for (sensor, vlan) in [("tcpdump", "100"), ("suricata", "200")] {
        let parameters = [("sensor", sensor), ("vlan", vlan)];
        lab.ok(&script(include_str!("../scripts/sensor_in_netns.sh"), &parameters))?;
    }
    let ready = |condition: &str| {
        lab.wait_until(Duration::from_secs(60), condition)
            .inspect_err(|_| drop(lab.sh("runc list; tail -n 30 /run/*.out")))
    };
    ready("grep -q 'listening on' /run/tcpdump.out")?;
    ready("grep -q 'Engine started' /var/log/runvf/suricata/suricata.log")?;

    let evil = || Class::Pattern("runvf-evil".into());
    let traffic = Traffic::new()
        .send_all(&[Some(100), Some(200)], &[], 20)
        .send(Some(200), evil(), 5)
        .send(Some(300), evil(), 5);
    traffic.play(&lab, "mirror0")?;

    let pcap = "/var/log/runvf/tcpdump/mon0.pcap";
    traffic.wait_for_end(&lab, pcap, Some(100))?;
    lab.ok("runc kill tcpdump TERM")?;
    ready("runc state tcpdump | grep -q stopped")?;
    traffic
        .judge(&lab.pull(pcap)?, |flow| flow.vlan == Some(100))?
        .require_exact("the tcpdump bundle")?;

    let log = "/var/log/runvf/suricata/fast.log";
    ready(&format!("test $(grep -c 1000001 {log}) -ge 5"))?;
    lab.ok("runc kill suricata TERM")?;
    ready("runc state suricata | grep -q stopped")?;
    assert_eq!(lab.ok(&format!("grep -c 1000001 {log}"))?.text(), "5");
    Ok(())
}
