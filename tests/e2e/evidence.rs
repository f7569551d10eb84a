//! Proof that a tenant's sensors find live exactly what the same programs find in a file of the
//! tenant's frames, and nothing of another tenant.

use std::time::Duration;

use lab::Lab;
use lab::traffic::{Conversations, mirrored};

use crate::host::{configure, installed};

const TIMEOUT: Duration = Duration::from_secs(120);
const TENANTS: [(&str, u16, u8); 2] = [("acme", 100, 1), ("bravo", 200, 2)];
const RULES: &str = "\
alert http any any -> any any (msg:\"agent\"; http.user_agent; content:\"runvf-evil\"; sid:1; rev:1;)
alert udp any any -> any any (msg:\"udp\"; content:\"runvf-evil\"; sid:2; rev:1;)
alert tls any any -> any any (msg:\"sni\"; tls.sni; content:\".example\"; sid:3; rev:1;)
alert dns any any -> any any (msg:\"query\"; dns.query; content:\".example\"; sid:4; rev:1;)
alert udp any any -> any any (msg:\"jumbo\"; content:\"runvf-jumbo\"; sid:5; rev:1;)
alert udp any any -> any any (msg:\"end\"; content:\"runvf-end\"; sid:9; rev:1;)
";

fn evidence(lab: &Lab, script: &str) -> String {
    lab.ok_within(TIMEOUT, &format!("source /tmp/e/functions; {script}")).unwrap().stdout
}

fn start(lab: &Lab, name: &str, vlan: u16, options: &str) {
    for sensor in ["suricata", "argus"] {
        lab.ok(&format!(
            "mkdir -p /tmp/e/{name}/{sensor}; chmod 1777 /tmp/e/{name}/{sensor}
             docker run -d --name {name}-{sensor} --runtime runvf --network none --user 999:999 \
             --tmpfs /run:mode=1777 --cap-drop ALL --cap-add NET_RAW --annotation io.runvf.vlan={vlan} {options} \
             -v /tmp/e/{name}/{sensor}:/var/log/{sensor} \
             -v /tmp/e/evidence.rules:/etc/suricata/rules/local.rules:ro runvf/{sensor}"
        ))
        .unwrap();
    }
    let ready = format!(
        "docker logs {name}-suricata 2>&1 | grep -q 'Engine started' && docker exec {name}-argus health"
    );
    lab.wait_until(TIMEOUT, &ready).unwrap();
}

/// Replays the tenants' conversations, and compares each sensor with the same program offline.
fn compare(lab: &Lab, all: &[Conversations; 2], options: &str) {
    // The mirror port of this PF carries the tenants' traffic.
    configure(lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
    lab.write("/tmp/e/functions", include_str!("scripts/evidence.sh")).unwrap();
    lab.write("/tmp/e/evidence.rules", RULES).unwrap();
    for ((name, vlan, _), own) in TENANTS.iter().zip(all) {
        lab.write(&format!("/tmp/e/{name}.pcap"), own.pcap().unwrap()).unwrap();
        start(lab, name, *vlan, options);
    }
    let tagged: Vec<_> = TENANTS.iter().zip(all).map(|(tenant, own)| (tenant.1, own)).collect();
    lab.write("/tmp/e/mirror.pcap", mirrored(&tagged).unwrap()).unwrap();
    lab.ok("tcpreplay --quiet --pps 300 -i mirror0 /tmp/e/mirror.pcap").unwrap();
    for (name, ..) in TENANTS {
        let end = format!("grep -q '\\[1:9:1\\]' /tmp/e/{name}/suricata/fast.log");
        lab.wait_until(TIMEOUT, &end).unwrap();
        // Both write what they know of open flows at their end.
        lab.ok_within(TIMEOUT, &format!("docker stop {name}-suricata {name}-argus")).unwrap();
    }
    for (name, ..) in TENANTS {
        let live = evidence(lab, &format!("events /tmp/e/{name}/suricata/eve.json"));
        assert_eq!(live, evidence(lab, &format!("suricata_offline {name}")), "{name}");
        // The comparison of two empty lists would prove nothing.
        for found in ["\"alert\"", "\"http\"", "\"dns\"", "\"flow\"", &format!("{name}.example")] {
            assert!(live.contains(found), "{found} in {live}");
        }
        let flows = evidence(lab, &format!("flows /tmp/e/{name}/argus"));
        assert_eq!(flows, evidence(lab, &format!("argus_offline {name}")), "{name}");
        let other = TENANTS.iter().find(|tenant| tenant.0 != name).unwrap();
        assert!(!live.contains(other.0) && !live.contains(&format!("198.18.{}.", other.2)));
        assert!(flows.lines().count() >= 6 && !flows.contains(&format!("198.18.{}.", other.2)));
    }
    lab.ok("docker rm -f acme-suricata acme-argus bravo-suricata bravo-argus").unwrap();
}

fn conversations(jumbo: Option<usize>) -> [Conversations; 2] {
    TENANTS.map(|(name, _, network)| {
        let all = Conversations::of(name, network).unwrap();
        let all = match jumbo {
            Some(length) => all.with_jumbo_frame(length).unwrap(),
            None => all,
        };
        all.with_end().unwrap()
    })
}

pub(crate) fn sensors_find_live_what_they_find_in_a_file() {
    compare(&installed(), &conversations(None), "");
}

pub(crate) fn sensors_find_what_is_in_jumbo_frames() {
    let lab = installed();
    lab.ok("for i in 0 1 2; do ip link set mirror$i mtu 9000; ip link set pf$i mtu 9000; done")
        .unwrap();
    compare(&lab, &conversations(Some(7000)), "--annotation io.runvf.mtu=9000");
}
