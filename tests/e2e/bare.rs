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
    assert_eq!(
        output.stderr,
        "runvf: container sensor has no VF for `mon0`; remove the container and run it anew; `runvfctl status` shows who has which VF\n"
    );
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

/// containerd deletes the container of a shim that was killed, while the runtime that the shim had started goes on creating it; and
/// conmon takes the runtime with it when it is killed. Both engines delete without saying `--systemd-cgroup`.
#[test]
fn a_create_that_is_cut_short_leaves_no_process() {
    let lab = prepared();
    let before = state(&lab);
    for runtime in ["runc", "runvf"] {
        for systemd in ["", "--systemd-cgroup"] {
            for happens in ["rm -rf /run/runc/cut /run/runvf/containers/cut", "kill -9 $PPID"] {
                let script = format!(
                    r#"mkdir -p /tmp/d; cd /tmp/d; bundle=/var/lib/runvf-bundles/tcpdump; echo '{happens}' > hook
                    path=/cut; [ -z "{systemd}" ] || path=system.slice:runvf:cut
                    jq ".root.path = \"$bundle/rootfs\" | .annotations = {{}} | .mounts |= map(select(.type != \"bind\"))
                        | .linux.cgroupsPath = \"$path\" | .hooks.createRuntime = [{{path: \"/bin/sh\", args: [\"sh\", \"/tmp/d/hook\"]}}]" \
                        $bundle/config.json > config.json
                    timeout 60 {runtime} {systemd} create --bundle . cut < /dev/null > /dev/null 2>&1 && echo created
                    {runtime} delete --force cut
                    # An empty cgroup is what runc leaves, too, if it was killed.
                    left() {{ pgrep -af 'create --bundle . cut'; [ {runtime} = runc ] || find /sys/fs/cgroup -name '*cut*'; }}
                    for _ in $(seq 100); do [ -z "$(left)" ] && echo gone && break; sleep 0.1; done
                    left; rm -rf /tmp/d"#
                );
                // In a file: its text would be found by pgrep.
                lab.write("/tmp/cut.sh", script).unwrap();
                let told = lab.ok("bash /tmp/cut.sh 2> /tmp/cut.err; rm /tmp/cut.sh").unwrap();
                assert_eq!(told.text(), "gone", "{runtime} {systemd}: {happens}");
            }
        }
    }
    leave(lab, &before);
}

/// Two may be in one cgroup; what fails ends what is its own.
#[test]
fn a_create_that_fails_ends_nobody_else() {
    let lab = prepared();
    let before = state(&lab);
    for runtime in ["runc", "runvf"] {
        let script = format!(
            r#"mkdir -p /tmp/d; cd /tmp/d; bundle=/var/lib/runvf-bundles/tcpdump
            of() {{ jq ".root.path = \"$bundle/rootfs\" | .process.terminal = $1 | .annotations = {{}} | .mounts |= map(select(.type != \"bind\")) | .linux.cgroupsPath = \"/shared\"
                | .process.args = [\"sleep\", \"1000\"]" $bundle/config.json > config.json; }}
            of false; {runtime} run -d --bundle . first < /dev/null > /dev/null 2>&1
            # Nobody takes the terminal.
            of true; {runtime} create --bundle . second < /dev/null > /dev/null 2>&1 || echo failed
            {runtime} state first | jq -r .status; {runtime} delete --force first; rm -rf /tmp/d"#
        );
        assert_eq!(lab.ok(&script).unwrap().text(), "failed\nrunning", "{runtime}");
    }
    leave(lab, &before);
}

/// What runc gives to a process of whose bundle nothing is to be read about it.
#[test]
fn what_a_bundle_does_not_say_is_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    let mut told = Vec::new();
    for runtime in ["runc", "runvf"] {
        let script = format!(
            r#"mkdir -p /tmp/d; cd /tmp/d; bundle=/var/lib/runvf-bundles/tcpdump; ulimit -Sl 4000; ulimit -Hl 5000
            of() {{ jq ".root.path = \"$bundle/rootfs\" | .root.readonly = false | .process.terminal = false | .annotations = {{}} | .mounts |= map(select(.type != \"bind\"))
                | del(.linux.resources, .linux.cgroupsPath) | .process.capabilities[] += [\"CAP_MKNOD\"] | $1
                | .process.args = [\"sh\", \"-c\", \"ulimit -Sl; ulimit -Hl; mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk 2>&1 | wc -c; rm -f /tmp/disk\"]" \
                $bundle/config.json > config.json; }}
            of .; {runtime} run --bundle . said < /dev/null 2>&1
            of '.process.rlimits = [{{"type": "RLIMIT_MEMLOCK", "soft": 1048576, "hard": 2097152}}]'; {runtime} run --bundle . said < /dev/null 2>&1
            # A cgroup that everybody is in, or somebody else.
            for path in / /system.slice; do
                of ".linux.cgroupsPath = \"$path\""; [ {runtime} = runc ] || {{ {runtime} run --bundle . said < /dev/null 2>&1 || true; }} | grep -c cgroupsPath
            done
            rm -rf /tmp/d"#
        );
        told.push(lab.ok(&script).unwrap().text().to_owned());
    }
    assert_eq!(told[1], format!("{}\n1\n1", told[0]));
    assert!(told[0].starts_with("4000\n5000\n"), "{}", told[0]);
    assert!(told[0].contains("1024\n2048"), "{}", told[0]);
    leave(lab, &before);
}
