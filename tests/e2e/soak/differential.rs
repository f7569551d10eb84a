//! More of the comparison with runc.

use crate::differential::{faults_are_found, generated_bundles_do_the_same_as_with_runc};

/// The first of the bundles that the minute of `make test` does not reach.
const FIRST: u64 = 100;

#[test]
fn five_minutes_of_generated_bundles_do_the_same_as_with_runc() {
    generated_bundles_do_the_same_as_with_runc(FIRST, 300);
}

#[test]
fn generated_bundles_find_faults() {
    faults_are_found("--no-shrink --seed 0..8");
}
