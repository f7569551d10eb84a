//! Every file that is not a claim, and every foreign use of a VF.

use crate::foreign::{
    FOREIGN_USES, UNREADABLE_CLAIMS, unreadable_claims_are_kept_until_repair,
    vfs_in_foreign_use_are_never_claimed,
};

#[test]
fn an_unreadable_claim_is_kept_until_repair() {
    unreadable_claims_are_kept_until_repair(&UNREADABLE_CLAIMS);
}

#[test]
fn a_vf_in_foreign_use_is_never_claimed() {
    vfs_in_foreign_use_are_never_claimed(&FOREIGN_USES);
}
