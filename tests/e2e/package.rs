//! Proof of the Debian package on a host without runvf: installed and used as README.md says,
//! upgraded, removed and purged.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::Lab;

use crate::engine::{Engine, IMAGE, run};

/// `tests/run` builds both packages: the version of Cargo.toml, and a newer one. The first one goes
/// to the path of README.md.
fn push_packages(lab: &Lab) {
    let package = |name: &str, goal: &str| (lab::target_dir().join(name), goal.to_owned(), 0o644);
    lab.push_tree(vec![
        package("one.deb", "/root/target/runvf_one.deb"),
        package("two.deb", "/tmp/two.deb"),
    ])
    .unwrap();
}

/// The ten commands of README.md for a host with an SR-IOV card: the first block of its section.
fn readme_commands() -> [String; 10] {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = |text: &&str| text.starts_with("Use it, on real hardware\n");
    let section = readme.split("\n## ").find(section).unwrap();
    let lines = section.lines().map(|line| line.strip_prefix("    "));
    let lines = lines.skip_while(Option::is_none).map_while(|line| line);
    let commands = lines.enumerate().map(|(index, line)| {
        let (command, comment) = line.split_once(" # ").unwrap();
        assert!(comment.starts_with(&format!("{}. ", index + 1)), "{line}");
        command.trim().to_owned()
    });
    commands.collect::<Vec<_>>().try_into().unwrap()
}

/// Runs the commands of README.md, from the package to two sensors on their VLAN.
fn follow_readme(lab: &Lab) {
    let [install, init, setup, at_boot, docker, timer, doctor, by_docker, by_podman, status] =
        readme_commands();
    let install = install.strip_prefix("make deb && ").unwrap();
    lab.ok(&format!("cd /root; {install}; {init}")).unwrap();
    lab.ok(&format!("{setup}; {at_boot}; {docker}; {timer}; {doctor} || [ $? = 1 ]")).unwrap();
    for (engine, line) in [("docker", by_docker), ("podman", by_podman)] {
        let line = line.replace("IMAGE", IMAGE);
        assert!(line.contains(IMAGE) && line.starts_with(engine), "{line}");
        // The command keeps the terminal until the sensor is stopped.
        lab.ok(&format!("{line} > /tmp/{engine}.log 2>&1 < /dev/null &")).unwrap();
        let attached = "[.[].vfs[] | select(.state == \"attached\" and .settings.vlan == 100 and .container_name)]";
        let count = if engine == "docker" { 1 } else { 2 };
        let seen = format!("{status} --json | jq -e '{attached} | length == {count}'");
        if let Err(error) = lab.wait_until(Duration::from_secs(90), &seen) {
            panic!("{error}\n{}", lab.sh(&format!("{status}; cat /tmp/{engine}.log")).unwrap());
        }
    }
    let shown = lab.ok(&status).unwrap();
    let sensors = shown.stdout.lines().filter(|line| line.contains(" attached  100   on "));
    assert_eq!(sensors.count(), 2, "{shown}");
    lab.ok("docker rm -f $(docker ps -q); podman rm -fa").unwrap();
    lab.wait_until(Duration::from_secs(30), "[ -z \"$(ls /run/runvf/claims)\" ]").unwrap();
}

/// The links of Markdown files among `files` that lead to no file.
fn dead_links(root: &Path, files: &str) -> Vec<String> {
    let mut dead = Vec::new();
    for document in files.lines().filter(|file| file.ends_with(".md")) {
        let path = root.join(document.trim_start_matches('/'));
        let text = fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let local = links.filter(|link| !link.is_empty() && !link.contains("://"));
        let gone = local.filter(|link| !path.parent().unwrap().join(link).exists());
        dead.extend(gone.map(|link| format!("{document}: {link}")));
    }
    dead
}

/// `make uninstall` keeps the user's own files.
#[test]
fn make_uninstall_removes_what_make_install_installed() {
    let folder = tempfile::tempdir().unwrap();
    let make = |goal: &str| {
        let mut make = Command::new("make");
        make.args(["-s", "-C", "..", goal, &format!("DESTDIR={}", folder.path().display())]);
        // A `make` that runs this test must not pass its options on.
        let made = make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let files = || {
        let found = Command::new("find")
            .arg(folder.path())
            .args(["!", "-type", "d", "-printf", "/%P\n"])
            .output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    make("install");
    let there = files();
    for file in [
        "/usr/bin/runvf\n",
        "/usr/libexec/runvf/runvf-hook\n",
        "/usr/libexec/netavark/runvf\n",
        "/usr/libexec/runvf/runvf-monitor\n",
        "/man1/runvfctl-status.1\n",
        "/fish/vendor_completions.d/runvf.fish\n",
        "/zsh/vendor-completions/_runvfctl\n",
        // Messages name these files.
        "/usr/share/doc/runvf/docs/config.md\n",
        "/usr/share/doc/runvf/bundles/suricata/root/etc/suricata/rules/local.rules\n",
    ] {
        assert!(there.contains(file), "{file} in {there}");
    }
    // Only `runvfctl install podman` registers runvf with Podman.
    assert!(!there.contains("50-runvf.conf") && !there.contains("hooks.d/"), "{there}");
    assert_eq!(dead_links(folder.path(), &there), [""; 0]);
    let config = folder.path().join("etc/runvf");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "pool = []\n").unwrap();
    make("uninstall");
    assert_eq!(files(), "/etc/runvf/config.toml\n");
}

#[test]
fn a_package_is_installed_upgraded_removed_and_purged() {
    let lab = Lab::restore().unwrap();
    push_packages(&lab);
    lab.ok("dpkg -l > /tmp/before").unwrap();
    follow_readme(&lab);
    lab.ok(include_str!("scripts/package_contents.sh")).unwrap();
    let by_runtime = run(
        &lab,
        Engine::PodmanRuntime,
        "--annotation io.runvf.vlan=100",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(by_runtime.text(), "1", "{by_runtime}");

    // A sensor runs on through an upgrade, and prevents the removal of the package.
    lab.ok(include_str!("scripts/package_upgrade.sh")).unwrap();
    let refused = lab.sh("dpkg -r runvf").unwrap();
    assert!(
        refused.status != 0 && refused.stderr.contains("containers still have VFs"),
        "{refused}"
    );
    lab.ok("runvf --version; docker rm -f sensor; [ -z \"$(ls /run/runvf/claims)\" ]").unwrap();
    // So does a container without a VF.
    lab.ok("docker run -d --name plain --runtime runvf runvf/tcpdump sleep 1000").unwrap();
    let refused = lab.sh("dpkg -r runvf").unwrap();
    assert!(
        refused.status != 0 && refused.stderr.contains("these containers use runvf"),
        "{refused}"
    );
    lab.ok("docker rm -f plain").unwrap();
    // So do containers that runc has made behind runvf; containers of runc alone do not.
    let sensor = "runvf/tcpdump sleep 1000";
    lab.ok(&format!(
        "echo 'engine = \"runc\"' > /etc/runvf/runtime.toml; docker run -d --name plain-runc {sensor}
        docker run -d --name behind --runtime runvf {sensor}; podman --runtime runvf run -d --name another {sensor}"
    ))
    .unwrap();
    let id = |engine: &str, name: &str| {
        lab.ok(&format!("{engine} inspect -f '{{{{.Id}}}}' {name}")).unwrap().text().to_owned()
    };
    let refused = lab.sh("dpkg -r runvf").unwrap();
    let names = |id: String| refused.stderr.contains(&id);
    assert!(refused.status != 0, "{refused}");
    assert!(names(id("docker", "behind")) && names(id("podman", "another")), "{refused}");
    assert!(!names(id("docker", "plain-runc")), "{refused}");
    lab.ok("docker rm -f behind; podman rm -f -t 0 another").unwrap();

    // Installed again, it works as before.
    lab.ok(include_str!("scripts/package_reinstall.sh")).unwrap();
    lab.ok("runvfctl install podman").unwrap();
    lab.ok("dpkg -r runvf; [ ! -e /usr/bin/runvf ]; [ ! -e /etc/containers/containers.conf.d/50-runvf.conf ]").unwrap();
    lab.ok("! docker info -f '{{json .Runtimes}}' | grep runvf").unwrap();
    lab.ok("docker rm -f plain-runc; rm /etc/runvf/runtime.toml").unwrap();
    lab.ok("docker run --rm runvf/tcpdump true; podman run --rm runvf/tcpdump true").unwrap();
    lab.ok(include_str!("scripts/purge.sh")).unwrap();
}
