//! Every file that is not a claim, and every foreign use of a VF.

use lab::HostKind;

use crate::foreign::{
    FOREIGN_USES, UNREADABLE_CLAIMS, unreadable_claims_are_kept_until_repair,
    vfs_in_foreign_use_are_never_claimed,
};

pub(crate) fn an_unreadable_claim_is_kept_until_repair(host: HostKind) {
    unreadable_claims_are_kept_until_repair(host, &UNREADABLE_CLAIMS);
}

pub(crate) fn a_vf_in_foreign_use_is_never_claimed(host: HostKind) {
    vfs_in_foreign_use_are_never_claimed(host, &FOREIGN_USES);
}
