//! The everyday operations with another runtime behind runvf, in all columns of Docker. `make trial`
//! runs the whole table under both engines.

use crate::everyday::{DOCKER, Operation, TABLE, as_with_runc};

#[test]
fn docker_does_with_runvf_and_a_runtime_behind_it_what_it_does_with_runc() {
    let of_delegates: Vec<Operation> =
        TABLE.iter().copied().filter(|operation| operation.delegated == Some("docker")).collect();
    assert!(of_delegates.len() >= 4, "{} operations", of_delegates.len());
    as_with_runc(&DOCKER, &of_delegates);
}
