//! The tests of `make trial`: those of `make soak` that depend on chance or on time, with large
//! counts.

use crate::card::{I82576, X710, X710_ON_BACKPORTS};
use crate::differential::bundles_of_seeds_do_the_same_as_with_runc;
use crate::soak::{crowd, cycles, endurance, leaks, monitor};

#[test]
fn a_thousand_attaches_in_crowds_share_the_vfs() {
    crowd::a_crowd_shares_the_vfs(I82576, 25);
}

#[test]
fn four_hundred_killed_attaches_leave_no_vf_claimed() {
    crowd::killed_attaches_leave_no_vf_claimed(I82576, 25);
}

#[test]
fn twelve_hundred_containers_with_random_kills_leave_nothing() {
    endurance::containers_with_random_kills_leave_nothing(4);
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

/// With the other driver, these are more than three thousand different bundles.
#[test]
fn fifteen_hundred_bundles_do_the_same_as_with_runc_under_cgroupfs() {
    assert!(bundles_of_seeds_do_the_same_as_with_runc("cgroupfs", 0..1600) > 1500);
}

#[test]
fn fifteen_hundred_bundles_do_the_same_as_with_runc_under_systemd() {
    assert!(bundles_of_seeds_do_the_same_as_with_runc("systemd", 100_000..101_600) > 1500);
}

#[test]
fn three_hundred_releases_on_the_x710_end_in_no_quarantine() {
    cycles::no_release_ends_in_quarantine(X710, 300);
}

#[test]
fn three_hundred_releases_on_the_x710_under_the_newer_kernel_end_in_no_quarantine() {
    cycles::no_release_ends_in_quarantine(X710_ON_BACKPORTS, 300);
}

#[test]
fn three_hundred_cycles_on_the_x710_with_random_kills_lose_no_vf() {
    cycles::random_kills_lose_no_vf(X710, 300);
}
