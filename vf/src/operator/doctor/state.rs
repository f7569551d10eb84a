//! What runs beside the containers, and what became of VFs.

use super::finding::Finding;
use super::machine::Machine;
use crate::error::Error;
use crate::ledger::claim::{Claim, Claims, State};

const UNITS: &str = "/etc/systemd/system";

pub(super) fn setup_unit(machine: &Machine) -> Finding {
    enabled(
        machine,
        "setup-unit",
        "multi-user.target.wants",
        "runvf-setup.service",
        "after a boot the PFs wait for somebody",
    )
}

pub(super) fn gc_timer(machine: &Machine) -> Finding {
    enabled(
        machine,
        "gc-timer",
        "timers.target.wants",
        "runvf-gc.timer",
        "a sensor that has lost its VF is not found out",
    )
}

fn enabled(machine: &Machine, check: &'static str, by: &str, unit: &str, without: &str) -> Finding {
    if !machine.has("/run/systemd/system") {
        return Finding::unknown(check, "systemd does not run");
    }
    match machine.has(&format!("{UNITS}/{by}/{unit}")) {
        true => Finding::ok(check, format!("{unit} is enabled")),
        false => Finding::warning(
            check,
            format!("{unit} is not enabled: {without}"),
            format!("`systemctl enable --now {unit}`"),
        ),
    }
}

const CHECK: &str = "claims";

pub(super) fn claims(machine: &Machine) -> Vec<Finding> {
    // Nobody but root may look into it.
    match machine.host.run.join("claims").try_exists() {
        Ok(true) => {}
        Ok(false) => return vec![Finding::ok(CHECK, "none")],
        Err(error) => return vec![Finding::unknown(CHECK, format!("cannot be read: {error}"))],
    }
    let claims = match Claims::look(&machine.host.run).all() {
        Ok(claims) => claims,
        Err(error) => return vec![Finding::unknown(CHECK, error.line())],
    };
    let count = claims.len();
    let ill: Vec<Finding> = claims.into_iter().filter_map(|claim| ill(machine, claim)).collect();
    match ill.is_empty() {
        true => vec![Finding::ok(CHECK, format!("{count} claims"))],
        false => ill,
    }
}

fn ill(machine: &Machine, claim: Result<Claim, Error>) -> Option<Finding> {
    let warning = |evidence: String, mend: String| Some(Finding::warning(CHECK, evidence, mend));
    let claim = match claim {
        Err(error) => return warning(error.to_string(), error.hint().unwrap_or_default()),
        Ok(claim) => claim,
    };
    let lost = |reason: &str| {
        let mend = "restart that container; `runvfctl gc` frees the VF when it has ended";
        warning(format!("lost by container {}: {reason}", claim.container), mend.to_owned())
    };
    let finding = match &claim.state {
        State::Quarantined { reason } => {
            warning(format!("in quarantine: {reason}"), format!("`runvfctl repair {}`", claim.vf))
        }
        _ if claim.state.is_abandoned(claim.alive(&machine.root)) => warning(
            format!("abandoned by container {}: {}", claim.container, end(machine, &claim)),
            "`runvfctl gc`".to_owned(),
        ),
        State::Lost { reason } => lost(reason),
        State::Attached => loss(machine, &claim).and_then(lost),
        State::Claiming | State::Configured | State::Releasing => None,
    };
    finding.map(|finding| finding.of(&claim.vf))
}

/// Why nobody will bring the claim any further.
fn end(machine: &Machine, claim: &Claim) -> &'static str {
    match &claim.state {
        _ if !claim.alive(&machine.root).boot => "the machine has been booted since",
        State::Attached | State::Lost { .. } => "its process has ended",
        State::Releasing => "whoever took the VF back has ended in the middle",
        _ => "whoever attached the VF has ended in the middle",
    }
}

/// What `runvfctl gc` has not found out yet, as far as it can be seen from outside of the container.
fn loss(machine: &Machine, claim: &Claim) -> Option<&'static str> {
    let sysfs = &machine.sysfs;
    match () {
        () if !sysfs.exists(&claim.vf) => Some("the VF vanished"),
        () if sysfs.driver(&claim.vf).is_none() => Some("its interface is gone"),
        () if !sysfs.netdevs_or_empty(&claim.vf).is_empty() => {
            Some("its interface came back to the host")
        }
        () => None,
    }
}
