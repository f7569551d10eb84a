//! More ways out of a container that runc closes, tried under runc and under runvf.

use crate::engine::IMAGE;
use crate::escapes::{RUNTIMES, attempts};
use crate::host::{leave, prepared, state};

/// Links in an image and paths in a spec, which are there before the runtime has closed anything.
#[test]
fn links_in_a_root_do_not_lead_out_of_it() {
    let lab = prepared();
    let before = state(&lab);
    let links = include_str!("../scripts/escape_links.sh");
    let [runc, runvf] = RUNTIMES.map(|runtime| attempts(&lab, runtime, links));
    assert_eq!(runvf, runc);

    let printed = attempts(&lab, "runvf", include_str!("../scripts/escape_dev.sh"));
    let expected = [
        "dev is a link: refused",
        "runvf: /tmp/e/root/dev is a symlink; replace it with a folder",
        "a masked link: refused",
        "runvf: /tmp/e/root/masked is a symlink; mask its target",
        "the dev of the host: refused",
        "runvf: cannot bind-mount over /dev: libcontainer creates its own /dev; add devices with --device, or set `engine = \"runc\"` in /etc/runvf/runtime.toml",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    leave(lab, &before);
}

/// The runtime binds the terminal to /dev/console, which may be a link of the image.
#[test]
fn a_link_at_dev_console_does_not_lead_out_of_the_root() {
    let lab = prepared();
    let before = state(&lab);
    let console = include_str!("../scripts/escape_console.sh");
    let printed = RUNTIMES.map(|runtime| attempts(&lab, runtime, console));
    assert_eq!(printed[1], printed[0]);
    assert!(printed[0].contains("target /var/escape/hidden: "), "{}", printed[0]);
    leave(lab, &before);
}

/// CVE-2024-21626: a path inside the container that begins with a directory that the runtime has
/// open. `PATH` contains all descriptors.
#[test]
fn a_program_is_found_only_inside_the_root() {
    let lab = prepared();
    let before = state(&lab);
    let path = include_str!("../scripts/escape_path.sh");
    let printed = RUNTIMES.map(|runtime| attempts(&lab, runtime, path));
    let expected =
        "the first process: refused\non a root without exec: refused\njoined\nrefused\n0";
    assert_eq!(printed, [expected; 2]);
    leave(lab, &before);
}

/// CVE-2019-14271: to find a home directory, the C library opens the configuration of the image and
/// loads the libraries that are named there. In this image, it would wait for the writer of a pipe.
#[test]
fn the_runtime_loads_nothing_of_the_image() {
    let lab = prepared();
    let before = state(&lab);
    let image = include_str!("../scripts/escape_image.sh");
    let [runc, runvf] = RUNTIMES.map(|runtime| attempts(&lab, runtime, image));
    assert_eq!(runvf, runc);
    for line in [
        "user 7: ran",
        "home /root",
        "home /seven",
        "home /",
        "no capabilities: ran",
        "no resources: ran",
        "0022",
    ] {
        assert!(runc.lines().any(|printed| printed == line), "no `{line}` in\n{runc}");
    }
    leave(lab, &before);
}

/// libcontainer alone would run the process with the users of the host.
#[test]
fn exec_in_a_user_namespace_runs_inside_it() {
    let lab = prepared();
    let before = state(&lab);
    let users = include_str!("../scripts/escape_userns.sh");
    let [runc, runvf] = RUNTIMES.map(|runtime| attempts(&lab, runtime, users));
    assert_eq!(runc, runvf);
    assert!(runc.trim_start().starts_with("0    1000000"), "{runc}");
    assert!(runc.contains("Uid:\t1000000\t1000000") && runc.contains("unmapped"), "{runc}");
    leave(lab, &before);
}

/// A created process is already a process of the container, and other processes may run in its pid
/// namespace.
#[test]
fn a_created_process_is_closed_to_its_pid_namespace() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/peek.pl", include_str!("../scripts/peek.pl")).unwrap();
    for runtime in RUNTIMES {
        assert_eq!(
            attempts(&lab, runtime, include_str!("../scripts/escape_peek.sh")),
            "process\nkeyring: the same\nkeyring: the same\nkeyring: of the host",
            "{runtime}"
        );
    }
    leave(lab, &before);
}

/// The process that `exec` adds is in the pid namespace before it runs a program of the image. Until then,
/// it has descriptors of the host.
#[test]
fn an_added_process_is_closed_until_it_runs_the_program() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/watch.pl", include_str!("../scripts/watch.pl")).unwrap();
    for runtime in RUNTIMES {
        let printed = attempts(&lab, runtime, include_str!("../scripts/escape_exec.sh"));
        let lines: Vec<_> = printed.lines().collect();
        let expected = ["watching", "joined unseen"].repeat(2);
        assert_eq!(lines, expected, "{runtime}");
    }
    leave(lab, &before);
}

/// A mount over a file of /proc would hide what masked and read-only paths protect (CVE-2019-16884).
#[test]
fn mounts_do_not_cover_proc_and_keep_their_flags() {
    let lab = prepared();
    let before = state(&lab);
    let mounts = include_str!("../scripts/escape_mounts.sh");
    let [runc, runvf] = RUNTIMES.map(|runtime| attempts(&lab, runtime, mounts));
    assert_eq!(runvf, runc);
    for line in ["a volume at /proc/sys: refused", "read-only paths: ran", "executed"] {
        assert!(runc.lines().any(|printed| printed == line), "no `{line}` in\n{runc}");
    }
    leave(lab, &before);
}

/// CVE-2024-45310 and CVE-2019-19921 are of this kind: the runtime uses a path while another container
/// changes it.
#[test]
fn a_folder_that_is_exchanged_during_create_leads_nowhere() {
    let lab = prepared();
    let before = state(&lab);
    let exchange = include_str!("../scripts/escape_exchange.sh");
    let printed = attempts(&lab, "runvf", exchange);
    let expected = "closed\na device in a volume: ran\ncharacter special file 1 3 600 7";
    assert_eq!(printed, expected);
    leave(lab, &before);
}

/// With runc, the options of the host's mount are gone afterwards.
#[test]
fn a_container_in_the_hosts_cgroup_namespace_keeps_the_hosts_mount_options() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok("mount -o remount,nsdelegate,memory_recursiveprot /sys/fs/cgroup").unwrap();
    let options = "grep ' /sys/fs/cgroup cgroup2 ' /proc/mounts";
    let as_before = lab.ok(options).unwrap();
    assert!(as_before.text().contains("nsdelegate"), "{as_before}");
    for engine in ["docker run --runtime runvf", "podman --runtime /usr/bin/runvf run"] {
        let look = "test -e /sys/fs/cgroup/init.scope/cgroup.procs && ! touch /sys/fs/cgroup/x";
        let command =
            format!("{engine} --rm --network none --cgroupns host {IMAGE} sh -c '{look}'");
        lab.ok(&command).unwrap();
        assert_eq!(lab.ok(options).unwrap().text(), as_before.text(), "{engine}");
    }
    leave(lab, &before);
}
