//! The whole table of everyday operations, under both engines and with all engines behind runvf.

use crate::everyday::{DOCKER, PODMAN, TABLE, as_with_runc};

#[test]
fn docker_does_with_runvf_what_it_does_with_runc() {
    as_with_runc(&DOCKER, TABLE);
}

#[test]
fn podman_does_with_runvf_what_it_does_with_runc() {
    as_with_runc(&PODMAN, TABLE);
}
