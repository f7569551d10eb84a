//! `runvfctl install` beside configuration that an operator wrote, and with containerd.

use crate::engine::IMAGE;
use crate::registration::{bare, files, refused, runtimes};

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const CONFIG_TOML: &str = "/etc/containerd/config.toml";

pub(crate) fn a_hand_written_daemon_json_and_its_default_runtime_are_restored() {
    let lab = bare();
    let written = "{\r\n\t\"debug\" : true,\r\n\t\"default-runtime\": \"crun\", \"runtimes\": { \"crun\":{\"path\":\"/usr/bin/crun\"} },\r\n\t\"labels\": [\"größe=1\"]\r\n}";
    lab.write("/srv/daemon.json", written).unwrap();
    lab.ok(&format!(
        "chmod 600 /srv/daemon.json; ln -s /srv/daemon.json {DAEMON_JSON}; systemctl reload docker"
    ))
    .unwrap();
    lab.wait_until(
        std::time::Duration::from_secs(30),
        "docker info -f '{{.DefaultRuntime}}' | grep -q crun",
    )
    .unwrap();
    let (before, known) = (files(&lab), runtimes(&lab));

    lab.ok("runvfctl install docker --default").unwrap();
    assert!(runtimes(&lab).ends_with(", runvf"), "{}", runtimes(&lab));
    // Docker shows the version of the default runtime from its `--version`.
    let shown = "runvf --version > v; docker info > i; grep -qx \" runc version: $(sed -n 's/^commit: //p' v)\" i; ! grep unknown v";
    lab.ok(shown).unwrap();
    let mode = lab.ok(&format!("test -L {DAEMON_JSON}; stat -c %a /srv/daemon.json")).unwrap();
    assert_eq!(mode.text(), "600");
    lab.ok(&format!("docker run --rm {IMAGE} true")).unwrap();

    lab.ok("runvfctl uninstall docker").unwrap();
    assert_eq!((files(&lab), runtimes(&lab)), (before.clone(), known.clone()));
    lab.ok("runvfctl install docker --default; cat /etc/docker/daemon.json.runvf-backup > /srv/daemon.json; runvfctl uninstall docker")
        .unwrap();
    assert_eq!((files(&lab), runtimes(&lab)), (before.clone(), known));
    assert_eq!(lab.pull(DAEMON_JSON).unwrap(), written.as_bytes());

    // A Docker that does not answer does not prevent the uninstall.
    let silent =
        "printf '#!/bin/sh\nexit 1\n' > /tmp/docker; chmod 755 /tmp/docker; PATH=/tmp:$PATH";
    let output = lab.ok(&format!("runvfctl install docker; {silent} runvfctl uninstall docker"));
    let note = "dockerd may know runvf until its next start";
    assert!(output.as_ref().unwrap().stdout.contains(note), "{output:?}");
    assert_eq!(files(&lab), before);
}

pub(crate) fn a_configuration_that_docker_would_refuse_is_not_written() {
    let lab = bare();
    let attempt = |why: &str| {
        let before = files(&lab);
        refused(&lab.sh("runvfctl install docker").unwrap(), why);
        assert_eq!(files(&lab), before);
    };
    lab.write(DAEMON_JSON, "{\n  \"debug\": true,\n}\n").unwrap();
    attempt("/etc/docker/daemon.json: trailing comma at line 3 column 1");
    lab.write(DAEMON_JSON, "{\"runtimes\": {\"runvf\": {\"path\": \"/opt/runvf\"}}}").unwrap();
    attempt("`runtimes.runvf` exists with the path \"/opt/runvf\"");
    lab.write(DAEMON_JSON, "{\"no-such-key\": 1}").unwrap();
    attempt("dockerd rejects the file with runvf added");
    lab.ok(&format!("rm {DAEMON_JSON}")).unwrap();

    // Docker's unit may not be started more than three times a minute.
    let restart = "systemctl reset-failed docker; systemctl restart docker";
    lab.write("/etc/default/docker", "DOCKER_OPTS=\"--add-runtime other=/usr/bin/crun\"\n")
        .unwrap();
    lab.ok(restart).unwrap();
    attempt("dockerd is started with `--add-runtime other=/usr/bin/crun` (process");
    lab.ok(&format!("rm /etc/default/docker; {restart}")).unwrap();

    // dockerd validates this file and then refuses to load it, because the key is in its command
    // line, too.
    lab.write("/etc/default/docker", "DOCKER_OPTS=\"--debug\"\n").unwrap();
    lab.ok(restart).unwrap();
    lab.write(DAEMON_JSON, "{\"debug\": true}\n").unwrap();
    attempt("docker does not know runvf");
}

/// A hook that Podman does not read does not fail: the container would start without its VF. Here
/// the hook must run, so it reports that there is no configuration.
#[test]
fn podman_reads_the_hooks_of_runvf_beside_other_hook_directories() {
    let lab = bare();
    lab.write("/etc/containers/containers.conf", "[engine]\nhooks_dir = [\"/srv/hooks\"]\n")
        .unwrap();
    lab.ok("runvfctl install podman").unwrap();
    let sensor = format!("podman run --rm --annotation io.runvf.vlan=100 {IMAGE} true");
    let sensor = lab.sh(&sensor).unwrap();
    assert!(!sensor.success() && sensor.stderr.contains("/etc/runvf/config.toml"), "{sensor}");
    lab.ok("runvfctl uninstall podman").unwrap();

    let late = "[engine]\nhooks_dir = [\"/srv/hooks\", {append = false}]\n";
    lab.write("/etc/containers/containers.conf.d/90-late.conf", late).unwrap();
    let before = files(&lab);
    let why = "podman reads hooks only from /srv/hooks and would start sensors without a VF; its configuration is unchanged; add";
    refused(&lab.sh("runvfctl install podman").unwrap(), why);
    assert_eq!(files(&lab), before);
}

/// Debian's containerd 1.7 loses its own runtime, and all other settings of the plugin, if a second
/// file names a runtime.
pub(crate) fn containerd_gets_a_second_runtime() {
    let lab = bare();
    let mut text = String::from_utf8(lab.pull(CONFIG_TOML).unwrap()).unwrap();
    text.push_str("[debug]\n\tlevel = \"warn\" # by hand");
    lab.write(CONFIG_TOML, text.clone()).unwrap();
    let (before, dump) = (files(&lab), lab.ok("containerd config dump").unwrap().stdout);

    // containerd is not left stopped if it does not start with the new file.
    let unit = "/etc/systemd/system/containerd.service.d/x.conf";
    let refuses =
        "[Service]\nExecStartPre=/bin/sh -c '! grep -q runvf /etc/containerd/config.toml'\n";
    lab.write(unit, refuses).unwrap();
    lab.ok("systemctl daemon-reload").unwrap();
    let refusal = lab.sh("runvfctl install containerd --restart").unwrap();
    refused(&refusal, "containerd does not restart: ");
    lab.ok(&format!("ctr version; rm {unit}; systemctl daemon-reload")).unwrap();
    assert_eq!(files(&lab), before);

    lab.ok("runvfctl install containerd --restart").unwrap();
    let now = lab.ok("containerd config dump").unwrap().stdout;
    for line in dump.lines().filter(|line| line.contains("_dir") || line.contains("runtimes.")) {
        assert!(now.contains(line) || line.contains("runc.options"), "lost {line}\n{now}");
    }
    assert!(now.contains("runtimes.runvf.options") && now.contains("level = \"warn\""), "{now}");
    lab.ok("ctr plugins ls | grep -E 'grpc.v1 +cri' | grep -q ok").unwrap();
    lab.ok("ctr version").unwrap();

    lab.ok("runvfctl uninstall containerd --restart").unwrap();
    assert_eq!(files(&lab), before);
    assert_eq!(lab.ok("containerd config dump").unwrap().stdout, dump);
    // A containerd that cannot be asked does not prevent the uninstall.
    let silent =
        "mkdir /tmp/silent; ln -s /bin/false /tmp/silent/containerd; PATH=/tmp/silent:$PATH";
    let uninstall = format!("runvfctl install containerd; {silent} runvfctl uninstall containerd");
    let output = lab.ok(&uninstall).unwrap();
    assert!(output.stdout.contains("not checked by containerd"), "{output}");
    assert_eq!(files(&lab), before);
    lab.write(CONFIG_TOML, "version = 2\n[plugins\n").unwrap();
    let refusal = lab.sh("runvfctl install containerd").unwrap();
    refused(&refusal, "/etc/containerd/config.toml: ");
}
