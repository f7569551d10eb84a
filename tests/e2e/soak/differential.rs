//! Five minutes of generated bundles, and faults that are found in them.

use crate::differential::{faults_are_found, generated_bundles_do_the_same_as_with_runc};

#[test]
fn five_minutes_of_generated_bundles_do_the_same_as_with_runc() {
    generated_bundles_do_the_same_as_with_runc(300);
}

#[test]
fn generated_bundles_find_faults() {
    faults_are_found("--no-shrink --seed 0..8");
}
