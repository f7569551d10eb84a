//! The VFs that are attached at once, by the NIC of the host.

use lab::Nic;
use lab::bench_protocol::Floor;

/// `functions.sh` has the same numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// The number of containers with one VF each.
    pub(crate) count: u32,
    /// The PFs that their VFs belong to, in turns.
    pub(crate) pfs: u32,
    /// The PF that gets its VFs by `runvfctl setup`, and their number.
    pub(crate) spare_pf: &'static str,
    pub(crate) vfs: u32,
}

impl Crowd {
    pub(crate) fn of(nic: Nic) -> Self {
        match nic {
            Nic::Intel82576 => Self { count: 21, pfs: 3, spare_pf: "pf2", vfs: 7 },
            Nic::IntelX710 => Self { count: 20, pfs: 1, spare_pf: "pf1", vfs: 32 },
        }
    }

    /// The floor of a container, from 0 on.
    pub(crate) fn floor(self, n: u32) -> Floor {
        Floor {
            pf: format!("pf{}", n % self.pfs),
            index: n / self.pfs,
            vlan: 101 + n,
            pid: format!("/tmp/c{}.pid", n + 1),
            name: "mon0".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_has_a_vf_of_its_own() {
        for nic in [Nic::Intel82576, Nic::IntelX710] {
            let crowd = Crowd::of(nic);
            let all = (0..crowd.count).map(|n| crowd.floor(n)).map(|floor| (floor.pf, floor.index));
            let mut vfs: Vec<_> = all.collect();
            vfs.sort();
            vfs.dedup();
            assert_eq!(vfs.len(), crowd.count as usize, "{nic:?}");
            assert!(vfs.iter().all(|(_, index)| *index < crowd.vfs), "{nic:?}");
        }
    }
}
