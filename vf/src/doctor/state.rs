//! What runs beside the containers, and what became of VFs.

use super::{Finding, Machine};
use crate::Error;
use crate::claim::{Claim, Claims, State};

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
    // Opening them would make the folder. Nobody but root may look into it.
    match machine.host.run.join("claims").try_exists() {
        Ok(true) => {}
        Ok(false) => return vec![Finding::ok(CHECK, "none")],
        Err(error) => return vec![Finding::unknown(CHECK, format!("cannot be read: {error}"))],
    }
    let claims = match Claims::open(&machine.host.run).and_then(|claims| claims.all()) {
        Ok(claims) => claims,
        Err(error) => return vec![Finding::unknown(CHECK, error.line())],
    };
    let count = claims.len();
    let ill: Vec<Finding> = claims.into_iter().filter_map(ill).collect();
    match ill.is_empty() {
        true => vec![Finding::ok(CHECK, format!("{count} claims"))],
        false => ill,
    }
}

fn ill(claim: Result<Claim, Error>) -> Option<Finding> {
    let warning = |evidence: String, mend: String| Some(Finding::warning(CHECK, evidence, mend));
    let claim = match claim {
        Err(error) => return warning(error.to_string(), error.hint().unwrap_or_default()),
        Ok(claim) => claim,
    };
    let finding = match claim.state {
        State::Quarantined { reason } => {
            warning(format!("in quarantine: {reason}"), format!("`runvfctl repair {}`", claim.vf))
        }
        State::Lost { reason } => warning(
            format!("lost by container {}: {reason}", claim.container),
            "restart that container; `runvfctl gc` frees the VF when it has ended".to_owned(),
        ),
        _ => None,
    };
    finding.map(|finding| finding.of(claim.vf))
}
