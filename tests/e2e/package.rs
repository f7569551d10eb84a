//! The Debian package on a host that has never seen runvf: installed, used, upgraded, removed, purged.

use lab::Lab;

use crate::engine::{Engine, run};

const CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n";

/// `tests/run` packs both: the version of Cargo.toml, and one after it.
fn push(lab: &Lab) {
    let package = |name: &str| (lab::built().join(name), format!("/tmp/{name}"), 0o644);
    lab.push_tree(vec![package("one.deb"), package("two.deb")]).unwrap();
}

fn sees_a_carrier(lab: &Lab, engine: Engine) {
    let output =
        run(lab, engine, "--annotation io.runvf.vlan=100", "cat /sys/class/net/mon0/carrier");
    assert_eq!(output.text(), "1", "{engine:?}: {output}");
}

#[test]
fn a_package_lives_from_its_installation_to_its_purge() {
    let lab = Lab::restore().unwrap();
    push(&lab);
    lab.ok("dpkg -l > /tmp/before; dpkg -i /tmp/one.deb; systemctl is-active runvf-gc.timer; mkdir -p /etc/runvf").unwrap();
    lab.write("/etc/runvf/config.toml", CONFIG).unwrap();
    // The guest keeps no manuals and no documents.
    lab.ok("runvfctl install docker; [ -z \"$(dpkg --verify runvf | grep -vE '/usr/share/(man|doc)/')\" ]
            dpkg-deb --fsys-tarfile /tmp/one.deb | tar t | grep -c '/man1/runvf.1.gz\\|/man1/runvfctl-status.1.gz' | grep 2
            bash -c 'source /usr/share/bash-completion/completions/runvfctl; complete -p runvfctl'")
        .unwrap();
    sees_a_carrier(&lab, Engine::Docker);
    sees_a_carrier(&lab, Engine::PodmanHooks);
    sees_a_carrier(&lab, Engine::PodmanRuntime);

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
    assert!(refused.status != 0 && refused.stderr.contains("containers run under it"), "{refused}");
    lab.ok("docker rm -f plain").unwrap();

    lab.ok("dpkg -r runvf; [ ! -e /usr/bin/runvf ]; ! docker info -f '{{json .Runtimes}}' | grep runvf").unwrap();
    lab.ok("docker run --rm runvf/tcpdump true; podman run --rm runvf/tcpdump true").unwrap();
    lab.ok("dpkg -P runvf; cat /etc/runvf/config.toml | grep sensors; dpkg -l > /tmp/after; diff /tmp/before /tmp/after
            ! find / -xdev -name '*runvf*' -not -path '/proc/*' -not -path '/var/lib/docker/*' -not -path '/var/lib/containers/*' -not -path '/var/lib/containerd/*' \
                -not -path '/tmp/*' -not -path '/etc/runvf*' -not -path '/var/lib/runvf-bundles*' -not -path '/var/log/*' | grep .")
        .unwrap();
}
