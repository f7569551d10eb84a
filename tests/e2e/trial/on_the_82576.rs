//! What `make test` runs on the X710, and what hardly depends on the card, on the 82576. The rest is in
//! `soak::on_the_82576`.

use crate::card::{I82576, tests_on};
use crate::soak::{bad_input, first_process, host_events, policy, probe, scrub};
use crate::{doctor, foreign, interrupted, resets, setup};

tests_on!(I82576, bad_input: docker_refuses_on_hosts_without_a_usable_vf);
tests_on!(I82576, doctor: doctor_finds_each_fault_and_nothing_else);
tests_on!(I82576, first_process: changes_by_the_container_are_undone);
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
