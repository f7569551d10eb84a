//! Proof of `runvfctl install` and `uninstall`: engines know runvf, and afterwards their
//! configuration is what it was. The host has the programs of runvf and no other file of it.

use std::path::Path;

use lab::{Lab, Output};

use crate::engine::IMAGE;

/// Commands before another one, which then finds the Podman of Debian 12.
pub(crate) const OLD_PODMAN: &str = "mkdir -p /tmp/old; printf '#!/bin/sh\necho podman version 4.3.1\n' > /tmp/old/podman; \
                                     chmod 755 /tmp/old/podman; PATH=/tmp/old:$PATH";

/// A host with the programs that `make build` built.
pub(crate) fn bare() -> Lab {
    let lab = Lab::restore().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("dist");
    for (name, goal) in [
        ("runvf", "/usr/bin/runvf"),
        ("runvfctl", "/usr/bin/runvfctl"),
        ("runvf-hook", "/usr/libexec/runvf/runvf-hook"),
        ("runvf-hook", "/usr/libexec/netavark/runvf"),
    ] {
        lab.push(programs.join(name), goal).unwrap();
    }
    lab
}

/// All files that an installation may change, with modes, owners and links.
pub(crate) fn files(lab: &Lab) -> String {
    let list = "for file in $(find /etc/docker /etc/containers /etc/containerd /usr/share/containers /var/lib/runvf \
                ! -type d 2>/dev/null | sort); do stat -c '%n %A %U' $file; sha256sum $file; done";
    lab.ok(list).unwrap().stdout
}

pub(crate) fn runtimes(lab: &Lab) -> String {
    let names =
        "docker info -f '{{range $name, $_ := .Runtimes}}{{$name}} {{end}}, {{.DefaultRuntime}}'";
    lab.ok(names).unwrap().text().to_owned()
}

pub(crate) fn refused(output: &Output, why: &str) {
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{output}");
    assert!(output.stderr.contains(why) && output.stderr.lines().count() == 1, "{output}");
}

#[test]
fn runvf_is_registered_with_docker_and_unregistered() {
    let lab = bare();
    let (before, known) = (files(&lab), runtimes(&lab));
    lab.ok("docker run -d --name bystander runvf/tcpdump sleep 1000").unwrap();
    // Any user can start a process with the name and the options of a daemon.
    let pretend = "exec -a dockerd bash -c \"touch /tmp/started; sleep 1000; true\" x --config-file /tmp/user/daemon.json";
    lab.ok(&format!(
        "mkdir -m 777 /tmp/user; setsid setpriv --reuid=65534 --clear-groups bash -c '{pretend}' >/dev/null 2>&1 </dev/null &"
    ))
    .unwrap();
    lab.wait_until(std::time::Duration::from_secs(10), "[ -e /tmp/started ]").unwrap();

    let shown = lab.ok("runvfctl install docker --dry-run").unwrap();
    assert!(shown.stdout.starts_with("--- /dev/null\n+++ /etc/docker/daemon.json\n"), "{shown}");
    assert_eq!(files(&lab), before);

    let output = lab.ok("runvfctl install docker").unwrap();
    assert!(output.stdout.contains("added runtime runvf to /etc/docker/daemon.json"), "{output}");
    assert!(runtimes(&lab).contains("runvf"));
    lab.ok(&format!("docker run --rm --runtime runvf {IMAGE} true")).unwrap();
    let installed = files(&lab);
    let output = lab.ok("runvfctl install docker").unwrap();
    assert_eq!(output.text(), "docker: already installed: nothing to change");
    assert_eq!(files(&lab), installed);

    let output = lab.json("runvfctl uninstall docker --json").unwrap();
    assert_eq!(output["engine"], "docker", "{output}");
    assert_eq!((files(&lab), runtimes(&lab)), (before.clone(), known.clone()));
    // As after a kill of `uninstall` between the change of the file and the reload of dockerd.
    let again = "runvfctl install docker; rm /etc/docker/daemon.json; runvfctl uninstall docker";
    let output = lab.ok(again).unwrap();
    assert!(
        output.text().ends_with("docker: reloaded; runtime runvf is no longer available"),
        "{output}"
    );
    assert_eq!((files(&lab), runtimes(&lab)), (before, known));
    lab.ok("[ -z \"$(ls /tmp/user)\" ]").unwrap();
    // Docker was reloaded and not restarted.
    assert_eq!(lab.ok("docker inspect -f '{{.State.Running}}' bystander").unwrap().text(), "true");
}

#[test]
fn runvf_is_registered_with_podman_and_unregistered() {
    let lab = bare();
    let before = files(&lab);
    lab.ok("runvfctl install podman").unwrap();
    lab.ok(&format!("podman --runtime runvf run --rm {IMAGE} true; podman run --rm {IMAGE} true"))
        .unwrap();
    assert_eq!(
        lab.ok("runvfctl install podman").unwrap().text(),
        "podman: already installed: nothing to change"
    );
    lab.ok("runvfctl uninstall podman").unwrap();
    assert_eq!(files(&lab), before);

    let refusal = lab.sh(&format!("{OLD_PODMAN} runvfctl install podman")).unwrap();
    refused(&refusal, "Podman 4.3.1 copies an image's annotations into the container");
    assert_eq!(files(&lab), before);
    lab.ok("rm /usr/libexec/runvf/runvf-hook").unwrap();
    let refusal = lab.sh("runvfctl install podman").unwrap();
    refused(&refusal, "/usr/libexec/runvf/runvf-hook is not installed");
}
