//! Sensors that may be blind because another tool has turned off a setting of their PF that their
//! promiscuity needs: see [`TurnedOff`].
//!
//! The setting concerns all sensors of the PF, and on i40e all sensors of the card. To re-arm the
//! first of them turns the setting on again, and after that nothing shows that the others were
//! blind. So the gap of each sensor is on disk before the first one is re-armed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf_within;
use crate::lifecycle::blindness::new_gap;
use crate::nic::pf_promisc::TurnedOff;
use crate::nic::promisc::same_card;

/// Opens the gap of each attached VF of this PF, and of the other PFs of its card, if such a setting
/// is off. `since`: when another tool has turned it off; `None`: since the VF was checked last.
///
/// Either all of these PFs can be locked, or no gap is opened: a VF without an open gap does not turn
/// the setting on. The caller has no PF's lock. As in a setup, the locks are taken in the order of the
/// PCI addresses, and each wait is bounded.
///
/// # Errors
/// [`LedgerError::Locked`](crate::LedgerError::Locked). When the PF cannot be asked, or a claim cannot
/// be written.
pub(super) fn record_gaps(
    host: &Host,
    pf: &str,
    since: Option<SystemTime>,
    lock_timeout: Duration,
) -> Result<(), Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    if TurnedOff::find(&sysfs, pf)?.is_none() {
        return Ok(());
    }
    let claims = Claims::open(&host.run)?;
    let of_card = claims.readable()?.into_iter().filter(|claim| same_card(&claim.pf, pf));
    let pfs: BTreeSet<String> = of_card.filter(is_concerned).map(|claim| claim.pf).collect();
    let lock = |pf: &String| lock_pf_within(&host.run, pf, lock_timeout);
    let _locks = pfs.iter().map(lock).collect::<Result<Vec<_>, _>>()?;
    for pf in pfs {
        let Some(off) = TurnedOff::find(&sysfs, &pf)? else { continue };
        let reason = format!("another tool changed its PF: {}", off.why());
        let of_pf = claims.readable()?.into_iter().filter(|claim| claim.pf == pf);
        for mut claim in of_pf.filter(is_concerned) {
            if claim.open_gap().is_none() {
                claim.gap = Some(new_gap(&claim, reason.clone(), since));
                claims.advance(&mut claim, State::Attached)?;
            }
        }
    }
    Ok(())
}

/// A program that drives its VF by vfio-pci asks for promiscuity itself.
fn is_concerned(claim: &Claim) -> bool {
    claim.state == State::Attached && claim.promisc_required && claim.iommu_group.is_none()
}
