//! More of VFs by vfio-pci: random kills, and DPDK on the X710.

use crate::vfio::{dpdk_receives_on_the_x710, killed_containers_lose_no_vf};

#[test]
fn ten_killed_containers_lose_no_vf() {
    killed_containers_lose_no_vf(10);
}

#[test]
fn dpdk_receives_the_frames_of_its_vlan_on_the_x710() {
    dpdk_receives_on_the_x710();
}
