//! The tests of `make trial`: those of `make soak` that depend on chance or on time, with large
//! counts; every door with every event; the bundles and other tests that take minutes each.

mod bundle_survives;
mod cdi;
mod doors;
mod hooks_order;
mod lab_selftest;
mod leaks;
mod monitor;
mod netavark;
mod pods_cri;
mod quadlets;
mod sensors;
mod setup;

use crate::card::{I82576, X710, X710_ON_BACKPORTS, tests_of, tests_on};
use crate::differential::{bundles_of_seeds_do_the_same_as_with_runc, faults_are_found};
use crate::everyday::{DOCKER, PODMAN, TABLE, as_with_runc};
use crate::evidence;
use crate::fault_points::Faults;
use crate::soak::{
    bad_input, cdi as soak_cdi, crowd, cycles, delegate, doors as soak_doors, endurance,
    fault_points, first_process, foreign, host_events, interrupted, limits, pods, policy, probe,
    processes, registration, scrub, x710_at_once, x710_sensors,
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
fn twenty_thousand_links_and_four_hundred_thousand_open_files_do_not_delay_removals() {
    limits::hoarders_do_not_delay_removals(20_000, 400_000);
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

tests_of!(soak_cdi: a_refusal_of_a_device_reaches_the_user);
tests_of!(delegate:
    a_changed_engine_applies_to_new_containers_only,
    a_sensor_runs_under_runc,
    refusals_and_plain_containers_under_runc,
);
tests_of!(evidence: sensors_find_live_what_they_find_in_a_file);
tests_of!(soak_doors: the_lines_of_the_readme_start_a_sensor_at_each_door);
tests_of!(limits: limits_change_while_a_container_runs);
tests_of!(pods: ctr_runs_containers_with_runvf_as_with_runc);
tests_of!(processes: the_limit_of_open_files_is_as_specified_each_time);
tests_of!(registration:
    a_hand_written_daemon_json_and_its_default_runtime_are_restored,
    a_configuration_that_docker_would_refuse_is_not_written,
    containerd_gets_a_second_runtime,
);
tests_of!(x710_at_once: twenty_containers_on_one_pf_start_and_end_at_once);
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
tests_on!(X710, foreign: a_vf_in_foreign_use_is_never_claimed);
tests_on!(X710, interrupted: a_delete_beside_a_locked_pf_ends_within_20_seconds);
tests_on!(X710, policy: a_quota_holds_under_concurrent_attaches);
tests_on!(X710, probe: a_killed_or_stopped_probe_leaves_no_vf_claimed);
tests_on!(X710, scrub: a_hanging_driver_does_not_block_the_engine);
tests_on!(X710, scrub: a_vf_returns_with_its_former_settings_under_docker_and_podman_with_runvf);

mod on_the_82576 {
    use crate::card::{I82576, tests_on};
    use crate::soak::{
        bad_input, first_process, foreign as soak_foreign, host_events, policy, probe, scrub,
    };
    use crate::{doctor, foreign, interrupted, resets, setup};

    tests_on!(I82576, bad_input: docker_refuses_on_hosts_without_a_usable_vf);
    tests_on!(I82576, doctor: doctor_finds_each_fault_and_nothing_else);
    tests_on!(I82576, first_process: changes_by_the_container_are_undone);
    tests_on!(I82576, soak_foreign:
        an_unreadable_claim_is_kept_until_repair,
        a_vf_in_foreign_use_is_never_claimed,
    );
    tests_on!(I82576, foreign:
        late_and_repeated_releases_change_nothing,
        an_attach_that_waited_reconciles_again,
        an_interface_name_is_free_after_its_owner_died,
        a_lost_vf_with_a_foreign_driver_is_kept,
        a_vf_under_a_macvlan_is_not_claimed,
        a_pf_that_is_a_port_of_a_bridge_or_a_bond_serves_its_vfs,
        a_vf_is_quarantined_while_its_pf_is_in_another_netns,
        a_vf_that_returned_into_a_bridge_is_released,
        delete_of_a_missing_container_releases_its_vf,
        gc_removes_an_old_claim_of_a_free_vf,
        an_old_claim_does_not_release_the_vf_of_another_owner,
        a_claim_with_another_nonce_is_kept_while_its_owner_lives,
        repair_removes_an_unreadable_claim_of_a_missing_vf,
    );
    tests_on!(I82576, interrupted:
        the_next_attach_reconciles_the_claim_of_a_killed_attach,
        gc_releases_the_vf_of_a_dead_owner,
        a_claim_of_a_newer_runvf_is_kept_and_named,
        an_attach_reconciles_only_the_pfs_that_it_may_use,
    );
    tests_on!(I82576, host_events:
        a_recreated_vf_in_another_netns_is_not_touched,
        a_recreated_vf_in_a_netns_without_processes_is_not_touched,
        a_recreated_vf_of_the_host_is_not_touched,
        the_pf_loses_its_driver_and_gets_it_back,
        the_host_is_reset_under_its_sensors,
        a_container_hides_its_vf_in_a_netns_of_its_own,
        a_container_hides_its_vf_behind_a_descriptor,
    );
    tests_on!(I82576, policy: a_tenant_gets_only_its_own_vlans_under_podman_with_hooks);
    tests_on!(I82576, probe: a_killed_or_stopped_probe_leaves_no_vf_claimed);
    tests_on!(I82576, resets: unknown_unicast_arrives_again_after_each_reset);
    tests_on!(I82576, scrub:
        a_hanging_driver_does_not_block_the_engine,
        a_vf_that_cannot_be_cleaned_is_quarantined_until_repair_under_podman,
    );
    tests_on!(I82576, setup: free_vfs_rest_without_a_driver_and_get_it_back);
}
