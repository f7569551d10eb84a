//! The bundles: what each sensor lost is exact, and each starts by its Compose file. Also the settings,
//! refusals and frames that `make soak` has no time for.

use crate::card::tests_of;
use crate::{evidence, sensor_settings, sensors, vfio};

tests_of!(sensors:
    tcpdump_says_exactly_what_it_lost,
    suricata_says_exactly_what_it_lost_and_names_the_tenant,
    argus_says_exactly_what_it_lost,
    rules_are_replaced_without_losing_the_vf,
    a_full_log_volume_is_unhealthy_and_a_restart_gets_a_vf_again,
    the_sensors_of_a_tenant_start_by_one_compose_file,
    the_sensors_run_as_oci_bundles_and_lose_nothing,
);

tests_of!(sensor_settings:
    several_channels_on_the_x710_have_a_symmetric_key,
    interrupts_follow_the_cpuset_of_the_container,
    interrupts_on_the_x710_follow_the_cpuset_of_the_container,
);

tests_of!(evidence: sensors_find_what_is_in_jumbo_frames);

tests_of!(vfio:
    a_vf_that_cannot_be_isolated_or_must_not_send_is_refused,
    a_vf_that_shares_its_iommu_group_is_refused,
    dpdk_receives_on_the_x710,
);
