//! The policy under Podman, and a quota under concurrent attaches.

use std::time::Duration;

use lab::HostKind;

use crate::card::{ALLOW_PROMISC, Card};
use crate::engine::Engine;
use crate::hook_calls::{assert_free, functions, vlans, with};
use crate::host::{configure, installed_on};
use crate::policy::{a_tenant_gets_only_its_own_vlans, audit};

pub(crate) fn a_tenant_gets_only_its_own_vlans_under_podman_with_hooks(host: HostKind) {
    a_tenant_gets_only_its_own_vlans(host, Engine::PodmanHooks);
}

pub(crate) fn a_quota_holds_under_concurrent_attaches(host: HostKind) {
    let lab = installed_on(host);
    lab.ok(ALLOW_PROMISC).unwrap();
    functions(&lab);
    let tenant = "[[tenant]]\nname = \"acme\"\nvlans = [\"100-199\"]\nmax = 3\n";
    let pool =
        format!("[[pool]]\nname = \"all\"\npfs = [{}]\nvfs = 4\n", Card::of(&lab).quoted_pfs());
    configure(&lab, &(pool + tenant));
    lab.ok("runvfctl setup").unwrap();
    assert_free(&lab, "before");

    let output =
        lab.sh_within(Duration::from_secs(300), include_str!("../scripts/rush.sh")).unwrap();
    let (attached, refused): (Vec<_>, Vec<_>) =
        output.stdout.lines().partition(|line| *line == "0 ");
    assert_eq!((attached.len(), refused.len()), (3, 17), "{output}");
    for line in refused {
        // The VLAN depends on the order of the attaches.
        assert_eq!(
            line,
            "1 runvf: the tenant of VLAN NNN asks for 1 more VF, but has 3 of at most 3; stop one of the tenant's \
             containers, or raise `max` in /etc/runvf/config.toml"
                .replace("NNN", line.split(' ').nth(6).unwrap())
        );
    }
    let on = vlans(&lab);
    assert_eq!(on.len(), 3, "{on:?}");
    lab.ok(&with("for i in $(seq 20); do end c$i; detach c$i; done")).unwrap();
    assert_free(&lab, "after all were released");
    let lines = audit(&lab, "--since 1h");
    let count = |event: &str| lines.iter().filter(|line| line.0 == event).count();
    let counts = ["attached", "released", "refused"].map(count);
    assert_eq!((counts, lines.len()), ([3, 3, 17], 23), "{lines:?}");
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        a_quota_holds_under_concurrent_attaches,
    );
}
