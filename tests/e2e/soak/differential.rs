//! More of the comparison with runc.

use std::ops::Range;

use crate::differential::generated_bundles_do_the_same_as_with_runc;

/// About five minutes.
const SEEDS: Range<u64> = 100..260;

#[test]
fn two_minutes_of_generated_bundles_do_the_same_as_with_runc() {
    generated_bundles_do_the_same_as_with_runc(SEEDS, 120);
}
