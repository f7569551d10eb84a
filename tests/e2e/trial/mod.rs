//! The tests of `make trial`: those of `make soak` that depend on chance or on time, with large
//! counts.

use crate::differential::bundles_of_seeds_do_the_same_as_with_runc;
use crate::soak::{crowd, endurance, leaks, limits, monitor};

#[test]
fn a_thousand_attaches_in_crowds_share_the_vfs() {
    crowd::a_crowd_shares_the_vfs(25);
}

#[test]
fn four_hundred_killed_attaches_leave_no_vf_claimed() {
    crowd::killed_attaches_leave_no_vf_claimed(25);
}

#[test]
fn twelve_hundred_containers_with_random_kills_leave_nothing() {
    endurance::containers_with_random_kills_leave_nothing(10);
}

#[test]
fn two_hundred_kills_of_the_monitor_harm_nothing() {
    monitor::kills_of_the_monitor_harm_nothing(10);
}

#[test]
fn five_thousand_execs_leave_nothing() {
    leaks::execs_leave_nothing(200);
}

#[test]
fn a_thousand_containers_leave_nothing() {
    leaks::containers_leave_nothing(40);
}

#[test]
fn twenty_thousand_links_and_four_hundred_thousand_open_files_do_not_delay_removals() {
    limits::hoarders_do_not_delay_removals(20_000, 400_000);
}

/// With the other driver, these are more than three thousand different bundles.
#[test]
fn fifteen_hundred_bundles_do_the_same_as_with_runc_under_cgroupfs() {
    assert!(bundles_of_seeds_do_the_same_as_with_runc("cgroupfs", 0..1600) > 1500);
}

#[test]
fn fifteen_hundred_bundles_do_the_same_as_with_runc_under_systemd() {
    assert!(bundles_of_seeds_do_the_same_as_with_runc("systemd", 100_000..101_600) > 1500);
}
