//! Proof of the OCI command line: `runvf` is called by hand on OCI bundles, without an engine.

use lab::Lab;

use crate::host::{assert_clean, assert_untouched, installed, leave, prepared, settle, state, vf};
use crate::script::script;

pub(crate) const BUNDLE: &str = "/var/lib/runvf-bundles/tcpdump";

/// Creates the container `sensor` on VLAN 100 and writes the number of its init process to
/// `/tmp/pid`.
pub(crate) const CREATE: &str = "mkdir -p /var/log/sensor; \
    runvf create --bundle /var/lib/runvf-bundles/tcpdump --pid-file /tmp/pid sensor </dev/null >/dev/null 2>&1";

#[test]
fn a_bundle_lives_from_create_to_delete() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(CREATE).unwrap();
    let shown = lab.json("runvf state sensor").unwrap();
    assert_eq!((&shown["status"], &shown["id"]), (&"created".into(), &"sensor".into()), "{shown}");
    assert_eq!(shown["pid"].to_string(), lab.ok("cat /tmp/pid").unwrap().text());
    assert_eq!(shown["annotations"]["io.runvf.vlan"], "100");
    // The VF is attached before the process of the container starts.
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
fn run_creates_starts_and_deletes() {
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

#[test]
fn a_container_without_its_vf_does_not_start() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(CREATE).unwrap();
    lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
    let output = lab.sh("runvf start sensor").unwrap();
    assert_eq!(output.status, 1);
    assert_eq!(
        output.stderr,
        "runvf: container sensor has no VF for interface `mon0`; remove the container and run it again; see `runvfctl status`\n"
    );
    lab.ok("runvf delete --force sensor").unwrap();
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// Without its state file a container is unknown, but its processes must not live on with a VF that
/// no program watches.
#[test]
fn a_container_with_a_damaged_state_file_is_deleted() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(CREATE).unwrap();
    lab.ok("runvf start sensor; truncate -s 20 /run/runvf/containers/sensor/state.json").unwrap();
    let output = lab.sh("runvf delete --force sensor").unwrap();
    assert_eq!(output.status, 0, "{output}");
    lab.ok("! [ -e /proc/$(cat /tmp/pid)/ns/net ]").unwrap();
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// On many hosts `/run` is a noexec mount. runc and crun bind-mount the root again, without the
/// flags of that mount.
#[test]
fn a_root_on_a_noexec_mount_is_executable() {
    let lab = installed();
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
        // With relative paths, because runvf leaves its mount namespace and returns to it.
        let output =
            lab.sh("cd /run/b && runvf run --bundle . --pid-file pid c && test -s pid").unwrap();
        assert_eq!(output.status, 0, "{output}");
        let flags = output.text().split(' ').nth(5).unwrap_or_default().to_owned();
        assert!(flags.contains("nosuid") && !flags.contains("noexec"), "{output}");
    }
    // The mounts of the host have not changed.
    lab.ok("findmnt -rn | diff /tmp/before -; findmnt -no OPTIONS /run | grep noexec").unwrap();
}

/// What a script prints after `scripts/bundle.sh`.
pub(crate) fn with_bundle(lab: &Lab, runtime: &str, program: &str) -> String {
    let program = format!("{}{program}cd /; rm -rf /tmp/d", include_str!("scripts/bundle.sh"));
    lab.ok(&script(&program, &[("runtime", runtime)])).unwrap().text().to_owned()
}

/// What a script prints with runc and with runvf.
pub(crate) fn with_both(lab: &Lab, program: &str) -> [String; 2] {
    ["runc", "runvf"].map(|runtime| with_bundle(lab, runtime, program))
}

/// Two containers may be in one cgroup.
#[test]
fn a_failed_create_does_not_kill_other_containers_of_its_cgroup() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_both(&lab, include_str!("scripts/failed_create.sh"));
    assert_eq!(printed, ["failed\nrunning", "failed\nrunning"]);
    leave(lab, &before);
}

/// SIGPIPE ends a process that writes to a pipe without a reader, and no signal is blocked or
/// ignored. Empty fields of a config are like absent ones. Neither an environment of the caller that
/// is not UTF-8, nor inheritable capabilities of the caller, reach the process.
#[test]
fn processes_of_bundles_are_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    let [runc, runvf] = with_both(&lab, include_str!("scripts/signal_masks.sh"));
    assert_eq!(runc, runvf);
    assert!(runc.starts_with("141\n"), "{runc}");
    let [runc, runvf] = with_both(&lab, include_str!("scripts/processes.sh"));
    assert_eq!(runc, runvf);
    assert!(runc.starts_with("no user: ran = 0\nnull: ran = 0\n"), "{runc}");
    assert!(runc.contains("\nno variable name: 0 long = 1\n"), "{runc}");
    leave(lab, &before);
}

/// A `pause` that was killed has frozen the container without a record of it.
#[test]
fn a_frozen_container_can_be_resumed() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_both(&lab, include_str!("scripts/frozen.sh"));
    assert_eq!(printed, ["0\nrefused", "0\nrefused"]);
    leave(lab, &before);
}
