//! More of what sensors get and what they must not do: on the 82576, and by DPDK.

use crate::card::tests_of;
use crate::{receive_only, sensor_settings, vfio};

tests_of!(receive_only:
    no_frame_of_a_receive_only_sensor_reaches_the_wire,
    the_first_process_has_no_af_xdp_socket_with_and_without_a_profile,
);

tests_of!(sensor_settings:
    a_sensor_on_igb_has_the_settings_of_its_pool,
    a_setting_that_the_driver_lacks_refuses_the_container_and_says_why,
);

tests_of!(vfio: dpdk_receives_the_frames_of_its_vlan_and_the_vf_comes_back);

#[test]
fn ten_killed_containers_lose_no_vf() {
    vfio::killed_containers_lose_no_vf(10);
}
