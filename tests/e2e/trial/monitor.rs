//! The monitor: many kills, many VFs, floods, a browser, and the reactions that `make test` and
//! `make soak` do not show.

use crate::card::{I82576, X710};
use crate::monitor::a_container_without_its_vf_is_stopped_and_a_vf_without_its_container_released as lost_and_dead;
use crate::monitor::{self, shown};
use crate::soak::monitor as soak;

#[test]
fn two_hundred_kills_of_the_monitor_harm_nothing() {
    soak::kills_of_the_monitor_harm_nothing(10);
}

#[test]
fn sixty_four_idle_vfs_cost_two_wake_ups_a_second_and_20_mib() {
    soak::sixty_four_idle_vfs_cost_two_wake_ups_a_second_and_20_mib();
}

#[test]
fn floods_and_bad_input_leave_the_monitor_up_and_small() {
    soak::floods_and_bad_input_leave_the_monitor_up_and_small();
}

#[test]
fn the_page_shows_live_sensors_in_a_browser() {
    soak::the_page_shows_live_sensors_in_a_browser();
}

#[test]
fn on_the_x710_a_container_without_its_vf_is_stopped_and_a_vf_without_its_container_released() {
    lost_and_dead(X710);
}

#[test]
fn on_the_82576_a_container_without_its_vf_is_stopped_and_a_vf_without_its_container_released() {
    lost_and_dead(I82576);
}

#[test]
fn the_service_is_ready_is_sandboxed_and_comes_back_after_a_kill() {
    monitor::the_service_is_ready_is_sandboxed_and_comes_back_after_a_kill();
}

#[test]
fn a_pf_of_the_x710_that_goes_down_is_noticed() {
    monitor::a_pf_of_the_x710_that_goes_down_is_noticed();
}

#[test]
fn a_pf_of_the_82576_that_is_down_is_noticed() {
    shown::a_pf_of_the_82576_that_is_down_is_noticed();
}

#[test]
fn a_lost_carrier_is_an_open_gap_until_the_carrier_is_back() {
    shown::a_lost_carrier_is_an_open_gap_until_the_carrier_is_back();
}

#[test]
fn a_container_that_joins_a_sensor_is_told_once_and_a_process_of_the_sensor_is_not() {
    shown::a_container_that_joins_a_sensor_is_told_once_and_a_process_of_the_sensor_is_not();
}

#[test]
fn promiscuity_that_was_turned_off_is_only_reported_if_the_pool_says_so() {
    shown::promiscuity_that_was_turned_off_is_only_reported_if_the_pool_says_so();
}
