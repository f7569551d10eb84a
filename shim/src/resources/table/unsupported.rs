//! Fields that cgroup v2 cannot apply. crun refuses them, too; runc ignores them.

use libcontainer::oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

use super::super::error::LimitError;

pub(super) fn check(resources: &LinuxResources) -> Result<(), LimitError> {
    let memory = resources.memory().as_ref().and_then(memory_field);
    let cpu = resources.cpu().as_ref().and_then(cpu_field);
    let network = resources.network().as_ref().and_then(network_field);
    let leaf = resources.block_io().as_ref().and_then(|io| {
        let devices = io.weight_device().iter().flatten();
        let mut weights = devices.map(|device| device.leaf_weight()).chain([io.leaf_weight()]);
        weights.any(is_set).then_some("blockIO.leafWeight")
    });
    match memory.or(cpu).or(network).or(leaf) {
        None => Ok(()),
        Some(field) => Err(LimitError::field(field, "cgroup v2 has no such limit; remove it")),
    }
}

fn memory_field(memory: &LinuxMemory) -> Option<&'static str> {
    let fields = [
        ("memory.kernel", memory.kernel().is_some_and(|limit| limit > 0)),
        ("memory.kernelTCP", memory.kernel_tcp().is_some_and(|limit| limit > 0)),
        ("memory.swappiness", memory.swappiness().is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ];
    first(fields)
}

fn cpu_field(cpu: &LinuxCpu) -> Option<&'static str> {
    let fields = [
        ("cpu.realtimeRuntime", is_set(cpu.realtime_runtime())),
        ("cpu.realtimePeriod", is_set(cpu.realtime_period())),
    ];
    first(fields)
}

fn network_field(network: &LinuxNetwork) -> Option<&'static str> {
    let fields = [
        ("network.classID", is_set(network.class_id())),
        ("network.priorities", network.priorities().iter().flatten().next().is_some()),
    ];
    first(fields)
}

fn first<const COUNT: usize>(fields: [(&'static str, bool); COUNT]) -> Option<&'static str> {
    fields.into_iter().find_map(|(field, is_set)| is_set.then_some(field))
}

/// 0 is a value that is not set, because Go programs write it.
fn is_set<T: Default + PartialEq>(value: Option<T>) -> bool {
    value.is_some_and(|value| value != T::default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_error_names_the_field() {
        let check = |resources: serde_json::Value| {
            check(&serde_json::from_value(resources).unwrap()).map_err(|error| error.to_string())
        };
        for (resources, field) in [
            (json!({ "memory": { "swappiness": 0 } }), "memory.swappiness"),
            (json!({ "memory": { "kernel": 1 } }), "memory.kernel"),
            (json!({ "memory": { "kernelTCP": 1 } }), "memory.kernelTCP"),
            (json!({ "memory": { "disableOOMKiller": true } }), "memory.disableOOMKiller"),
            (json!({ "cpu": { "realtimeRuntime": 1 } }), "cpu.realtimeRuntime"),
            (json!({ "cpu": { "realtimePeriod": 1 } }), "cpu.realtimePeriod"),
            (json!({ "network": { "classID": 1 } }), "network.classID"),
            (json!({ "blockIO": { "leafWeight": 10 } }), "blockIO.leafWeight"),
        ] {
            let line = check(resources).unwrap_err();
            assert!(line.starts_with(&format!("linux.resources.{field}: ")), "{line}");
        }
        let not_set = json!({
            "memory": { "kernel": -1, "disableOOMKiller": false },
            "cpu": { "realtimeRuntime": 0, "realtimePeriod": 0 },
            "network": { "classID": 0, "priorities": [] },
            "blockIO": { "leafWeight": 0 },
        });
        assert!(check(not_set).is_ok());
    }
}
