//! The order of a pool's PFs for an attach.

use crate::kernel::cpu_set::CpuSet;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;
use crate::nic::pf::pci_named;
use crate::policy::config::{Placement, Pool};

/// How near a PF is to the container's CPUs. The order matters: near PFs are tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Local,
    /// The firmware names no NUMA node, or the cpuset is unknown.
    Unknown,
    Remote,
}

/// Returns the names of the pool's PFs, the first one to try first: PFs on the NUMA nodes of the
/// container's CPUs, because a frame then stays on the node where it is read; with
/// [`Placement::Spread`] those with the fewest claimed VFs before others; then the pool's order.
///
/// `cpus`: the CPUs of the container. `None`: unknown, as for a door that has no process yet.
pub(crate) fn order_pfs<'a>(
    sysfs: &Sysfs,
    pool: &'a Pool,
    claims: &[Claim],
    cpus: Option<&CpuSet>,
) -> Vec<&'a String> {
    let rank = |name: &String| {
        // A PF that cannot be found keeps its place; the attach reports the error.
        let pci = pci_named(sysfs, name).ok().flatten().unwrap_or_default();
        let local = sysfs.local_cpus(&pci);
        let distance = match (cpus, local) {
            (Some(cpus), Some(local)) if cpus.intersects(&local) => Distance::Local,
            (Some(_), Some(_)) => Distance::Remote,
            _ => Distance::Unknown,
        };
        let claimed = match pool.placement {
            Placement::Spread => claims.iter().filter(|claim| claim.pf == pci).count(),
            Placement::Pack => 0,
        };
        (distance, claimed)
    };
    let mut names: Vec<&String> = pool.pfs.iter().collect();
    if names.len() > 1 {
        // A stable sort keeps the pool's order among equals.
        names.sort_by_cached_key(|name| rank(name));
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::ledger::claim::tests::claim;
    use crate::policy::config::Config;

    const PFS: [&str; 4] = ["0000:01:00.0", "0000:01:00.1", "0000:81:00.0", "0000:c1:00.0"];

    /// A recorded machine with two sockets: CPUs 0-7 and 16-23 are on node 0, with two PFs; CPUs
    /// 8-15 and 24-31 are on node 1, with one PF; the firmware names no node for the fourth PF.
    fn two_sockets() -> (tempfile::TempDir, Sysfs) {
        let root = tempfile::tempdir().unwrap();
        for (pci, node, cpus) in [
            (PFS[0], "0", "0-7,16-23"),
            (PFS[1], "0", "0-7,16-23"),
            (PFS[2], "1", "8-15,24-31"),
            (PFS[3], "-1", "0-31"),
        ] {
            let device = root.path().join("bus/pci/devices").join(pci);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("numa_node"), format!("{node}\n")).unwrap();
            fs::write(device.join("local_cpulist"), format!("{cpus}\n")).unwrap();
        }
        let sysfs = Sysfs(root.path().to_owned());
        (root, sysfs)
    }

    fn pool(placement: &str) -> Pool {
        let text =
            format!("pool = [{{ name = \"a\", pfs = {PFS:?}, placement = \"{placement}\" }}]");
        Config::parse(&text, Path::new("/c.toml")).unwrap().pools.remove(0)
    }

    /// The positions of the PFs in the pool's list. `claimed`: the number of claims of each PF.
    fn order(placement: &str, claimed: [usize; 4], cpus: Option<&str>) -> Vec<usize> {
        let (_root, sysfs) = two_sockets();
        let claims: Vec<Claim> = PFS
            .iter()
            .zip(claimed)
            .flat_map(|(pf, count)| (0..count).map(move |_| pf))
            .map(|pf| Claim { pf: (*pf).to_owned(), ..claim("0000:01:10.0", "n") })
            .collect();
        let cpus = cpus.map(|text| text.parse::<CpuSet>().unwrap());
        let pool = pool(placement);
        let names = order_pfs(&sysfs, &pool, &claims, cpus.as_ref());
        names.iter().map(|name| PFS.iter().position(|pf| pf == name).unwrap()).collect()
    }

    #[test]
    fn the_node_of_the_cpuset_comes_first() {
        assert_eq!(order("spread", [0; 4], Some("8-9")), [2, 3, 0, 1]);
        assert_eq!(order("pack", [0; 4], Some("24")), [2, 3, 0, 1]);
        assert_eq!(order("spread", [0; 4], Some("0-31")), [0, 1, 2, 3], "a cpuset of both nodes");
        assert_eq!(order("spread", [9, 0, 0, 0], Some("3")), [1, 0, 3, 2], "near before empty");
    }

    #[test]
    fn spread_takes_the_least_loaded_and_pack_the_first() {
        assert_eq!(order("spread", [2, 1, 0, 0], None), [2, 3, 1, 0]);
        assert_eq!(order("pack", [2, 1, 0, 0], None), [0, 1, 2, 3]);
        assert_eq!(order("spread", [2, 1, 5, 0], Some("0-15")), [1, 0, 2, 3]);
    }

    #[test]
    fn a_pf_that_does_not_exist_keeps_its_place() {
        let root = tempfile::tempdir().unwrap();
        let pool = pool("spread");
        let names = order_pfs(&Sysfs(root.path().to_owned()), &pool, &[], None);
        assert_eq!(names, PFS.iter().collect::<Vec<_>>());
    }
}
