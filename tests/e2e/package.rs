//! The Debian package on a host that has never seen runvf: installed and used as README.md says, upgraded, removed, purged.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::Lab;

use crate::engine::{Engine, IMAGE, run};

/// `tests/run` packs both: the version of Cargo.toml, and one after it. `make deb` leaves the first where README.md has it.
fn push(lab: &Lab) {
    let package = |name: &str, goal: &str| (lab::target_dir().join(name), goal.to_owned(), 0o644);
    lab.push_tree(vec![
        package("one.deb", "/root/target/runvf_one.deb"),
        package("two.deb", "/tmp/two.deb"),
    ])
    .unwrap();
}

/// The ten commands of README.md for a machine like this one.
fn ten_lines() -> [String; 10] {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = |text: &&str| text.starts_with("Use it, on real hardware\n");
    let section = readme.split("\n## ").find(section).unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = lines.enumerate().map(|(index, line)| {
        let (command, told) = line.split_once(" # ").unwrap();
        assert!(told.starts_with(&format!("{}. ", index + 1)), "{line}");
        command.trim().to_owned()
    });
    commands.collect::<Vec<_>>().try_into().unwrap()
}

/// From the package to two sensors on their VLAN with what README.md says, and nothing else.
fn walk(lab: &Lab) {
    let [install, init, setup, at_boot, docker, timer, doctor, by_docker, by_podman, status] =
        ten_lines();
    let install = install.strip_prefix("make deb && ").unwrap();
    lab.ok(&format!("cd /root; {install}; {init}")).unwrap();
    lab.ok(&format!("{setup}; {at_boot}; {docker}; {timer}; {doctor} || [ $? = 1 ]")).unwrap();
    for (engine, line) in [("docker", by_docker), ("podman", by_podman)] {
        let line = line.replace("IMAGE", IMAGE);
        assert!(line.contains(IMAGE) && line.starts_with(engine), "{line}");
        // It is the terminal's until somebody stops it.
        lab.ok(&format!("{line} > /tmp/{engine}.log 2>&1 < /dev/null &")).unwrap();
        let its = "[.[].vfs[] | select(.state == \"attached\" and .settings.vlan == 100 and .container_name)]";
        let count = if engine == "docker" { 1 } else { 2 };
        let seen = format!("{status} --json | jq -e '{its} | length == {count}'");
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

/// Of the documents among these files: what they name and is not there.
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

/// Who builds for himself gets the same files, and is rid of them but for what is his own.
#[test]
fn what_make_installs_it_uninstalls() {
    let folder = tempfile::tempdir().unwrap();
    let make = |goal: &str| {
        let mut make = Command::new("make");
        make.args(["-s", "-C", "..", goal, &format!("DESTDIR={}", folder.path().display())]);
        // The one that may have started this has nothing to say to it.
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
        "/man1/runvfctl-status.1\n",
        "/fish/vendor_completions.d/runvf.fish\n",
        "/zsh/vendor-completions/_runvfctl\n",
        // Where messages send their readers.
        "/usr/share/doc/runvf/docs/config.md\n",
        "/usr/share/doc/runvf/bundles/suricata/root/etc/suricata/rules/local.rules\n",
    ] {
        assert!(there.contains(file), "{file} in {there}");
    }
    assert_eq!(dead_links(folder.path(), &there), [""; 0]);
    let config = folder.path().join("etc/runvf");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "pool = []\n").unwrap();
    make("uninstall");
    assert_eq!(files(), "/etc/runvf/config.toml\n");
}

#[test]
fn a_package_lives_from_its_installation_to_its_purge() {
    let lab = Lab::restore().unwrap();
    push(&lab);
    lab.ok("dpkg -l > /tmp/before").unwrap();
    walk(&lab);
    // The guest keeps no manuals and no documents.
    lab.ok("systemctl is-active runvf-gc.timer; [ -z \"$(dpkg --verify runvf | grep -vE '/usr/share/(man|doc)/')\" ]
            dpkg-deb --fsys-tarfile /root/target/runvf_one.deb | tar t | grep -c '/man1/runvf.1.gz\\|/man1/runvfctl-status.1.gz' | grep 2
            bash -c 'source /usr/share/bash-completion/completions/runvfctl; complete -p runvfctl'")
        .unwrap();
    let by_runtime = run(
        &lab,
        Engine::PodmanRuntime,
        "--annotation io.runvf.vlan=100",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(by_runtime.text(), "1", "{by_runtime}");

    // A sensor that runs is none the worse for an upgrade, and keeps the package from being removed.
    lab.ok("docker run -d --name sensor --runtime runvf --annotation io.runvf.vlan=200 runvf/tcpdump sleep 1000
            dpkg -i /tmp/two.deb; dpkg-query -W -f '${Version}' runvf | grep '+1$'; docker exec sensor cat /sys/class/net/mon0/carrier")
        .unwrap();
    let refused = lab.sh("dpkg -r runvf").unwrap();
    assert!(
        refused.status != 0 && refused.stderr.contains("containers still have VFs"),
        "{refused}"
    );
    lab.ok("runvf --version; docker rm -f sensor; [ -z \"$(ls /run/runvf/claims)\" ]").unwrap();
    // So does one without a VF.
    lab.ok("docker run -d --name plain --runtime runvf runvf/tcpdump sleep 1000").unwrap();
    let refused = lab.sh("dpkg -r runvf").unwrap();
    assert!(
        refused.status != 0 && refused.stderr.contains("these containers use runvf"),
        "{refused}"
    );
    lab.ok("docker rm -f plain").unwrap();
    // And one that another runtime behind runvf has made, while that one's own are nobody's business.
    let sensor = "runvf/tcpdump sleep 1000";
    lab.ok(&format!(
        "echo 'engine = \"runc\"' > /etc/runvf/runtime.toml; docker run -d --name theirs {sensor}
        docker run -d --name behind --runtime runvf {sensor}; podman --runtime runvf run -d --name another {sensor}"
    ))
    .unwrap();
    let id = |engine: &str, name: &str| {
        lab.ok(&format!("{engine} inspect -f '{{{{.Id}}}}' {name}")).unwrap().text().to_owned()
    };
    let refused = lab.sh("dpkg -r runvf").unwrap();
    let says = |id: String| refused.stderr.contains(&id);
    assert!(refused.status != 0, "{refused}");
    assert!(says(id("docker", "behind")) && says(id("podman", "another")), "{refused}");
    assert!(!says(id("docker", "theirs")), "{refused}");
    lab.ok("docker rm -f behind; podman rm -f -t 0 another").unwrap();

    // It comes back as it was.
    lab.ok("dpkg -r runvf; ! systemctl is-active runvf-gc.timer; dpkg -i /tmp/two.deb; systemctl is-active runvf-gc.timer
            systemctl is-enabled runvf-setup.service; runvfctl install docker")
        .unwrap();
    lab.ok("dpkg -r runvf; [ ! -e /usr/bin/runvf ]; ! docker info -f '{{json .Runtimes}}' | grep runvf").unwrap();
    lab.ok("docker rm -f theirs; rm /etc/runvf/runtime.toml").unwrap();
    lab.ok("docker run --rm runvf/tcpdump true; podman run --rm runvf/tcpdump true").unwrap();
    lab.ok("dpkg -P runvf; cat /etc/runvf/config.toml | grep sensors; dpkg -l > /tmp/after; diff /tmp/before /tmp/after
            ! find / -xdev -name '*runvf*' -not -path '/proc/*' -not -path '/var/lib/docker/*' -not -path '/var/lib/containers/*' -not -path '/var/lib/containerd/*' \
                -not -path '/tmp/*' -not -path '/root/target/*' -not -path '/etc/runvf*' -not -path '/var/lib/runvf-bundles*' -not -path '/var/log/*' | grep .")
        .unwrap();
}
