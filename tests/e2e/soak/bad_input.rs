//! Every bad annotation, and every state of the host that keeps runvf from attaching a VF. `make trial`
//! does the same under Podman.

use lab::HostKind;

use crate::bad_input::{bad_annotations, bad_annotations_are_refused, refused};
use crate::card::Card;
use crate::engine::Engine;
use crate::host::{configure, leave, prepared_on, settle, state};

fn docker_refuses_bad_annotations(host: HostKind) {
    bad_annotations_are_refused(host, Engine::Docker, &bad_annotations());
}

pub(crate) fn podman_with_hooks_refuses_bad_annotations(host: HostKind) {
    bad_annotations_are_refused(host, Engine::PodmanHooks, &bad_annotations());
}

/// The host cannot serve the container, and the error must say so.
fn unusable_hosts_are_refused(host: HostKind, engine: Engine) {
    const ASKS: &str = "--annotation io.runvf.vlan=100";
    let pool = |pf: &str| format!("[[pool]]\nname = \"sensors\"\npfs = [\"{pf}\"]\n");
    let lab = prepared_on(host);
    let card = Card::of(&lab);
    let before = state(&lab);

    lab.ok("ip link set pf0 down").unwrap();
    refused(&lab, &state(&lab), engine, ASKS, "PF pf0 is down; run `ip link set pf0 up`");
    lab.ok("ip link set pf0 up").unwrap();

    configure(&lab, &pool("pf9"));
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "PF pf9 of pool `sensors` does not exist; see `ip -br link`",
    );
    configure(&lab, &pool("mirror0"));
    refused(&lab, &state(&lab), engine, ASKS, "PF mirror0 does not support SR-IOV; ");

    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = \"pf0\"\n");
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml: line 3: invalid type: string",
    );
    configure(&lab, "[[pool");
    refused(&lab, &state(&lab), engine, ASKS, "/etc/runvf/config.toml: line 1: ");
    configure(&lab, &pool("pf0"));
    lab.ok("chmod 666 /etc/runvf/config.toml").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml: users other than root can write it; ",
    );
    lab.ok("rm /etc/runvf/config.toml").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        &format!(
            "/etc/runvf/config.toml does not exist; an example for this machine: \
             pool = [{{ name = \"sensors\", pfs = [{}] }}]",
            card.quoted_pfs()
        ),
    );

    configure(&lab, &pool("pf0"));
    lab.ok("chmod 644 /etc/runvf/config.toml").unwrap();
    // Three VFs, all in use.
    lab.ok("for vf in 0 1 2; do ip link set enp1s0v$vf up; done").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "no free VF in pool `sensors`: pf0 has 0 claimed and 3 in use by something else; stop a sensor",
    );
    lab.ok("for vf in 0 1 2; do ip link set enp1s0v$vf down; done").unwrap();

    // The VFs have no driver, and it cannot be loaded.
    let module = card.vf_driver;
    lab.ok(&format!(
        "rmmod {module}; echo 'install {module} /bin/false' > /etc/modprobe.d/no-vfs.conf"
    ))
    .unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        &format!(
            "VF {vf}: the VF driver did not create a netdev within 10 s; see `dmesg` for {vf}",
            vf = card.vf(0)
        ),
    );
    lab.ok(&format!("rm /etc/modprobe.d/no-vfs.conf; modprobe {module}")).unwrap();
    settle(&lab, 3);
    leave(lab, &before);
}

pub(crate) fn docker_refuses_on_hosts_without_a_usable_vf(host: HostKind) {
    unusable_hosts_are_refused(host, Engine::Docker);
}

pub(crate) fn podman_with_hooks_refuses_on_hosts_without_a_usable_vf(host: HostKind) {
    unusable_hosts_are_refused(host, Engine::PodmanHooks);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        docker_refuses_bad_annotations,
    );
}
