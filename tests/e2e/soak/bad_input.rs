//! Every bad annotation, and every reason on the host's side for which no VF can be attached.

use crate::bad_input::{bad_annotations, bad_annotations_are_refused, refused};
use crate::engine::Engine;
use crate::host::{configure, leave, prepared, settle, state};

#[test]
fn docker_refuses_bad_annotations() {
    bad_annotations_are_refused(Engine::Docker, &bad_annotations());
}

#[test]
fn podman_with_hooks_refuses_bad_annotations() {
    bad_annotations_are_refused(Engine::PodmanHooks, &bad_annotations());
}

/// The host cannot serve the container, and the error must say so.
fn unusable_hosts_are_refused(engine: Engine) {
    const ASKS: &str = "--annotation io.runvf.vlan=100";
    let pool = |pf: &str| format!("[[pool]]\nname = \"sensors\"\npfs = [\"{pf}\"]\n");
    let lab = prepared();
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
        "/etc/runvf/config.toml: somebody other than root may write it; ",
    );
    lab.ok("rm /etc/runvf/config.toml").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml does not exist; one for this machine is: \
         pool = [{ name = \"sensors\", pfs = [\"pf0\", \"pf1\", \"pf2\"] }]",
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
    lab.ok("rmmod igbvf; echo 'install igbvf /bin/false' > /etc/modprobe.d/no-igbvf.conf").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "VF 0000:01:10.0: the VF driver did not create a netdev within 10 s; see `dmesg` for 0000:01:10.0",
    );
    lab.ok("rm /etc/modprobe.d/no-igbvf.conf; modprobe igbvf").unwrap();
    settle(&lab, 3);
    leave(lab, &before);
}

#[test]
fn docker_refuses_on_hosts_without_a_usable_vf() {
    unusable_hosts_are_refused(Engine::Docker);
}

#[test]
fn podman_with_hooks_refuses_on_hosts_without_a_usable_vf() {
    unusable_hosts_are_refused(Engine::PodmanHooks);
}
