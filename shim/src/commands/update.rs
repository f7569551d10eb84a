//! `update`: changes the limits of an existing container. The new limits are merged with the
//! current ones and applied together, as in runc (`update.go`). Single limits cannot be applied
//! alone, because some depend on each other.
//!
//! The allowed devices, `hugepageLimits`, `rdma` and `network` cannot be changed. runc ignores them
//! in an update.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use libcontainer::oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources,
};

use crate::cli::{self, Global};
use crate::container::{self, Container};
use crate::error::Error;
use crate::libcontainer::{cgroup_resources, spec_fields};
use crate::log::Log;

pub(crate) fn update(global: &Global, options: &cli::Update, log: &Log) -> Result<(), Error> {
    let mut container = Container::load(global, &options.id)?;
    if container.init().is_none() {
        return Err(Error::NotRunning { id: options.id.clone() });
    }
    let changes = match &options.resources {
        Some(path) => read(path, log)?,
        None => from_options(options),
    };
    let after = merge(&current_resources(&container)?, &changes);
    cgroup_resources::update(&container, &after)?;
    container.record.resources = Some(after);
    container.record.save(&container.library.root)
}

/// The current limits, from the last `update` or from the spec.
fn current_resources(container: &Container) -> Result<LinuxResources, Error> {
    if let Some(resources) = &container.record.resources {
        return Ok(resources.clone());
    }
    let spec = container::load_spec(container.library.bundle())?;
    let linux = spec.linux().as_ref();
    Ok(linux.and_then(|linux| linux.resources().clone()).unwrap_or_default())
}

pub(crate) fn read(path: &Path, log: &Log) -> Result<LinuxResources, Error> {
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().read_to_end(&mut text).map_err(Error::file("read", "stdin"))?;
    } else {
        let mut file = File::open(path).map_err(Error::file("open", path))?;
        file.read_to_end(&mut text).map_err(Error::file("read", path))?;
    }
    parse(path, &text, log)
}

/// Parses limits as Go does: null and `""` are absent.
fn parse(path: &Path, text: &[u8], log: &Log) -> Result<LinuxResources, Error> {
    let (resources, document) = container::parse_resources(path, text)?;
    spec_fields::check(&document, "linux.resources", path, log)?;
    Ok(resources)
}

fn from_options(options: &cli::Update) -> LinuxResources {
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(options.memory)
        .set_reservation(options.memory_reservation)
        .set_swap(options.memory_swap);
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(options.cpu_share)
        .set_quota(options.cpu_quota)
        .set_period(options.cpu_period)
        .set_burst(options.cpu_burst)
        .set_idle(options.cpu_idle)
        .set_realtime_runtime(options.cpu_rt_runtime)
        .set_realtime_period(options.cpu_rt_period)
        .set_cpus(options.cpuset_cpus.clone())
        .set_mems(options.cpuset_mems.clone());
    let mut io = LinuxBlockIo::default();
    io.set_weight(options.blkio_weight);
    let mut resources = LinuxResources::default();
    resources.set_memory(Some(memory)).set_cpu(Some(cpu)).set_block_io(Some(io));
    resources.set_devices(None);
    resources.set_pids(options.pids_limit.map(|limit| *LinuxPids::default().set_limit(limit)));
    resources
}

/// Merges new limits into the old ones. A new value that is absent, zero or empty leaves the old
/// one unchanged, because engines written in Go write zero for a value that is not set.
fn merge(old: &LinuxResources, new: &LinuxResources) -> LinuxResources {
    let mut merged = old.clone();
    if old.memory().is_some() || new.memory().is_some() {
        let (old, new) = (old.memory().unwrap_or_default(), new.memory().unwrap_or_default());
        merged.set_memory(Some(merge_memory(old, &new)));
    }
    if let Some(new) = new.cpu() {
        merged.set_cpu(Some(merge_cpu(&old.cpu().clone().unwrap_or_default(), new)));
    }
    if let Some(new) = new.block_io() {
        merged.set_block_io(Some(merge_block_io(old.block_io().clone().unwrap_or_default(), new)));
    }
    if let Some(new) = new.pids().filter(|pids| pids.limit() != 0) {
        merged.set_pids(Some(new));
    }
    // The old values stay as the kernel has them, as in runc.
    merged.set_unified(new.unified().clone());
    merged
}

fn merge_memory(old: LinuxMemory, new: &LinuxMemory) -> LinuxMemory {
    // Only limits have old values. The check of the usage belongs to one update, and a field that
    // cgroup v2 does not have is refused later.
    let mut memory = *new;
    // Unlimited memory also makes swap unlimited, unless a swap limit is given. runc does the same.
    let unlimited = (new.limit() == Some(-1)).then_some(-1);
    memory
        .set_limit(non_default(new.limit()).or(old.limit()))
        .set_reservation(non_default(new.reservation()).or(old.reservation()))
        .set_swap(non_default(new.swap()).or(unlimited).or(old.swap()));
    memory
}

fn merge_cpu(old: &LinuxCpu, new: &LinuxCpu) -> LinuxCpu {
    let mut cpu = old.clone();
    let text = |new: &Option<String>, old: &Option<String>| {
        new.clone().filter(|text| !text.is_empty()).or(old.clone())
    };
    // The kernel refuses a weight for an idle cgroup (`sched_group_set_shares`, kernel/sched/fair.c).
    let shares = old.shares().filter(|_| new.idle().is_none());
    cpu.set_shares(non_default(new.shares()).or(shares))
        .set_quota(non_default(new.quota()).or(old.quota()))
        .set_period(non_default(new.period()).or(old.period()))
        .set_burst(new.burst().or(old.burst()))
        .set_idle(new.idle().or(old.idle()))
        .set_realtime_runtime(non_default(new.realtime_runtime()).or(old.realtime_runtime()))
        .set_realtime_period(non_default(new.realtime_period()).or(old.realtime_period()))
        .set_cpus(text(new.cpus(), old.cpus()))
        .set_mems(text(new.mems(), old.mems()));
    cpu
}

fn merge_block_io(mut io: LinuxBlockIo, new: &LinuxBlockIo) -> LinuxBlockIo {
    let weight = non_default(new.weight()).or(io.weight());
    io.set_weight(weight);
    if let Some(devices) = new.weight_device() {
        io.set_weight_device(Some(devices.clone()));
    }
    if let Some(devices) = new.throttle_read_bps_device() {
        io.set_throttle_read_bps_device(Some(devices.clone()));
    }
    if let Some(devices) = new.throttle_write_bps_device() {
        io.set_throttle_write_bps_device(Some(devices.clone()));
    }
    if let Some(devices) = new.throttle_read_iops_device() {
        io.set_throttle_read_iops_device(Some(devices.clone()));
    }
    if let Some(devices) = new.throttle_write_iops_device() {
        io.set_throttle_write_iops_device(Some(devices.clone()));
    }
    io
}

/// The value, or `None` if it is zero or empty.
fn non_default<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_limit() {
        let parse = |text: &str| parse(Path::new("-"), text.as_bytes(), &Log::default());
        let limits = parse(r#"{"pids": {"limit": 7}, "memory": null, "cpu": {"cpus": ""}}"#);
        let limits = limits.unwrap();
        assert_eq!(limits.pids().map(|pids| pids.limit()), Some(7));
        assert_eq!((limits.memory(), limits.cpu().clone().unwrap().cpus()), (&None, &None));
        assert_eq!(parse("{").unwrap_err().to_string(), "cannot parse -");
    }

    fn resources(text: &str) -> LinuxResources {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_limit_without_a_new_value_stays() {
        let old = resources(
            r#"{"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 100, "swap": 200},
                "cpu": {"quota": 50000, "period": 100000, "cpus": "0"}, "pids": {"limit": 7}}"#,
        );
        let new = resources(
            r#"{"devices": [{"allow": true, "access": "rwm"}], "memory": {}, "blockIO": {"weight": 0},
                "cpu": {"shares": 512, "period": 0, "cpus": ""}, "pids": {"limit": 0}}"#,
        );
        let merged = merge(&old, &new);
        assert_eq!(merged.devices(), old.devices());
        assert_eq!((merged.memory(), merged.pids()), (old.memory(), old.pids()));
        let cpu = merged.cpu().clone().unwrap();
        assert_eq!(
            (cpu.shares(), cpu.quota(), cpu.period()),
            (Some(512), Some(50000), Some(100000))
        );
        assert_eq!(cpu.cpus().as_deref(), Some("0"));
    }

    #[test]
    fn limits_that_runc_does_not_update_stay() {
        let old =
            r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "unified": {"a.b": "1"}}"#;
        let new = resources(
            r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 5}], "rdma": {"x": {}},
                "network": {"classID": 1}, "unified": {"c.d": "2"}}"#,
        );
        let merged = merge(&resources(old), &new);
        assert_eq!(merged.hugepage_limits(), resources(old).hugepage_limits());
        assert_eq!((merged.rdma(), merged.network()), (&None, &None));
        assert_eq!(merged.unified(), new.unified());
    }

    #[test]
    fn an_idle_cgroup_gets_no_weight() {
        let old = resources(r#"{"cpu": {"shares": 512}}"#);
        let shares = |new: &str| merge(&old, &resources(new)).cpu().as_ref().unwrap().shares();
        assert_eq!(shares(r#"{"cpu": {"idle": 1}}"#), None);
        assert_eq!(shares(r#"{"cpu": {"idle": 0, "shares": 2}}"#), Some(2));
        assert_eq!(shares(r#"{"cpu": {"quota": 5}}"#), Some(512));
    }

    #[test]
    fn unlimited_memory_makes_swap_unlimited() {
        let old = resources(r#"{"memory": {"limit": 100, "swap": 200}}"#);
        let merged = merge(&old, &resources(r#"{"memory": {"limit": -1}}"#));
        let memory = merged.memory().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(-1), Some(-1)));
    }

    #[test]
    fn the_check_of_the_usage_is_for_one_update() {
        let checked = resources(r#"{"memory": {"limit": 100, "checkBeforeUpdate": true}}"#);
        let check = |old: &LinuxResources, new: &LinuxResources| {
            merge(old, new).memory().unwrap().check_before_update()
        };
        assert_eq!(check(&LinuxResources::default(), &checked), Some(true));
        assert_eq!(check(&checked, &resources(r#"{"memory": {"limit": 9}}"#)), None);
        assert_eq!(check(&checked, &resources(r#"{"pids": {"limit": 9}}"#)), None);
    }
}
