//! The table: the fields of `linux.resources`, and the files and values that they stand for. The
//! order is that of runc (`fs2.go`, `Set`).

mod block_io;
mod unsupported;

use libcontainer::oci_spec::runtime::{
    LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxRdma, LinuxResources,
};

use super::conversion::{
    DEFAULT_PERIOD, Limit, cpu_weight, limit, quota_under_systemd, swap_limit,
};
use super::error::{LimitError, in_field};
use super::setting::Setting;

/// The facts about the cgroup that decide how a field is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    /// The cgroup belongs to a unit of systemd.
    pub(super) systemd: bool,
    /// The IO scheduler BFQ has its own file of weights.
    pub(super) bfq: bool,
}

/// Returns the settings for all fields that are set.
pub(super) fn settings(resources: &LinuxResources, host: Host) -> Result<Vec<Setting>, LimitError> {
    unsupported::check(resources)?;
    let mut settings = Vec::new();
    if let Some(pids) = resources.pids() {
        settings.extend(pids_limit(pids)?);
    }
    if let Some(memory) = resources.memory() {
        settings.extend(memory_limits(memory)?);
    }
    if let Some(io) = resources.block_io() {
        settings.extend(block_io::settings(io, host.bfq)?);
    }
    if let Some(cpu) = resources.cpu() {
        settings.extend(cpu_limits(cpu, host.systemd)?);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        settings.extend(huge_pages(limit));
    }
    let mut rdma: Vec<_> = resources.rdma().iter().flatten().collect();
    rdma.sort_by_key(|(device, _)| device.as_str());
    settings.extend(rdma.into_iter().filter_map(|(device, limits)| rdma_limit(device, limits)));
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (file, value) in unified {
        settings.push(unified_file(file, value)?);
    }
    Ok(settings)
}

fn pids_limit(pids: &LinuxPids) -> Result<Option<Setting>, LimitError> {
    let limit = in_field("pids.limit", limit(pids.limit()))?;
    Ok(limit.map(|limit| Setting::new("pids.limit", "pids.max", limit)))
}

fn memory_limits(memory: &LinuxMemory) -> Result<Vec<Setting>, LimitError> {
    let (field, value) = ("memory.swap", memory.swap().unwrap_or_default());
    let swap = in_field(field, swap_limit(value, memory.limit().unwrap_or_default()))?;
    let swap = swap.map(|swap| {
        // A kernel without accounting of swap has no file. It limits nothing.
        let is_trivial = matches!(swap, Limit::Max | Limit::Number(0));
        Setting::new(field, "memory.swap.max", swap).optional(is_trivial)
    });
    let mut settings = Vec::from_iter(swap);
    let others = [
        ("memory.limit", "memory.max", memory.limit()),
        ("memory.reservation", "memory.low", memory.reservation()),
    ];
    for (field, file, value) in others {
        let value = in_field(field, limit(value.unwrap_or_default()))?;
        settings.extend(value.map(|value| Setting::new(field, file, value)));
    }
    Ok(settings)
}

fn cpu_limits(cpu: &LinuxCpu, systemd: bool) -> Result<Vec<Setting>, LimitError> {
    // Before the weight, because the kernel sets the default weight when `cpu.idle` becomes 0.
    let idle = cpu.idle().map(|idle| Setting::new("cpu.idle", "cpu.idle", idle));
    let mut settings = Vec::from_iter(idle);
    let weight = cpu.shares().and_then(cpu_weight);
    settings.extend(weight.map(|weight| Setting::new("cpu.shares", "cpu.weight", weight)));
    settings.extend(cpu.burst().map(|burst| Setting::new("cpu.burst", "cpu.max.burst", burst)));
    settings.extend(bandwidth(cpu, systemd)?);
    let sets = [
        ("cpu.cpus", "cpuset.cpus", cpu.cpus().as_deref()),
        ("cpu.mems", "cpuset.mems", cpu.mems().as_deref()),
    ];
    for (field, file, list) in sets {
        // Go programs write an empty string for a value that is not set.
        let list = list.filter(|list| !list.is_empty());
        settings.extend(list.map(|list| Setting::new(field, file, list)));
    }
    Ok(settings)
}

/// Quota and period. 0 is a value that is not set; a negative quota is no limit.
fn bandwidth(cpu: &LinuxCpu, systemd: bool) -> Result<Option<Setting>, LimitError> {
    let (quota, period) = (cpu.quota().unwrap_or_default(), cpu.period().unwrap_or_default());
    if (quota, period) == (0, 0) {
        return Ok(None);
    }
    let field = if quota == 0 { "cpu.period" } else { "cpu.quota" };
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    let quota = match u64::try_from(quota) {
        Err(_) | Ok(0) => Limit::Max,
        Ok(quota) if systemd => Limit::Number(in_field(field, quota_under_systemd(quota, period))?),
        Ok(quota) => Limit::Number(quota),
    };
    Ok(Some(Setting::new(field, "cpu.max", format!("{quota} {period}"))))
}

fn huge_pages(limit: &LinuxHugepageLimit) -> [Setting; 2] {
    let (field, size) = ("hugepageLimits", limit.page_size());
    let file = |suffix| format!("hugetlb.{size}.{suffix}");
    // The limit of reservations came with Linux 5.7. runc, too, sets it only if the kernel has it.
    [
        Setting::new(field, &file("max"), limit.limit()),
        Setting::new(field, &file("rsvd.max"), limit.limit()).optional(true),
    ]
}

fn rdma_limit(device: &str, limits: &LinuxRdma) -> Option<Setting> {
    let limits = [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())];
    let set = limits.iter().filter_map(|(name, limit)| Some(format!(" {name}={}", (*limit)?)));
    let set: String = set.collect();
    (!set.is_empty()).then(|| Setting::new("rdma", "rdma.max", format!("{device}{set}")))
}

/// A file that the spec names itself, as `CONTROLLER.PARAMETER`.
fn unified_file(file: &str, value: &str) -> Result<Setting, LimitError> {
    let field = format!("unified.{file}");
    let has_controller = file.split_once('.').is_some_and(|(controller, _)| !controller.is_empty());
    match has_controller && !file.contains('/') {
        true => Ok(Setting::new(&field, file, value.trim())),
        false => Err(LimitError::field(field, "the name is not in the form CONTROLLER.PARAMETER")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table(resources: Value, host: Host) -> Result<Vec<String>, String> {
        let settings = settings(&serde_json::from_value(resources).unwrap(), host);
        let text = |setting: Setting| format!("{} {}", setting.file, setting.value);
        settings
            .map(|settings| settings.into_iter().map(text).collect())
            .map_err(|error| error.to_string())
    }

    fn cgroupfs(resources: Value) -> Vec<String> {
        table(resources, Host { systemd: false, bfq: false }).unwrap()
    }

    fn systemd(resources: Value) -> Vec<String> {
        table(resources, Host { systemd: true, bfq: false }).unwrap()
    }

    fn problem(resources: Value) -> String {
        table(resources, Host { systemd: false, bfq: false }).unwrap_err()
    }

    #[test]
    fn a_limit_of_zero_processes_is_not_set() {
        let none: [&str; 0] = [];
        assert_eq!(cgroupfs(json!({ "pids": { "limit": 0 } })), none);
        assert_eq!(cgroupfs(json!({ "pids": { "limit": -1 } })), ["pids.max max"]);
        assert_eq!(cgroupfs(json!({ "pids": { "limit": 7 } })), ["pids.max 7"]);
        assert!(problem(json!({ "pids": { "limit": -2 } })).contains("pids.limit: -2"));
    }

    #[test]
    fn memory_limits_are_in_bytes_and_swap_is_without_memory() {
        let of = |memory: Value| cgroupfs(json!({ "memory": memory }));
        let mib = 1 << 20;
        assert_eq!(
            of(json!({ "limit": 64 * mib, "swap": 64 * mib, "reservation": 32 * mib })),
            ["memory.swap.max 0", "memory.max 67108864", "memory.low 33554432"]
        );
        assert_eq!(of(json!({ "limit": 64 * mib })), ["memory.max 67108864"]);
        assert_eq!(of(json!({ "limit": -1 })), ["memory.swap.max max", "memory.max max"]);
        assert!(of(json!({ "limit": 0, "swap": 0, "reservation": 0, "kernel": 0 })).is_empty());
        let line = problem(json!({ "memory": { "limit": 7, "swap": 6 } }));
        assert!(line.contains("linux.resources.memory.swap: "), "{line}");
    }

    #[test]
    fn cpu_limits_are_those_of_runc() {
        let of = |cpu: Value| cgroupfs(json!({ "cpu": cpu }));
        assert_eq!(of(json!({ "shares": 512 })), ["cpu.weight 59"]);
        assert!(
            of(json!({ "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" })).is_empty()
        );
        assert_eq!(of(json!({ "quota": 33300 })), ["cpu.max 33300 100000"]);
        assert_eq!(of(json!({ "quota": -1 })), ["cpu.max max 100000"]);
        assert_eq!(of(json!({ "period": 50000 })), ["cpu.max max 50000"]);
        assert_eq!(of(json!({ "quota": 7, "period": 50000 })), ["cpu.max 7 50000"]);
        assert_eq!(
            of(json!({ "idle": 1, "burst": 9, "quota": 10000, "cpus": "0-1", "mems": "0" })),
            [
                "cpu.idle 1",
                "cpu.max.burst 9",
                "cpu.max 10000 100000",
                "cpuset.cpus 0-1",
                "cpuset.mems 0"
            ]
        );
        assert_eq!(systemd(json!({ "cpu": { "quota": 33300 } })), ["cpu.max 34000 100000"]);
    }

    #[test]
    fn huge_pages_and_rdma_have_files() {
        let limits = json!([{ "pageSize": "2MB", "limit": 9 }]);
        assert_eq!(
            cgroupfs(json!({ "hugepageLimits": limits })),
            ["hugetlb.2MB.max 9", "hugetlb.2MB.rsvd.max 9"]
        );
        let rdma =
            json!({ "b": { "hcaObjects": 0 }, "a": { "hcaHandles": 2, "hcaObjects": 3 }, "c": {} });
        assert_eq!(
            cgroupfs(json!({ "rdma": rdma })),
            ["rdma.max a hca_handle=2 hca_object=3", "rdma.max b hca_object=0"]
        );
    }

    #[test]
    fn every_unified_file_is_written_as_it_is() {
        let unified =
            json!({ "pids.max": "max", "cpu.max": " max 100000\n", "memory.oom.group": "1" });
        let expected = ["cpu.max max 100000", "memory.oom.group 1", "pids.max max"];
        assert_eq!(cgroupfs(json!({ "unified": unified })), expected);
        assert_eq!(systemd(json!({ "unified": unified })), expected);
        for name in ["a/b.max", "../x.max", "nodot", ".max", ""] {
            let line = problem(json!({ "unified": { name: "1" } }));
            assert!(line.contains("CONTROLLER.PARAMETER"), "{line}");
        }
    }
}
