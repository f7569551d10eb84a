//! The X710 under the newer kernel: what depends most on kernel and drivers.

use crate::card::{X710_ON_BACKPORTS, tests_on};
use crate::soak::cycles;
use crate::{isolation, resets, setup};

tests_on!(X710_ON_BACKPORTS, isolation: each_of_three_tenants_sees_only_its_vlan);
tests_on!(X710_ON_BACKPORTS, setup: a_pf_with_a_private_flag_is_set_up_once);
tests_on!(X710_ON_BACKPORTS, resets: unknown_unicast_arrives_again_after_each_reset);
tests_on!(X710_ON_BACKPORTS, cycles: thirty_releases_end_in_no_quarantine);
