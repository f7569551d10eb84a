//! Proof that a program in a container drives its VF by vfio-pci: DPDK receives the frames of the
//! VF's VLAN and no others, and the VF comes back clean with its usual driver.

use std::time::Duration;

use lab::Lab;
use lab::traffic::{Class, Traffic};

use crate::card::X710;
use crate::engine::{Engine, IMAGE, run};
use crate::hook_calls::seed;
use crate::host::{
    assert_clean, assert_untouched, configure, installed_on, leave, on_vlans, prepared, settle,
    state,
};
use crate::script::script;

const TIMEOUT: Duration = Duration::from_secs(120);
const POOL: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\ntransmit = \"allow\"\n";
const ANNOTATIONS: &str = "--annotation io.runvf.vlan=100 --annotation io.runvf.driver=vfio-pci";

/// DPDK's test program with the VF of the environment, on one CPU and without huge pages. It prints
/// the frames that it has received each second, and at its end.
const TESTPMD: &str = "exec dpdk-testpmd --no-huge -m 64 --lcores 0@0,1@0 --no-telemetry \
    -a $PCIDEVICE_SENSORS -- --forward-mode=rxonly --stats-period 1 --total-num-mbufs=4096";

/// Starts DPDK in a container. It has the programs and libraries of the guest.
fn start_dpdk(lab: &Lab) {
    lab.ok("modprobe vfio-pci").unwrap();
    lab.ok(&format!(
        "docker run -d --name dpdk --runtime runvf --network none --cap-drop ALL \
         --ulimit memlock=-1 --tmpfs /var/run -v /usr:/usr:ro {ANNOTATIONS} {IMAGE} sh -c '{TESTPMD}'"
    ))
    .unwrap();
    let started = "docker logs dpdk 2>&1 | grep -q 'NIC statistics for port 0'";
    if let Err(error) = lab.wait_until(TIMEOUT, started) {
        panic!("{error}\n{}", lab.sh("docker logs dpdk; dmesg | tail -n 20").unwrap());
    }
}

/// DPDK receives the 200 frames and the end mark of its VLAN, and none of another VLAN.
fn assert_dpdk_receives_its_vlan(lab: &Lab) {
    // Broadcasts, because DPDK's driver cannot make a VF of the 82576 promiscuous.
    let traffic = Traffic::new().send(Some(200), Class::Broadcast, 100);
    traffic.send(Some(100), Class::Broadcast, 200).play(lab, "mirror0").unwrap();
    let received = "docker logs --tail 20 dpdk 2>&1 | grep -q 'RX-packets: 201 '";
    if let Err(error) = lab.wait_until(TIMEOUT, received) {
        panic!("{error}\n{}", lab.sh("docker logs --tail 40 dpdk").unwrap());
    }
    lab.ok_within(TIMEOUT, "docker stop dpdk").unwrap();
    let total = "docker logs dpdk 2>&1 | grep -A 1 'Accumulated forward statistics'";
    let total = lab.ok(total).unwrap();
    assert!(total.stdout.contains("RX-packets: 201 "), "{total}");
}

pub(crate) fn dpdk_receives_the_frames_of_its_vlan_and_the_vf_comes_back() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, POOL);
    start_dpdk(&lab);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    let inside = lab.ok("docker exec dpdk sh -c 'ls /dev/vfio; ip -br link'").unwrap();
    let group = "basename $(readlink /sys/bus/pci/devices/0000:01:10.0/iommu_group)";
    let group = lab.ok(group).unwrap();
    assert!(inside.stdout.starts_with(&format!("{}\nvfio\n", group.text())), "{inside}");
    assert!(!inside.stdout.contains("mon0"), "{inside}");
    let claim = lab.json("cat /run/runvf/claims/0000:01:10.0.json").unwrap();
    assert_eq!(claim["state"], "attached", "{claim}");
    // Neither changes the VF of a running program.
    assert_eq!(lab.ok("runvfctl gc").unwrap().stdout, "");
    let status = lab.ok("runvfctl status").unwrap();
    assert!(status.stdout.contains("attached"), "{status}");
    let taken = lab.sh("runvfctl release --force 0000:01:10.0").unwrap();
    let expected = "a program has the device node of its IOMMU group open";
    assert!(taken.to_string().contains(expected), "{taken}");

    assert_dpdk_receives_its_vlan(&lab);
    lab.ok("docker rm dpdk").unwrap();
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    lab.ok("modprobe -r vfio-pci").unwrap();
    leave(lab, &before);
}

pub(crate) fn a_vf_that_cannot_be_isolated_or_must_not_send_is_refused() {
    let lab = prepared();
    let before = state(&lab);
    let refusal = |lab: &Lab, engine: Engine| {
        let output = run(lab, engine, ANNOTATIONS, "true");
        assert_eq!(output.status, engine.refusal(), "{output}");
        assert_untouched(lab, &before);
        output.stderr
    };
    let refused = |lab: &Lab, engine: Engine, expected: &str| {
        let found = refusal(lab, engine);
        assert!(found.contains(expected), "{found}");
    };
    refused(&lab, Engine::Docker, "asks for vfio-pci, but may only receive; ");
    configure(&lab, POOL);
    // Another test may have loaded it.
    lab.ok("! grep -q '^vfio_pci ' /proc/modules || modprobe -r vfio-pci").unwrap();
    refused(&lab, Engine::Docker, "the driver vfio-pci is not loaded; run `modprobe vfio-pci`");
    lab.ok("modprobe vfio-pci").unwrap();
    refused(&lab, Engine::PodmanHooks, "which this runtime or hook cannot give; ");
    lab.ok("modprobe -r vfio-pci").unwrap();
    leave(lab, &before);
}

/// The root port of pf2 has no ACS, so all its functions are in one group.
pub(crate) fn a_vf_that_shares_its_iommu_group_is_refused() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, &POOL.replace("pf0", "pf2"));
    lab.ok("modprobe vfio-pci; echo 2 > /sys/class/net/pf2/device/sriov_numvfs").unwrap();
    let output = run(&lab, Engine::Docker, ANNOTATIONS, "true");
    assert!(output.stderr.contains(" shares IOMMU group "), "{output}");
    assert_eq!(on_vlans(&lab, "pf2"), []);
    lab.ok("echo 0 > /sys/class/net/pf2/device/sriov_numvfs; modprobe -r vfio-pci").unwrap();
    leave(lab, &before);
}

/// With `podman --runtime runvf`, Podman's hooks run while runvf creates the container.
#[test]
fn podman_with_the_runtime_gives_a_vf_by_vfio() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, POOL);
    lab.ok("modprobe vfio-pci").unwrap();
    let look = "ls /dev/vfio; echo $PCIDEVICE_SENSORS";
    let output = run(&lab, Engine::PodmanRuntime, ANNOTATIONS, look);
    assert_eq!(output.status, 0, "{output}");
    assert!(output.stdout.ends_with("vfio\n0000:01:10.0\n"), "{output}");
    settle(&lab, 3);
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    lab.ok("modprobe -r vfio-pci").unwrap();
    leave(lab, &before);
}

/// Runs containers with a VF of vfio-pci one after the other, and kills a process of each.
pub(crate) fn killed_containers_lose_no_vf(cycles: u32) {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, POOL);
    lab.ok("modprobe vfio-pci").unwrap();
    let cycles_of = script(
        include_str!("scripts/vfio_cycles.sh"),
        &[("cycles", &cycles.to_string()), ("seed", &seed().to_string())],
    );
    let timeout = Duration::from_secs(60) * cycles;
    let done = lab.ok_within(timeout, &cycles_of).unwrap();
    assert_eq!(done.text(), format!("{cycles} cycles"), "{done}");
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    lab.ok("rm -r /tmp/vfio-bundle; modprobe -r vfio-pci").unwrap();
    leave(lab, &before);
}

/// DPDK's driver for iavf on the emulated X710.
pub(crate) fn dpdk_receives_on_the_x710() {
    let lab = installed_on(X710);
    configure(&lab, &format!("{POOL}vfs = 4\n"));
    lab.ok("runvfctl setup").unwrap();
    start_dpdk(&lab);
    assert_dpdk_receives_its_vlan(&lab);
    lab.ok("docker rm dpdk").unwrap();
    assert_eq!(on_vlans(&lab, "pf0"), []);
    assert_eq!(lab.x710_journal().unwrap(), "");
}
