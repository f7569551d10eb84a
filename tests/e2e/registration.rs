//! `runvfctl install` and `uninstall`, on a host that has the programs and nothing else of runvf's.

use std::path::Path;

use lab::{Lab, Output};

use crate::engine::IMAGE;

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const CONFIG_TOML: &str = "/etc/containerd/config.toml";

/// The programs, as `make build` left them.
fn bare() -> Lab {
    let lab = Lab::restore().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("dist");
    for (name, goal) in [
        ("runvf", "/usr/bin/runvf"),
        ("runvfctl", "/usr/bin/runvfctl"),
        ("runvf-hook", "/usr/libexec/runvf/runvf-hook"),
    ] {
        lab.push(programs.join(name), goal).unwrap();
    }
    lab
}

/// All that an installation may change, with modes, owners and links.
fn files(lab: &Lab) -> String {
    let list = "for file in $(find /etc/docker /etc/containers /etc/containerd /usr/share/containers /var/lib/runvf \
                ! -type d 2>/dev/null | sort); do stat -c '%n %A %U' $file; sha256sum $file; done";
    lab.ok(list).unwrap().stdout
}

fn runtimes(lab: &Lab) -> String {
    let names =
        "docker info -f '{{range $name, $_ := .Runtimes}}{{$name}} {{end}}, {{.DefaultRuntime}}'";
    lab.ok(names).unwrap().text().to_owned()
}

fn refused(output: &Output, why: &str) {
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{output}");
    assert!(output.stderr.contains(why) && output.stderr.lines().count() == 1, "{output}");
}

#[test]
fn docker_gets_a_runtime_and_gives_it_back() {
    let lab = bare();
    let (before, known) = (files(&lab), runtimes(&lab));
    lab.ok("docker run -d --name bystander runvf/tcpdump sleep 1000").unwrap();

    let shown = lab.ok("runvfctl install docker --dry-run").unwrap();
    assert!(shown.stdout.starts_with("--- /dev/null\n+++ /etc/docker/daemon.json\n"), "{shown}");
    assert_eq!(files(&lab), before);

    let said = lab.ok("runvfctl install docker").unwrap();
    assert!(said.stdout.contains("added runtime runvf to /etc/docker/daemon.json"), "{said}");
    assert!(runtimes(&lab).contains("runvf"));
    lab.ok(&format!("docker run --rm --runtime runvf {IMAGE} true")).unwrap();
    let installed = files(&lab);
    let said = lab.ok("runvfctl install docker").unwrap();
    assert_eq!(said.text(), "docker: already installed: nothing to change");
    assert_eq!(files(&lab), installed);

    let said = lab.json("runvfctl uninstall docker --json").unwrap();
    assert_eq!(said["engine"], "docker", "{said}");
    assert_eq!((files(&lab), runtimes(&lab)), (before.clone(), known.clone()));
    // Killed when the file was as before, and dockerd had not heard of it yet.
    let again = "runvfctl install docker; rm /etc/docker/daemon.json; runvfctl uninstall docker";
    let said = lab.ok(again).unwrap();
    assert!(said.text().ends_with("docker: reloaded; it has forgotten runvf now"), "{said}");
    assert_eq!((files(&lab), runtimes(&lab)), (before, known));
    // A reload, and no restart.
    assert_eq!(lab.ok("docker inspect -f '{{.State.Running}}' bystander").unwrap().text(), "true");
}

#[test]
fn a_daemon_json_written_by_hand_survives_and_so_does_its_default_runtime() {
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
    // Of the default runtime it shows what `--version` says, whatever its name.
    let shown = "runvf --version > v; docker info > i; grep -qx \" runc version: $(sed -n 's/^commit: //p' v)\" i; ! grep unknown v";
    lab.ok(shown).unwrap();
    let mode = lab.ok(&format!("test -L {DAEMON_JSON}; stat -c %a /srv/daemon.json")).unwrap();
    assert_eq!(mode.text(), "600");
    lab.ok(&format!("docker run --rm {IMAGE} true")).unwrap();

    lab.ok("runvfctl uninstall docker").unwrap();
    assert_eq!((files(&lab), runtimes(&lab)), (before.clone(), known.clone()));
    lab.ok("runvfctl install docker --default; cat /etc/docker/daemon.json.runvf-backup > /srv/daemon.json; runvfctl uninstall docker")
        .unwrap();
    assert_eq!((files(&lab), runtimes(&lab)), (before, known));
    assert_eq!(lab.pull(DAEMON_JSON).unwrap(), written.as_bytes());
}

#[test]
fn what_docker_would_not_take_is_not_written() {
    let lab = bare();
    let attempt = |why: &str| {
        let before = files(&lab);
        refused(&lab.sh("runvfctl install docker").unwrap(), why);
        assert_eq!(files(&lab), before);
    };
    lab.write(DAEMON_JSON, "{\n  \"debug\": true,\n}\n").unwrap();
    attempt("/etc/docker/daemon.json: trailing comma at line 3 column 1");
    lab.write(DAEMON_JSON, "{\"runtimes\": {\"runvf\": {\"path\": \"/opt/runvf\"}}}").unwrap();
    attempt("`runtimes.runvf` is there already, with the path \"/opt/runvf\"");
    lab.write(DAEMON_JSON, "{\"no-such-key\": 1}").unwrap();
    attempt("dockerd would refuse it with runvf");
    lab.ok(&format!("rm {DAEMON_JSON}")).unwrap();

    // Docker's unit may not be started more than three times a minute.
    let restart = "systemctl reset-failed docker; systemctl restart docker";
    lab.write("/etc/default/docker", "DOCKER_OPTS=\"--add-runtime other=/usr/bin/crun\"\n")
        .unwrap();
    lab.ok(restart).unwrap();
    attempt("dockerd is started with `--add-runtime other=/usr/bin/crun` (process");
    lab.ok(&format!("rm /etc/default/docker; {restart}")).unwrap();

    // A file that dockerd validates and does not take: the key is in its command line, too.
    lab.write("/etc/default/docker", "DOCKER_OPTS=\"--debug\"\n").unwrap();
    lab.ok(restart).unwrap();
    lab.write(DAEMON_JSON, "{\"debug\": true}\n").unwrap();
    attempt("docker does not know runvf");
}

#[test]
fn podman_gets_its_files_and_gives_them_back() {
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

    lab.ok("rm /usr/libexec/runvf/runvf-hook").unwrap();
    let refusal = lab.sh("runvfctl install podman").unwrap();
    refused(&refusal, "/usr/libexec/runvf/runvf-hook is not on this machine");
}

/// A hook that is not read fails no container: it starts without its VF. There is no configuration, of which the hook complains.
#[test]
fn podman_reads_runvfs_hooks_beside_those_of_other_folders() {
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
    let why = "podman reads hooks from /srv/hooks alone and would start sensors without a VF, so every file is as it was before; name";
    refused(&lab.sh("runvfctl install podman").unwrap(), why);
    assert_eq!(files(&lab), before);
}

/// Debian's containerd 1.7 loses its own runtime, and all that is said of the plugin elsewhere, if another file names one.
#[test]
fn containerd_gets_a_runtime_beside_the_one_it_has() {
    let lab = bare();
    let mut text = String::from_utf8(lab.pull(CONFIG_TOML).unwrap()).unwrap();
    text.push_str("[debug]\n\tlevel = \"warn\" # by hand");
    lab.write(CONFIG_TOML, text.clone()).unwrap();
    let (before, dump) = (files(&lab), lab.ok("containerd config dump").unwrap().stdout);

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
    lab.write(CONFIG_TOML, "version = 2\n[plugins\n").unwrap();
    let refusal = lab.sh("runvfctl install containerd").unwrap();
    refused(&refusal, "/etc/containerd/config.toml: ");
}
