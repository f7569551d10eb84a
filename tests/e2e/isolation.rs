//! Proof of isolation between tenants: three sensors run at once. Each receives every frame of its
//! VLAN and no frame of another VLAN. On the X710, a VF that was set up by hand without trust shows
//! what the sensors have trust for.

use std::time::Duration;

use lab::traffic::{Capture, Class, Flow, Mac, Traffic, mac};
use lab::{HostKind, Lab};

use crate::card::Card;
use crate::engine::Engine;
use crate::host::{configure, installed_on};
use crate::script::script;
use crate::switch::sees_unknown_unicast;

const TENANTS: [(Engine, &str, u16); 3] = [
    (Engine::Docker, "acme", 100),
    (Engine::PodmanHooks, "bravo", 200),
    (Engine::PodmanRuntime, "civic", 300),
];

/// Index and VLAN of the VF by hand. The tenants have the VFs before it, and the first tenant its VLAN.
const UNTRUSTED: (usize, u16) = (3, 100);

/// Frames of each class on each VLAN.
const FRAMES: u32 = 100;

fn start(lab: &Lab, engine: Engine, name: &str, vlan: u16) -> Mac {
    lab.ok(&format!(
        "mkdir -p /var/log/{name}
         {} -d --name {name} -v /var/log/{name}:/var/log/sensor --cap-drop ALL --cap-add NET_RAW --annotation io.runvf.vlan={vlan} runvf/tcpdump",
        engine.run()
    ))
    .unwrap();
    let enter =
        format!("nsenter -n -t $({} inspect -f '{{{{.State.Pid}}}}' {name})", engine.program());
    // The capture is under way once its file has a header.
    lab.wait_until(Duration::from_secs(30), &format!("[ -s /var/log/{name}/mon0.pcap ]")).unwrap();
    address_of_mon0(lab, &enter)
}

fn address_of_mon0(lab: &Lab, enter: &str) -> Mac {
    let address = lab.ok(&format!("{enter} ip -j link show mon0 | jq -r '.[0].address'")).unwrap();
    mac(address.text()).unwrap()
}

/// A promiscuous VF by hand, and its capture.
fn start_untrusted(lab: &Lab) -> (Mac, Capture<'_>) {
    let (index, vlan) = (UNTRUSTED.0.to_string(), UNTRUSTED.1.to_string());
    let driver = Card::of(lab).vf_driver;
    let parameters = [("index", index.as_str()), ("vlan", &vlan), ("driver", driver)];
    lab.ok(&script(include_str!("scripts/untrusted_vf.sh"), &parameters)).unwrap();
    let address = address_of_mon0(lab, "ip netns exec hand");
    (address, Capture::start(lab, "mon0", Some("hand")).unwrap())
}

pub(crate) fn each_of_three_tenants_sees_only_its_vlan(host: HostKind) {
    let lab = installed_on(host);
    let card = Card::of(&lab);
    // One PF, so that only the VLAN keeps the tenants apart.
    configure(&lab, "pool = [{ name = \"sensors\", pfs = [\"pf0\"], vfs = 4 }]\n");
    lab.ok("runvfctl setup").unwrap();
    let mut stations: Vec<Mac> =
        TENANTS.iter().map(|(engine, name, vlan)| start(&lab, *engine, name, *vlan)).collect();
    let untrusted = card.trust_matters().then(|| start_untrusted(&lab));
    stations.extend(untrusted.iter().map(|(address, _)| address));

    let vlans = [Some(100), Some(200), Some(300), Some(400), None];
    let traffic = Traffic::new().send_all(&vlans, &stations, FRAMES);
    traffic.play(&lab, "mirror0").unwrap();

    for (_, name, vlan) in TENANTS {
        assert_status_counts(&lab, name, vlan);
    }
    // Into a pipe, --watch prints a document on each line until it is interrupted.
    lab.ok("timeout --preserve-status -s INT 4 runvfctl status --watch=1 --json > /tmp/watched
            [ $(wc -l < /tmp/watched) -ge 2 ]; tail -n 1 /tmp/watched | jq -e '[.[].vfs[].frames_per_second] | max == 0'")
        .unwrap();

    if let Some((address, capture)) = untrusted {
        let (index, vlan) = UNTRUSTED;
        assert!(!sees_unknown_unicast(&lab, index, vlan));
        assert!(sees_unknown_unicast(&lab, 0, vlan));
        let seen = capture.finish(&traffic, Some(vlan)).unwrap();
        let expected = |flow: &Flow| {
            flow.vlan == Some(vlan)
                && [Class::Broadcast, Class::Unicast(address)].contains(&flow.class)
        };
        traffic.judge(&seen, expected).unwrap().require_exact("without trust").unwrap();
    }
    for ((engine, name, vlan), station) in TENANTS.into_iter().zip(stations) {
        // A frame to the address of another tenant's VF arrives at most on the VLAN of the frame. On
        // the 82576 it arrives at no VF of that VLAN.
        let expected = |flow: &Flow| {
            let to_other = matches!(flow.class, Class::Unicast(to) if to != station);
            flow.vlan == Some(vlan) && (!to_other || card.shows_unicast_to_others())
        };
        let capture = format!("/var/log/{name}/mon0.pcap");
        traffic.wait_for_end(&lab, &capture, Some(vlan)).unwrap();
        lab.ok(&format!("{} stop {name}", engine.program())).unwrap();
        let verdict = traffic.judge(&lab.pull(&capture).unwrap(), expected).unwrap();
        verdict.require_exact(name).unwrap();
    }
}

/// Asserts that `status` counts the frames of a tenant: three classes at least.
fn assert_status_counts(lab: &Lab, name: &str, vlan: u16) {
    let drops = match Card::of(lab).counts_drops() {
        true => ".drops.by == \"pf\" and .drops.count == 0",
        false => ".drops == null",
    };
    // The VF drivers ask the card every two seconds.
    let row = format!(
        "[.[].vfs[] | select(.container_name == \"{name}\" and .settings.vlan == {vlan}
            and .frames.by == \"interface\" and .frames.count >= {} and {drops})] | length == 1",
        3 * FRAMES
    );
    let seen = format!("runvfctl status --json | jq -e '{row}'");
    if let Err(error) = lab.wait_until(Duration::from_secs(30), &seen) {
        panic!("{error}\n{}", lab.sh("runvfctl status").unwrap());
    }
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super: each_of_three_tenants_sees_only_its_vlan);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: each_of_three_tenants_sees_only_its_vlan);
}
