//! Proof that nothing leaves by the VF of a receive-only sensor: a program in the container sends in
//! each way that CAP_NET_RAW allows, and tcpdump counts at the other end of the wire.

use std::path::Path;

use lab::{Lab, Output};

use crate::card::X710;
use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::{functions, with};
use crate::host::{configure, installed_on, leave, prepared, state};
use crate::script::script;

const FRAMES: &str = "20";
const POOL: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n";

/// The number of frames on the wire while `command` runs in the guest.
fn on_the_wire(lab: &Lab, command: &str) -> String {
    let count = include_str!("scripts/count_transmitted.sh");
    let parameters = [("command", command), ("mirror", "mirror0")];
    lab.ok(&script(count, &parameters)).unwrap().text().to_owned()
}

fn push_transmit(lab: &Lab) {
    lab.push(Path::new(env!("CARGO_BIN_EXE_transmit")), "/tmp/transmit").unwrap();
}

/// Starts a sensor of Docker that can run `transmit` as well.
fn start_sensor(lab: &Lab, name: &str, options: &str) {
    let volume = "-v /tmp/transmit:/usr/local/bin/transmit:ro --cap-drop ALL --cap-add NET_RAW";
    let options = format!("{volume} --annotation io.runvf.vlan=100 {options}");
    start(lab, Engine::Docker, name, &options);
}

fn inside(name: &str, way: &str) -> String {
    format!("docker exec {name} transmit {way} mon0 {FRAMES}")
}

pub(crate) fn no_frame_of_a_receive_only_sensor_reaches_the_wire() {
    let lab = prepared();
    let before = state(&lab);
    push_transmit(&lab);
    // The proof that the count finds frames, in each way.
    configure(&lab, &format!("{POOL}transmit = \"allow\"\n"));
    start_sensor(&lab, "sender", "");
    let each_way = ["packet", "bypass", "xdp"].map(|way| inside("sender", way)).join(" && ");
    // No way can send more than 20, so these are 20 of each.
    assert_eq!(on_the_wire(&lab, &each_way), "60");
    start_sensor(&lab, "asks", "--annotation io.runvf.transmit=drop");
    assert_eq!(on_the_wire(&lab, &inside("asks", "packet")), "0");
    lab.ok("docker rm -f sender asks").unwrap();

    configure(&lab, POOL);
    start_sensor(&lab, "sensor", "");
    let both_ways = ["packet", "bypass"].map(|way| inside("sensor", way)).join(" && ");
    assert_eq!(on_the_wire(&lab, &both_ways), "0");
    // The first process and a process of `docker exec` have the same filter.
    let denied = lab.sh(&inside("sensor", "xdp")).unwrap();
    assert_eq!(
        (denied.status, denied.stderr.as_str()),
        (1, "transmit: Address family not supported by protocol (os error 97)\n"),
        "{denied}"
    );
    let shown = lab.json("runvfctl status --settings --json").unwrap();
    assert_eq!(shown[0]["drops_sent"], true, "{shown}");
    // A process of the host in the container's network namespace has no such filter
    // (docs/limits.md).
    let from_host = "nsenter -n -t $(docker inspect -f '{{.State.Pid}}' sensor) /tmp/transmit";
    assert_eq!(on_the_wire(&lab, &format!("{from_host} bypass mon0 {FRAMES}")), "0");
    assert_eq!(on_the_wire(&lab, &format!("{from_host} xdp mon0 {FRAMES}")), FRAMES);
    lab.ok("docker rm -f sensor").unwrap();
    leave(lab, &before);
}

pub(crate) fn the_first_process_has_no_af_xdp_socket_with_and_without_a_profile() {
    let lab = prepared();
    let before = state(&lab);
    push_transmit(&lab);
    for profile in ["", "--security-opt seccomp=unconfined", "--security-opt no-new-privileges"] {
        let output: Output = lab
            .sh(&format!(
                "docker run --rm --runtime runvf --network none --annotation io.runvf.vlan=100 {profile} \
                 -v /tmp/transmit:/usr/local/bin/transmit:ro {IMAGE} transmit xdp mon0 {FRAMES}"
            ))
            .unwrap();
        let expected = "transmit: Address family not supported by protocol (os error 97)";
        assert!(output.status == 1 && output.stderr.contains(expected), "{profile}: {output}");
    }
    leave(lab, &before);
}

#[test]
fn an_annotation_cannot_allow_what_the_pool_does_not() {
    let lab = prepared();
    let before = state(&lab);
    let output = crate::engine::run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=100 --annotation io.runvf.transmit=allow",
        "true",
    );
    let expected = "`mon0` asks to send, but containers of pool `sensors` only receive; ";
    assert!(output.stderr.contains(expected), "{output}");
    assert_eq!(output.status, Engine::PodmanHooks.refusal());
    leave(lab, &before);
}

#[test]
fn no_frame_of_a_receive_only_sensor_reaches_the_wire_of_the_x710() {
    let lab = installed_on(X710);
    push_transmit(&lab);
    functions(&lab);
    let attached = |keys: &str, vlan: &str| {
        configure(&lab, &format!("{POOL}vfs = 4\n{keys}"));
        let name = format!("v{vlan}");
        lab.ok(&with(&format!("runvfctl setup; holder {name} {vlan}; attach {name}"))).unwrap();
        move |way: &str| {
            format!("nsenter -n -t $(cat /tmp/{name}.pid) /tmp/transmit {way} mon0 {FRAMES}")
        }
    };
    let sender = attached("transmit = \"allow\"\n", "11");
    let sensor = attached("", "12");
    // No way can send more than 20, so these are 20 of each.
    assert_eq!(on_the_wire(&lab, &["packet", "bypass", "xdp"].map(sender).join(" && ")), "60");
    assert_eq!(on_the_wire(&lab, &["packet", "bypass"].map(sensor).join(" && ")), "0");
    assert_eq!(lab.x710_journal().unwrap(), "");
}
