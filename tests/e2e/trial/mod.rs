//! The tests of `make trial`: those of `make soak` that depend on chance or on time, with large
//! counts; every door with every event; the bundles and other tests that take minutes each.

mod bundle_survives;
mod cdi;
mod cdi_refusals;
mod doors;
mod foreign;
mod hooks_order;
mod lab_selftest;
mod leaks;
mod limits;
mod monitor;
mod netavark;
mod on_the_82576;
mod pods_cri;
mod quadlets;
mod sensors;
mod setup;
mod x710_at_once;

use crate::card::{I82576, X710, X710_ON_BACKPORTS, tests_of, tests_on};
use crate::differential::{bundles_of_seeds_do_the_same_as_with_runc, faults_are_found};
use crate::everyday::{DOCKER, PODMAN, TABLE, as_with_runc};
use crate::evidence;
use crate::fault_points::Faults;
use crate::soak::{
    bad_input, crowd, cycles, delegate, doors as soak_doors, endurance, fault_points,
    first_process, host_events, interrupted, pods, policy, probe, processes, registration, scrub,
    x710_sensors,
};
use crate::vfio::killed_containers_lose_no_vf;

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
    endurance::containers_with_random_kills_leave_nothing(20);
}

#[test]
fn a_hundred_killed_containers_lose_no_vf() {
    killed_containers_lose_no_vf(100);
}

#[test]
fn attach_and_release_on_the_82576_recover_at_every_passing_of_a_fault_point() {
    fault_points::attach_recovers(I82576, Faults::All);
    fault_points::release_recovers(I82576, Faults::All);
}

#[test]
fn attach_and_release_on_the_x710_recover_at_every_passing_of_a_fault_point() {
    fault_points::attach_recovers(X710, Faults::All);
    fault_points::release_recovers(X710, Faults::All);
}

#[test]
fn the_other_procedures_recover_at_every_passing_of_a_fault_point() {
    fault_points::creation_recovers(Faults::All);
    fault_points::audit_entries_recover(Faults::All);
    fault_points::gc_recovers(Faults::All);
    fault_points::repair_recovers(Faults::All);
}

#[test]
fn parking_and_a_re_arm_after_a_change_of_the_pf_recover_from_a_kill_at_every_point() {
    fault_points::parking_recovers_at_every_fault_point();
    fault_points::a_re_arm_after_a_change_of_the_pf_recovers_from_a_kill_at_every_point();
}

#[test]
fn docker_does_with_runvf_what_it_does_with_runc() {
    as_with_runc(&DOCKER, TABLE);
}

#[test]
fn podman_does_with_runvf_what_it_does_with_runc() {
    as_with_runc(&PODMAN, TABLE);
}

#[test]
fn setup_recovers_at_every_fault_point() {
    fault_points::setup_recovers_at_every_fault_point();
}

tests_of!(delegate:
    a_changed_engine_applies_to_new_containers_only,
    a_sensor_runs_under_runc,
    refusals_and_plain_containers_under_runc,
);
tests_of!(evidence: sensors_find_live_what_they_find_in_a_file);
tests_of!(soak_doors: the_lines_of_the_readme_start_a_sensor_at_each_door);
tests_of!(pods: ctr_runs_containers_with_runvf_as_with_runc);
tests_of!(processes: the_limit_of_open_files_is_as_specified_each_time);
tests_of!(registration:
    a_hand_written_daemon_json_and_its_default_runtime_are_restored,
    a_configuration_that_docker_would_refuse_is_not_written,
    containerd_gets_a_second_runtime,
);
tests_of!(x710_sensors: a_re_arm_that_is_killed_is_finished_by_the_next_gc);

#[test]
fn podman_refuses_bad_annotations_and_hosts_without_a_usable_vf() {
    bad_input::podman_with_hooks_refuses_bad_annotations(I82576);
    bad_input::podman_with_hooks_refuses_on_hosts_without_a_usable_vf(I82576);
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

#[test]
fn eighty_three_attaches_at_once_share_sixty_four_vfs() {
    crowd::a_crowd_shares_the_vfs(X710, 2);
}

#[test]
fn a_hundred_killed_attaches_on_the_x710_leave_no_vf_claimed() {
    crowd::killed_attaches_leave_no_vf_claimed(X710, 7);
}

#[test]
fn generated_bundles_find_faults() {
    faults_are_found("--no-shrink --seed 0..8");
}

// What make test and make soak do on the 82576, and what the card hardly changes.
tests_on!(X710, first_process: the_end_of_the_process_leaves_a_clean_vf, changes_by_the_container_are_undone);
tests_on!(X710, host_events:
    a_disabled_link_is_set_back,
    a_setting_of_the_pf_that_promiscuity_needs_is_turned_on_again,
    the_pf_loses_its_driver_and_gets_it_back,
    a_recreated_vf_in_another_netns_is_not_touched,
    a_recreated_vf_of_the_host_is_not_touched,
    the_host_is_reset_under_its_sensors,
    a_container_hides_its_vf_in_a_netns_of_its_own,
);
tests_on!(X710, bad_input: docker_refuses_on_hosts_without_a_usable_vf);
tests_on!(X710, interrupted: a_delete_beside_a_locked_pf_ends_within_20_seconds);
tests_on!(X710, policy: a_quota_holds_under_concurrent_attaches);
tests_on!(X710, probe: a_killed_or_stopped_probe_leaves_no_vf_claimed);
tests_on!(X710, scrub: a_hanging_driver_does_not_block_the_engine);
tests_on!(X710, scrub: a_vf_returns_with_its_former_settings_under_docker_and_podman_with_runvf);
