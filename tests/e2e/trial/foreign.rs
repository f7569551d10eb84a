//! Every file that is not a claim, and every foreign use of a VF.

use lab::HostKind;

use crate::foreign::{
    FOREIGN_USES, UNREADABLE_CLAIMS, unreadable_claims_are_kept_until_repair,
    vfs_in_foreign_use_are_never_claimed,
};

fn an_unreadable_claim_is_kept_until_repair(host: HostKind) {
    unreadable_claims_are_kept_until_repair(host, &UNREADABLE_CLAIMS);
}

fn a_vf_in_foreign_use_is_never_claimed(host: HostKind) {
    vfs_in_foreign_use_are_never_claimed(host, &FOREIGN_USES);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        an_unreadable_claim_is_kept_until_repair,
        a_vf_in_foreign_use_is_never_claimed,
    );
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: a_vf_in_foreign_use_is_never_claimed);
}
