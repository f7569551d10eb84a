//! The machine: kernel, IOMMU, cgroups, NICs.

use super::finding::Finding;
use super::machine::Machine;

/// `SO_NETNS_COOKIE`, by which a namespace is known again. (The trust of VFs came with 4.5.)
const KERNEL: (u32, u32) = (5, 14);

pub(super) fn kernel(machine: &Machine) -> Finding {
    const CHECK: &str = "kernel";
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::unknown(CHECK, "/proc/sys/kernel/osrelease tells no version");
    };
    match (major, minor) >= KERNEL {
        true => Finding::ok(CHECK, format!("Linux {release}")),
        false => Finding::failure(
            CHECK,
            format!("Linux {release} cannot tell network namespaces apart for good"),
            "use Linux 5.14 or newer",
        ),
    }
}

/// Without an IOMMU there are VFs all the same; what a VF's driver lets it write to is the whole memory.
pub(super) fn iommu(machine: &Machine) -> Finding {
    const CHECK: &str = "iommu";
    let groups = machine.count("/sys/kernel/iommu_groups");
    if groups > 0 {
        return Finding::ok(CHECK, format!("{groups} groups"));
    }
    let amd = machine.read("/proc/cpuinfo").is_some_and(|text| text.contains("AuthenticAMD"));
    let line = machine.read("/proc/cmdline").unwrap_or_default();
    let asked = line.split_whitespace().any(|word| word.starts_with("intel_iommu=on"));
    let mend = match (amd, asked) {
        (true, _) => "enable the IOMMU (AMD-Vi) in the firmware",
        (_, true) => "enable VT-d in the firmware",
        _ => "enable VT-d in the firmware and boot with `intel_iommu=on iommu=pt`",
    };
    Finding::warning(
        CHECK,
        "off: /sys/kernel/iommu_groups is empty, and no VF's DMA is confined",
        mend,
    )
}

pub(super) fn cgroup(machine: &Machine) -> Finding {
    const CHECK: &str = "cgroup";
    match machine.has("/sys/fs/cgroup/cgroup.controllers") {
        true => Finding::ok(CHECK, "version 2"),
        false => Finding::warning(
            CHECK,
            "version 1 or a mixture, with which runvf is not tested",
            "boot with `systemd.unified_cgroup_hierarchy=1`",
        ),
    }
}

pub(super) fn sriov(machine: &Machine) -> Finding {
    const CHECK: &str = "sriov";
    let pfs: Vec<String> =
        machine.sysfs.sriov_netdevs().into_iter().map(|(_, name)| name).collect();
    match pfs.is_empty() {
        false => Finding::ok(CHECK, pfs.join(", ")),
        true => Finding::failure(
            CHECK,
            "no NIC here has SR-IOV, or none has its driver",
            "enable SR-IOV in the firmware of the machine and of the card",
        ),
    }
}
