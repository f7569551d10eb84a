//! Checks of runvf's systemd units and of the claims.

use super::finding::{Finding, Severity};
use super::machine::Machine;
use crate::error::Error;
use crate::kernel::netns_life::Effort;
use crate::ledger::audit::spooled;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::nic::driver::driver;
use crate::nic::pf::Pf;
use crate::policy::config::{Config, Pool};

/// Where `systemctl enable` creates its links.
const UNITS: &str = "/etc/systemd/system";

pub(super) fn setup_unit(machine: &Machine) -> Finding {
    enabled(
        machine,
        "setup-unit",
        "multi-user.target.wants",
        "runvf-setup.service",
        "PFs are not set up at boot",
    )
}

/// A failure without the monitor: nothing would re-arm a sensor after a reset.
pub(super) fn gc_timer(machine: &Machine) -> Finding {
    let finding = enabled(
        machine,
        "gc-timer",
        "timers.target.wants",
        "runvf-gc.timer",
        "lost VFs are not detected",
    );
    match finding.severity {
        Severity::Warning if !monitor_runs(machine) => {
            Finding { severity: Severity::Failure, ..finding }
        }
        _ => finding,
    }
}

const MONITOR: &str = "runvf-monitor.service";

/// systemd has this link while the unit is active (`unit_export_state_files`).
fn monitor_runs(machine: &Machine) -> bool {
    machine.has(&format!("/run/systemd/units/invocation:{MONITOR}"))
}

/// A warning if a card of the configuration forgets the promiscuity of a VF in a reset, because
/// without the monitor its sensors are blind until the next `gc`.
pub(super) fn monitor(machine: &Machine) -> Finding {
    const CHECK: &str = "monitor";
    if !machine.has("/run/systemd/system") {
        return Finding::unknown(CHECK, "systemd is not running");
    }
    let remedy = format!("run `systemctl enable --now {MONITOR}`");
    let is_enabled = machine.has(&format!("{UNITS}/multi-user.target.wants/{MONITOR}"));
    match (monitor_runs(machine), is_enabled, forgetful_pf(machine)) {
        (true, true, _) => Finding::ok(CHECK, format!("{MONITOR} runs")),
        (true, false, _) => {
            let evidence = format!("{MONITOR} runs, but does not start at boot");
            Finding::warning(CHECK, evidence, remedy)
        }
        (false, _, Some(pf)) => {
            let evidence = format!(
                "{MONITOR} does not run: a reset of {pf} makes its sensors blind until the next \
                 `runvfctl gc`"
            );
            Finding::warning(CHECK, evidence, remedy)
        }
        (false, _, None) => Finding::ok(CHECK, format!("{MONITOR} does not run")),
    }
}

/// The first PF of the configuration with a driver that forgets the promiscuity of its VFs in a
/// reset.
fn forgetful_pf(machine: &Machine) -> Option<String> {
    let pools = Config::load(&machine.host).ok()?.pools;
    let mut pfs = pools.iter().flat_map(|pool| pool.pfs.iter().map(move |name| (pool, name)));
    let forgets = |(pool, name): &(&Pool, &String)| {
        let pf = Pf::find(&machine.sysfs, name, pool).ok();
        let driver_name = pf.and_then(|pf| machine.sysfs.driver(&pf.pci));
        driver_name.is_some_and(|name| driver(Some(&name)).forgets_promisc)
    };
    pfs.find(forgets).map(|(_, name)| name.clone())
}

/// Checks that a unit is enabled. `consequence`: the effect while it is not.
fn enabled(
    machine: &Machine,
    check: &'static str,
    wants: &str,
    unit: &str,
    consequence: &str,
) -> Finding {
    if !machine.has("/run/systemd/system") {
        return Finding::unknown(check, "systemd is not running");
    }
    match machine.has(&format!("{UNITS}/{wants}/{unit}")) {
        true => Finding::ok(check, format!("{unit} is enabled")),
        false => Finding::warning(
            check,
            format!("{unit} is not enabled: {consequence}"),
            format!("run `systemctl enable --now {unit}`"),
        ),
    }
}

/// Reports audit entries that could not be written to the log.
pub(super) fn audit_spool(machine: &Machine) -> Option<Finding> {
    let waiting = spooled(&machine.host);
    (waiting > 0).then(|| {
        let entries = if waiting == 1 { "entry waits" } else { "entries wait" };
        Finding::warning(
            "audit",
            format!(
                "{waiting} {entries} in {}, because {} could not be written",
                machine.host.run.join("audit-spool").display(),
                machine.host.audit.display()
            ),
            "free disk space or fix the permissions, then run `runvfctl gc`",
        )
    })
}

const CHECK: &str = "claims";

pub(super) fn claims(machine: &Machine) -> Vec<Finding> {
    // Only root may read the directory, so another user gets an error here.
    match machine.host.run.join("claims").try_exists() {
        Ok(true) => {}
        Ok(false) => return vec![Finding::ok(CHECK, "none")],
        Err(error) => return vec![Finding::unknown(CHECK, format!("cannot be read: {error}"))],
    }
    let claims = match Claims::read_only(&machine.host.run).all() {
        Ok(claims) => claims,
        Err(error) => return vec![Finding::unknown(CHECK, error.line())],
    };
    let count = claims.len();
    let problems: Vec<Finding> =
        claims.into_iter().filter_map(|claim| claim_problem(machine, claim)).collect();
    match problems.is_empty() {
        true => vec![Finding::ok(CHECK, format!("{count} claims"))],
        false => problems,
    }
}

fn claim_problem(machine: &Machine, claim: Result<Claim, Error>) -> Option<Finding> {
    let warning =
        |evidence: String, remedy: String| Some(Finding::warning(CHECK, evidence, remedy));
    let claim = match claim {
        Err(error) => return warning(error.to_string(), error.hint().unwrap_or_default()),
        Ok(claim) => claim,
    };
    let lost = |reason: &str| {
        let remedy = "restart that container; `runvfctl gc` then releases the VF";
        warning(format!("lost by container {}: {reason}", claim.container), remedy.to_owned())
    };
    let finding = match &claim.state {
        State::Quarantined { reason } => {
            warning(format!("quarantined: {reason}"), format!("run `runvfctl repair {}`", claim.vf))
        }
        _ if claim.state.is_abandoned(claim.liveness(&machine.root, Effort::Quick)) => warning(
            format!(
                "abandoned by container {}: {}",
                claim.container,
                abandoned_because(machine, &claim)
            ),
            "run `runvfctl gc`".to_owned(),
        ),
        State::Lost { reason } => lost(reason),
        State::Attached => match (loss_reason(machine, &claim), claim.open_gap()) {
            (Some(reason), _) => lost(reason),
            (None, Some(gap)) => warning(
                format!("container {} may be blind: {}", claim.container, gap.reason),
                "run `runvfctl gc`".to_owned(),
            ),
            (None, None) => None,
        },
        State::Claiming | State::Configured | State::Releasing => None,
    };
    finding.map(|finding| finding.of(&claim.vf))
}

/// Why no process will finish the work on an abandoned claim.
fn abandoned_because(machine: &Machine, claim: &Claim) -> &'static str {
    match &claim.state {
        _ if !claim.liveness(&machine.root, Effort::Quick).same_boot => {
            "the host has been rebooted"
        }
        State::Attached | State::Lost { .. } if claim.init.is_none() => {
            "its network namespace is gone"
        }
        State::Attached | State::Lost { .. } => "its init process has exited",
        State::Releasing => "the release was interrupted",
        _ => "the attach was interrupted",
    }
}

/// Why an attached VF counts as lost although `runvfctl gc` has not recorded the loss yet. The
/// container netns is not opened.
fn loss_reason(machine: &Machine, claim: &Claim) -> Option<&'static str> {
    let sysfs = &machine.sysfs;
    match () {
        () if !sysfs.exists(&claim.vf) => Some("the VF vanished"),
        () if sysfs.driver(&claim.vf).is_none() => Some("its netdev is gone"),
        () if !sysfs.netdevs_or_empty(&claim.vf).is_empty() => {
            Some("its netdev is back in the host netns")
        }
        () => None,
    }
}
