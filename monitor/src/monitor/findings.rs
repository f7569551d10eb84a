//! Reports what a look has found.

use vf::{Outcome, PfLink, Released};

use crate::log;
use crate::state::Health;

/// What follows from a finding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next event, or `gc`.
    Wait,
    /// The same, and the finding counts for the limit of a VF, because it is an audit entry that a
    /// container can cause again and again.
    Limit,
    /// Another look.
    Retry,
}

/// Counts a finding and writes a line about it.
pub(crate) fn report(health: &Health, found: &Released) -> Next {
    let Released { vf, interface, container, outcome } = found;
    let (word, reason) = outcome.parts();
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let line = format!("VF {vf} ({interface} of {container}): {word}{reason}");
    let (counter, next) = match outcome {
        Outcome::Clean | Outcome::Spooled(_) | Outcome::Unrecorded(_) => {
            (Some(&health.released), Next::Wait)
        }
        Outcome::SetBack(_) => (Some(&health.set_back), Next::Limit),
        Outcome::Rearmed(_) => (Some(&health.rearmed), Next::Limit),
        Outcome::Blind(_) => (Some(&health.blind), Next::Wait),
        Outcome::Lost(_) => (Some(&health.lost), Next::Wait),
        // The same loss again. The line tells whether its container could be stopped now.
        Outcome::StillLost(_) => (None, Next::Wait),
        Outcome::Quarantined(_) => (Some(&health.quarantined), Next::Wait),
        Outcome::Unreadable(_) => (Some(&health.errors), Next::Wait),
        Outcome::Left(_) => (Some(&health.errors), Next::Retry),
    };
    if let Some(counter) = counter {
        counter.add(1);
    }
    match outcome {
        Outcome::Clean | Outcome::SetBack(_) | Outcome::Rearmed(_) => log::notice(line),
        _ => log::warning(line),
    }
    next
}

/// Writes a line about a PF with another link than before. `before` is `None` also for a PF that is new to
/// the monitor, which is no finding while it is up.
pub(crate) fn report_pf(pf: &str, before: Option<&PfLink>, now: Option<&PfLink>) {
    let Some(now) = now else {
        return log::warning(format!("PF {pf} has no netdev in the host's network namespace"));
    };
    let name = &now.name;
    let is_well = |link: &PfLink| link.up && link.carrier;
    match (before.is_none_or(is_well), is_well(now)) {
        (true, true) | (false, false) => {}
        (false, true) => log::notice(format!("PF {name} ({pf}) has its carrier back")),
        (true, false) => {
            let what = if now.up { "has no carrier" } else { "is down" };
            log::warning(format!("PF {name} ({pf}) {what}: its sensors may receive nothing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_was_left_is_tried_again() {
        let health = Health::default();
        let found = |outcome| Released {
            vf: "0000:01:10.0".to_owned(),
            interface: "mon0".to_owned(),
            container: "c".to_owned(),
            outcome,
        };
        let left = Outcome::Left("the driver is busy".to_owned());
        assert_eq!(report(&health, &found(left)), Next::Retry);
        for outcome in [
            Outcome::Clean,
            Outcome::Blind("it has no carrier now".to_owned()),
            Outcome::Lost("r".to_owned()),
            Outcome::StillLost("r".to_owned()),
        ] {
            assert_eq!(report(&health, &found(outcome)), Next::Wait);
        }
        assert_eq!(report(&health, &found(Outcome::Rearmed("r".to_owned()))), Next::Limit);
        let counts =
            [&health.errors, &health.released, &health.rearmed, &health.blind, &health.lost];
        assert_eq!(counts.map(crate::state::Counter::get), [1; 5]);
    }
}
