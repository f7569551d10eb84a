//! Network managers, which take any interface that shows up for theirs.

use super::{Finding, Machine};

const RULES: [&str; 3] = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d", "/etc/udev/rules.d"];
const NETWORK: [&str; 3] =
    ["/usr/lib/systemd/network", "/lib/systemd/network", "/etc/systemd/network"];

pub(super) fn network_manager(machine: &Machine) -> Finding {
    let needs: [(&[&str], &str); 1] = [(&RULES, "70-runvf.rules")];
    kept_off(machine, "networkmanager", "/run/NetworkManager", &needs)
}

/// By the property that the udev rule sets.
pub(super) fn networkd(machine: &Machine) -> Finding {
    let needs: [(&[&str], &str); 3] =
        [(&RULES, "70-runvf.rules"), (&NETWORK, "00-runvf.network"), (&NETWORK, "00-runvf.link")];
    kept_off(machine, "networkd", "/run/systemd/netif", &needs)
}

fn kept_off(
    machine: &Machine,
    check: &'static str,
    runs: &str,
    needs: &[(&[&str], &str)],
) -> Finding {
    if !machine.has(runs) {
        return Finding::ok(check, "does not run");
    }
    let absent = |(folders, file): &&(&[&str], &str)| {
        !folders.iter().any(|folder| machine.has(&format!("{folder}/{file}")))
    };
    let missing: Vec<&str> = needs.iter().filter(absent).map(|(_, file)| *file).collect();
    match missing.is_empty() {
        true => Finding::ok(check, "runs, and is kept off VFs"),
        false => Finding::warning(
            check,
            format!("runs, and may take VFs for its own: {} is not installed", missing.join(", ")),
            "`make install`, and `udevadm control --reload`",
        ),
    }
}
