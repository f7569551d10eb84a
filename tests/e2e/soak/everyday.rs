//! Each everyday operation under one engine, and with all runtimes behind runvf. `make trial` runs
//! the whole table under Podman.

use crate::everyday::{DOCKER, Operation, PODMAN, TABLE, as_with_runc};

#[test]
fn docker_does_with_runvf_what_it_does_with_runc() {
    as_with_runc(&DOCKER, TABLE);
}

/// The operations that Docker does not have.
#[test]
fn podman_does_with_runvf_what_only_podman_does_with_runc() {
    let of_podman: Vec<Operation> =
        TABLE.iter().copied().filter(|operation| !operation.is_for("docker")).collect();
    assert!(of_podman.len() >= 5, "{} operations", of_podman.len());
    as_with_runc(&PODMAN, &of_podman);
}
