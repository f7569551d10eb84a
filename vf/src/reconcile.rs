//! Claims whose owner is no more.

use crate::claim::{Claim, Claims, State};
use crate::process::boot_id;
use crate::release::{Released, release_claim};
use crate::{Error, Host};

/// Releases every VF whose container, or whose half-done attach or release, has ended without doing so. Safe beside
/// running attaches: their claims have a living worker.
///
/// # Errors
/// When the claims cannot be listed, or a PF's lock not be had.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    let boot = boot_id();
    let mut released = Vec::new();
    // A claim that cannot be read is left where it is: its VF stays taken, and `status` shows it.
    for claim in Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok) {
        if is_abandoned(&claim, &boot) {
            let outcome = release_claim(host, &claim)?;
            released.push(Released { vf: claim.vf, interface: claim.interface, outcome });
        }
    }
    Ok(released)
}

fn is_abandoned(claim: &Claim, boot: &str) -> bool {
    match claim.state {
        State::Quarantined { .. } => false,
        _ if claim.boot_id != boot => true,
        State::Attached => !claim.init.is_alive(),
        State::Claiming | State::Configured | State::Releasing => !claim.worker.is_alive(),
    }
}
