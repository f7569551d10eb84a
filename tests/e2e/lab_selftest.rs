//! The lab proves itself, without runvf: a restored guest is pristine, and what its mirror ports send arrives exactly where the kernel's own
//! tools say it should.

use std::time::{Duration, Instant};

use lab::traffic::{Capture, Class, Mac, Traffic, mac};
use lab::{Lab, Result};

/// Two VFs on pf0, on VLANs 100 and 200, each in a network namespace of its own.
fn two_tenants(lab: &Lab) -> Result<[Mac; 2]> {
    lab.ok("echo 2 > /sys/class/net/pf0/device/sriov_numvfs")?;
    let mut macs = [[0; 6]; 2];
    for (vf, vlan) in [(0, 100), (1, 200)] {
        let net = format!("/sys/class/net/pf0/device/virtfn{vf}/net");
        lab.wait_until(Duration::from_secs(20), &format!("ls {net}/*"))?;
        // udev renames a fresh netdev; only afterwards does its name mean anything.
        let setup = format!(
            "udevadm settle
             name=$(ls {net})
             ip link set pf0 vf {vf} vlan {vlan} trust on
             ip netns add t{vlan}
             ip link set \"$name\" netns t{vlan} name mon0
             ip -n t{vlan} link set mon0 promisc on up"
        );
        lab.ok(&setup)?;
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
fn each_vf_gets_its_vlan_and_nothing_else() -> Result<()> {
    let lab = Lab::restore()?;
    let macs = two_tenants(&lab)?;
    let first = Capture::start(&lab, "mon0", Some("t100"))?;
    let second = Capture::start(&lab, "mon0", Some("t200"))?;

    let traffic = Traffic::new().send_all(&[Some(100), Some(200), Some(300), None], &macs, 100);
    traffic.play(&lab, "mirror0")?;

    for (capture, vlan, own) in [(first, 100, macs[0]), (second, 200, macs[1])] {
        // The 82576 takes a unicast to the VF that has the address, and that VF is on another
        // VLAN: nobody gets it. So it is not "unknown", and promiscuity does not matter.
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
fn a_restored_guest_is_pristine_and_knows_the_time() -> Result<()> {
    for _ in 0..2 {
        let lab = Lab::restore()?;
        assert_eq!(lab.ok("cat /sys/class/net/pf*/device/sriov_numvfs")?.text(), "0\n0\n0");
        assert!(!lab.sh("test -e /root/left-behind")?.success());
        lab.ok("touch /root/left-behind; echo 1 > /sys/class/net/pf1/device/sriov_numvfs")?;
        let theirs: u64 = lab.ok("date +%s")?.text().parse().unwrap();
        let ours = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(ours.abs_diff(theirs) <= 60, "here {ours}, there {theirs}");
    }
    Ok(())
}

#[test]
fn files_and_failures_come_through() -> Result<()> {
    let lab = Lab::restore()?;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    lab.write("/var/tmp/a folder/file", bytes.clone())?;
    assert!(lab.pull("/var/tmp/a folder/file")? == bytes);
    lab.push(std::env::current_exe().unwrap(), "/opt/here/program")?;
    lab.ok("test -x /opt/here/program")?;

    let error = lab.ok("echo seen; false; echo unseen").unwrap_err().to_string();
    assert!(
        error.contains("stdout: seen")
            && error.contains("status: 1")
            && !error.contains("stdout: unseen"),
        "{error}"
    );
    let began = Instant::now();
    let error = lab.sh_within(Duration::from_secs(1), "sleep 60").unwrap_err().to_string();
    // The connection lives on.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(error.contains("sleep 60: timed out after 1 s"), "{error}");
    let error = lab.sh("kill -9 $$").map(|output| output.status)?;
    assert_ne!(error, 0);
    Ok(())
}

#[test]
fn the_sensors_are_there() -> Result<()> {
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

/// Both bundles under plain runc, with a VF given by hand: the sensors work without runvf, so a
/// test that finds one blind has found runvf's fault.
#[test]
fn the_bundles_sense_a_vf_given_by_hand() -> Result<()> {
    let lab = Lab::restore()?;
    two_tenants(&lab)?;
    for (sensor, vlan) in [("tcpdump", 100), ("suricata", 200)] {
        let setup = format!(
            r#"cd /var/lib/runvf-bundles/{sensor}
            jq '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/t{vlan}"' \
                config.json > config.new
            mv config.new config.json
            runc run --detach {sensor} < /dev/null > /run/{sensor}.out 2>&1"#
        );
        lab.ok(&setup)?;
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
