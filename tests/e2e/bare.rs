//! `runvf` called by hand, on the OCI bundles.

use crate::host::{assert_clean, assert_untouched, leave, prepared, state, vf};

const BUNDLE: &str = "/var/lib/runvf-bundles/tcpdump";

#[test]
fn a_bundle_lives_from_create_to_delete() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!("mkdir -p /var/log/sensor; runvf create --bundle {BUNDLE} --pid-file /tmp/pid sensor </dev/null >/dev/null 2>&1"))
        .unwrap();
    let shown = lab.json("runvf state sensor").unwrap();
    assert_eq!((&shown["status"], &shown["id"]), (&"created".into(), &"sensor".into()), "{shown}");
    assert_eq!(shown["pid"].to_string(), lab.ok("cat /tmp/pid").unwrap().text());
    assert_eq!(shown["annotations"]["io.runvf.vlan"], "100");
    // The VF is there although nothing runs yet.
    assert_eq!(vf(&lab, "pf0", 0)["vlan_list"][0]["vlan"], 100);
    lab.ok("nsenter -n -t $(cat /tmp/pid) sh -c 'ip link show mon0 | grep -q PROMISC; ip link show lo | grep -q LOWER_UP'")
        .unwrap();

    lab.ok("runvf start sensor").unwrap();
    assert_eq!(lab.json("runvf state sensor").unwrap()["status"], "running");
    assert_eq!(lab.json("runvf list --format json").unwrap()[0]["id"], "sensor");
    assert_eq!(lab.ok("runvf exec sensor cat /sys/class/net/mon0/carrier").unwrap().text(), "1");
    lab.ok("runvf ps sensor | grep -q tcpdump").unwrap();
    let refused = lab.sh("runvf delete sensor").unwrap();
    assert_eq!(refused.status, 1, "a running container is not deleted without --force: {refused}");
    lab.ok("runvf kill sensor KILL; runvf delete --force sensor").unwrap();
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn run_does_all_of_it() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!(
        "cp -r --reflink=auto {BUNDLE} /tmp/b; cd /tmp/b
         jq '.process.args = [\"sh\", \"-c\", \"cat /sys/class/net/mon0/carrier; exit 5\"]' {BUNDLE}/config.json > config.json"
    ))
    .unwrap();
    let output = lab.sh("runvf run --bundle /tmp/b c").unwrap();
    assert_eq!((output.status, output.text()), (5, "1"), "{output}");
    assert_untouched(&lab, &before);

    lab.ok("cd /tmp/b; jq '.annotations[\"io.runvf.vlan\"] = \"5000\"' config.json > c2; mv c2 config.json").unwrap();
    let output = lab.sh("runvf run --bundle /tmp/b c").unwrap();
    assert_eq!(
        (output.status, output.stderr.as_str()),
        (1, "runvf: io.runvf.vlan=5000 is not a VLAN; give a number from 1 to 4094\n")
    );
    leave(lab, &before);
}

/// By what `pgrep` and whoever waits for a PF's lock are told.
#[test]
fn the_process_has_its_name_though_it_runs_from_a_sealed_copy() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!(
        "cp -r --reflink=auto {BUNDLE} /tmp/named; cd /tmp/named
         jq 'del(.annotations) | .process.args = [\"sleep\", \"1000\"]' {BUNDLE}/config.json > config.json
         runvf run named < /dev/null > /dev/null 2>&1 & until runvf state named | grep -q running; do :; done 2> /dev/null
         pgrep -x runvf; runvf kill named KILL; wait || true"
    ))
    .unwrap();
    leave(lab, &before);
}

#[test]
fn a_container_whose_vf_was_taken_away_does_not_start() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!(
        "mkdir -p /var/log/sensor; runvf create --bundle {BUNDLE} sensor </dev/null >/dev/null 2>&1"
    ))
    .unwrap();
    lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
    let output = lab.sh("runvf start sensor").unwrap();
    assert_eq!(output.status, 1);
    assert_eq!(output.stderr, "runvf: container sensor has no VF for `mon0`\n");
    lab.ok("runvf delete --force sensor").unwrap();
    crate::host::settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// Nothing says any more what the container was; its processes must not live on with a VF that nobody looks after.
#[test]
fn a_container_with_a_damaged_state_is_removed_whole() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!(
        "mkdir -p /var/log/sensor; runvf create --bundle {BUNDLE} --pid-file /tmp/pid sensor </dev/null >/dev/null 2>&1
         runvf start sensor; truncate -s 20 /run/runvf/containers/sensor/state.json"
    ))
    .unwrap();
    let output = lab.sh("runvf delete --force sensor").unwrap();
    assert_eq!(output.status, 0, "{output}");
    lab.ok("! [ -e /proc/$(cat /tmp/pid)/ns/net ]").unwrap();
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// `/run` is such a mount on many hosts. runc and crun bind the root anew, and its flags with it are gone.
#[test]
fn a_root_on_a_noexec_mount_can_be_executed() {
    let lab = crate::host::installed();
    lab.ok(&format!(
        "mount -o remount,noexec /run; mkdir /run/b; cp -r {BUNDLE}/rootfs /run/b/rootfs; cd /run/b
         findmnt -rn > /tmp/before"
    ))
    .unwrap();
    for readonly in [true, false] {
        lab.ok(&format!(
            "jq '.root.readonly = {readonly} | .annotations = {{}} | .process.args = [\"sh\", \"-c\", \"grep / /proc/self/mountinfo | head -1\"]' \
             {BUNDLE}/config.json > /run/b/config.json"
        ))
        .unwrap();
        // Relative, since runvf leaves its mount namespace and comes back on the way.
        let output =
            lab.sh("cd /run/b && runvf run --bundle . --pid-file pid c && test -s pid").unwrap();
        assert_eq!(output.status, 0, "{output}");
        let flags = output.text().split(' ').nth(5).unwrap_or_default().to_owned();
        assert!(flags.contains("nosuid") && !flags.contains("noexec"), "{output}");
    }
    // The host has seen nothing of it.
    lab.ok("findmnt -rn | diff /tmp/before -; findmnt -no OPTIONS /run | grep noexec").unwrap();
}
