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

/// Between `create` and `start` there may be days, and other tools.
#[test]
fn a_container_whose_vf_was_changed_does_not_start() {
    let lab = prepared();
    let before = state(&lab);
    let inside = "nsenter -n -t $(cat /tmp/pid) ip link set mon0";
    let missing = "container sensor has no VF for `mon0`; ";
    for (change, why) in [
        ("ip link set pf0 vf 0 vlan 300".to_owned(), "VLAN 100 was set, but VLAN 300 reads back; "),
        (
            "ip link set pf0 vf 0 trust off".to_owned(),
            "trust on was set, but trust off reads back; ",
        ),
        (format!("{inside} promisc off"), missing),
        (format!("{inside} down"), missing),
    ] {
        lab.ok(&format!(
            "mkdir -p /var/log/sensor; runvf create --bundle {BUNDLE} --pid-file /tmp/pid sensor </dev/null >/dev/null 2>&1
             {change}"
        ))
        .unwrap();
        let output = lab.sh("runvf start sensor").unwrap();
        assert!(output.status == 1 && output.stderr.contains(why), "{change}: {output}");
        assert_eq!(lab.json("runvf state sensor").unwrap()["status"], "created", "{change}");
        lab.ok("runvf delete --force sensor").unwrap();
        crate::host::settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
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

/// A container without mounts and annotations, as `of FILTER` for jq makes it in `/tmp/d`, under runc and under runvf.
fn with_both(lab: &lab::Lab, script: &str) -> [String; 2] {
    ["runc", "runvf"].map(|runtime| {
        let script = format!(
            r#"mkdir -p /tmp/d; cd /tmp/d; r={runtime}; bundle=/var/lib/runvf-bundles/tcpdump
            of() {{ jq ".root.path = \"$bundle/rootfs\" | .process.terminal = false | .annotations = {{}} | .mounts |= map(select(.type != \"bind\"))
                | .process.args = [\"sleep\", \"1000\"] | .linux.cgroupsPath = \"/told\" | $1" $bundle/config.json > config.json; }}
            {script}
            cd /; rm -rf /tmp/d"#
        );
        lab.ok(&script).unwrap().text().to_owned()
    })
}

/// A pipe without a reader ends who writes to it, and nothing of that is blocked or ignored.
#[test]
fn a_process_has_the_signals_of_one_that_runc_starts() {
    let lab = prepared();
    let before = state(&lab);
    let told = with_both(
        &lab,
        r#"grep='grep -e ^SigBlk -e ^SigIgn /proc/self/status'
        of ".process.args = [\"sh\", \"-c\", \"{ { yes 2> /dev/null; echo \$? >&3; } | head -n 1 > /dev/null; } 3>&1; $grep\"]"
        $r run --bundle . said < /dev/null 2>&1
        of .; $r run -d --bundle . told < /dev/null > /dev/null 2>&1; $r exec told $grep; $r delete --force told"#,
    );
    assert_eq!(told[0], told[1]);
    assert!(told[0].starts_with("141\n"), "{}", told[0]);
    leave(lab, &before);
}

/// A `pause` that was killed has frozen it and not said so.
#[test]
fn what_is_frozen_can_be_resumed() {
    let lab = prepared();
    let before = state(&lab);
    let told = with_both(
        &lab,
        "of .; $r run -d --bundle . told < /dev/null > /dev/null 2>&1; freeze=/sys/fs/cgroup/told/cgroup.freeze
         echo 1 > $freeze; $r resume told; cat $freeze; $r resume told 2> /dev/null || echo refused; $r delete --force told",
    );
    assert_eq!(told, ["0\nrefused", "0\nrefused"]);
    leave(lab, &before);
}

/// Without a pid namespace of its own nothing ends with the first process, and each of these is gone before it can be found.
#[test]
fn a_container_that_forks_without_end_is_removed() {
    let lab = prepared();
    let before = state(&lab);
    let both = lab.use_both_cpus().unwrap();
    let told = with_both(
        &lab,
        r#"of '.linux.namespaces |= map(select(.type != "pid")) | .process.args = ["/usr/bin/perl", "-e", "fork; fork; fork; fork and exit while 1"]
            | .mounts += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]'
        $r run -d --bundle . told < /dev/null > /dev/null 2>&1; grep -q . /sys/fs/cgroup/told/cgroup.procs && echo there
        $r kill --all told KILL; for i in $(seq 50); do grep -q . /sys/fs/cgroup/told/cgroup.procs || break; sleep 0.1; done
        wc -l < /sys/fs/cgroup/told/cgroup.procs; $r delete --force told && echo removed; pgrep -x perl || echo gone
        [ ! -e /sys/fs/cgroup/told ] || { echo 1 > /sys/fs/cgroup/told/cgroup.kill; sleep 1; rmdir /sys/fs/cgroup/told; }"#,
    );
    drop(both);
    assert_eq!(told, ["there\n0\nremoved\ngone", "there\n0\nremoved\ngone"]);
    leave(lab, &before);
}

/// Whoever becomes a runtime may have had children before.
#[test]
fn a_create_that_fails_spares_who_was_there_before() {
    let lab = prepared();
    let before = state(&lab);
    let told = with_both(
        &lab,
        r#"of '.process.args = ["/no/such/program"]'
        bash -c "sleep 1000 < /dev/null &> /dev/null & echo \$! > other; exec $r run --bundle . told" < /dev/null 2> /dev/null || echo failed
        kill $(< other) && echo spared"#,
    );
    assert_eq!(told, ["failed\nspared", "failed\nspared"]);
    leave(lab, &before);
}

/// systemd knows where the processes are, and does not say.
#[test]
fn a_container_is_removed_without_systemd() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(
        r#"mkdir -p /tmp/d; cd /tmp/d; bundle=/var/lib/runvf-bundles/tcpdump
        jq ".root.path = \"$bundle/rootfs\" | .annotations = {} | .mounts |= map(select(.type != \"bind\")) | .process.args = [\"sleep\", \"1000\"]
            | .linux.cgroupsPath = \"system.slice:runvf:deaf\"" $bundle/config.json > config.json
        runvf --systemd-cgroup run -d --pid-file pid --bundle . deaf < /dev/null > /dev/null 2>&1
        # Nor is there a folder for what is only on the way.
        TMPDIR=/no/such runvf exec deaf true
        for bus in /run/systemd/private /run/dbus/system_bus_socket; do mount --bind /dev/null $bus; done
        runvf delete --force deaf; code=$?; [ ! -e /proc/$(cat pid)/ns/net ]; gone=$?
        umount /run/systemd/private /run/dbus/system_bus_socket; systemctl stop runvf-deaf.scope 2> /dev/null || true
        cd /; rm -rf /tmp/d; [ $code$gone = 00 ]"#,
    )
    .unwrap();
    leave(lab, &before);
}
