//! Proof of isolation between tenants: three sensors run at once. Each receives every frame of its
//! VLAN and no frame of another VLAN.

use std::time::Duration;

use lab::Lab;
use lab::traffic::{Class, Mac, Traffic, mac};

use crate::engine::Engine;
use crate::host::{configure, installed};

const TENANTS: [(Engine, &str, u16); 3] = [
    (Engine::Docker, "acme", 100),
    (Engine::PodmanHooks, "bravo", 200),
    (Engine::PodmanRuntime, "civic", 300),
];

/// Frames of each class on each VLAN.
const FRAMES: u32 = 100;

fn start(lab: &Lab, engine: Engine, name: &str, vlan: u16) -> Mac {
    lab.ok(&format!(
        "mkdir -p /var/log/{name}
         {} -d --name {name} -v /var/log/{name}:/var/log/sensor --cap-drop ALL --cap-add NET_RAW --annotation io.runvf.vlan={vlan} runvf/tcpdump",
        engine.run()
    ))
    .unwrap();
    let address = lab
        .ok(&format!(
            "nsenter -n -t $({} inspect -f '{{{{.State.Pid}}}}' {name}) ip -j link show mon0 | jq -r '.[0].address'",
            engine.program()
        ))
        .unwrap();
    // The capture is under way once its file has a header.
    lab.wait_until(Duration::from_secs(30), &format!("[ -s /var/log/{name}/mon0.pcap ]")).unwrap();
    mac(address.text()).unwrap()
}

#[test]
fn each_of_three_tenants_sees_only_its_vlan() {
    let lab = installed();
    // One PF, so that only the VLAN keeps the tenants apart.
    configure(&lab, "pool = [{ name = \"sensors\", pfs = [\"pf0\"] }]\n");
    let stations: Vec<Mac> =
        TENANTS.iter().map(|(engine, name, vlan)| start(&lab, *engine, name, *vlan)).collect();

    let vlans = [Some(100), Some(200), Some(300), Some(400), None];
    let traffic = Traffic::new().send_all(&vlans, &stations, FRAMES);
    traffic.play(&lab, "mirror0").unwrap();

    for (_, name, vlan) in TENANTS {
        // Three classes of frames. igbvf asks its card every two seconds.
        let row = format!(
            "[.[].vfs[] | select(.container_name == \"{name}\" and .settings.vlan == {vlan}
                and .frames.by == \"interface\" and .frames.count >= {} and .drops == null)] | length == 1",
            3 * FRAMES
        );
        let seen = format!("runvfctl status --json | jq -e '{row}'");
        if let Err(error) = lab.wait_until(Duration::from_secs(30), &seen) {
            panic!("{error}\n{}", lab.sh("runvfctl status").unwrap());
        }
    }
    // Into a pipe, --watch prints a document on each line until it is interrupted.
    lab.ok("timeout --preserve-status -s INT 4 runvfctl status --watch=1 --json > /tmp/watched
            [ $(wc -l < /tmp/watched) -ge 2 ]; tail -n 1 /tmp/watched | jq -e '[.[].vfs[].frames_per_second] | max == 0'")
        .unwrap();

    for ((engine, name, vlan), station) in TENANTS.into_iter().zip(stations) {
        // The 82576 gives a unicast frame only to the VF with its address. A frame to the address
        // of another tenant's VF arrives at no VF of this VLAN; it must never arrive here.
        let expected = |class: &Class| !matches!(class, Class::Unicast(to) if *to != station);
        let capture = format!("/var/log/{name}/mon0.pcap");
        traffic.wait_for_end(&lab, &capture, Some(vlan)).unwrap();
        lab.ok(&format!("{} stop {name}", engine.program())).unwrap();
        let verdict = traffic
            .judge(&lab.pull(&capture).unwrap(), |flow| {
                flow.vlan == Some(vlan) && expected(&flow.class)
            })
            .unwrap();
        verdict.require_exact(name).unwrap();
    }
}
