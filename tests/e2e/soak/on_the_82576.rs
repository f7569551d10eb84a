//! The tests that `make test` runs on the X710 only, on the 82576.

use crate::card::{I82576, tests_on};
use crate::{bad_input, host_events, policy, probe, scrub};

tests_on!(I82576, bad_input:
    docker_refuses_one_bad_annotation_of_each_kind,
    podman_with_runvf_refuses_bad_input,
    an_interface_name_that_the_engine_uses_is_refused,
    the_hook_refuses_an_invalid_state,
    an_attach_at_the_task_limit_reports_the_error,
    a_spec_that_moves_a_netdev_of_runvf_is_refused,
    the_hook_refuses_a_netdev_of_runvf_before_and_after_its_move,
);

tests_on!(I82576, host_events:
    a_netns_outlives_its_containers,
    promiscuity_that_is_turned_off_inside_is_turned_on_again,
    a_changed_vlan_and_trust_are_set_back,
    vfs_are_destroyed_and_created_again,
    the_vf_loses_its_driver,
);

tests_on!(I82576, policy:
    attach_requires_a_writable_audit_log_and_release_does_not,
    a_tenant_gets_only_its_own_vlans_under_docker,
    config_check_reports_each_problem,
);

tests_on!(I82576, probe: probe_measures_the_card_and_frees_its_vfs);

tests_on!(I82576, scrub:
    a_vf_returns_with_its_former_settings_under_podman_with_hooks,
    programs_and_queues_of_a_container_are_removed,
    a_vf_that_cannot_be_cleaned_is_quarantined_until_repair_under_docker,
    repair_forgets_a_quarantined_vf_that_vanished,
);
