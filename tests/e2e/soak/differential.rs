//! More of the comparison with runc.

use std::ops::Range;

use crate::differential::{faults_are_found, generated_bundles_do_the_same_as_with_runc};

/// About five minutes.
const SEEDS: Range<u64> = 100..260;

#[test]
fn five_minutes_of_generated_bundles_do_the_same_as_with_runc() {
    generated_bundles_do_the_same_as_with_runc(SEEDS, 300);
}

#[test]
fn generated_bundles_find_faults() {
    faults_are_found("--no-shrink --seed 0..8");
}
