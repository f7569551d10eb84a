//! The whole table of everyday operations, under both engines and with all engines behind runvf.

use crate::everyday::{DOCKER, PODMAN, as_with_recorded_runc};

#[test]
fn docker_does_with_runvf_what_it_does_with_runc() {
    as_with_recorded_runc(&DOCKER);
}

#[test]
fn podman_does_with_runvf_what_it_does_with_runc() {
    as_with_recorded_runc(&PODMAN);
}
