//! The limits of a container's cgroup v2.
//!
//! A table translates each field of `linux.resources` to a file of the cgroup and its value
//! (`table`). A second one translates a file and its value to a property of the systemd unit
//! (`property`). Both are as in runc (`fs2` and `systemd/v2.go` of opencontainers/cgroups). Every
//! value is read back. A field that cannot be applied is an error.
//!
//! `create` and `update` use the same code. libcgroups sets no limits, because it refuses some,
//! converts some wrongly and ignores others. It only creates the cgroup and loads the device filter.

mod controllers;
mod conversion;
mod cpu_list;
mod dbus;
mod device_rules;
mod error;
mod files;
mod property;
mod read_back;
mod setting;
mod systemd;
mod table;

use std::path::Path;

use libcontainer::oci_spec::runtime::{LinuxMemory, LinuxResources};

use self::error::LimitError;
use self::setting::Setting;
use self::table::Host;
use crate::container::cgroup_path::CGROUP_ROOT;
use crate::error::Error;

/// Checks limits and device rules before the container exists. Returns the problem with the first
/// field that cannot be applied to any cgroup v2.
pub(crate) fn problem_with(resources: &LinuxResources, systemd: bool) -> Option<String> {
    let checked = table::settings(resources, Host { systemd, bfq: false })
        .and_then(|settings| match systemd {
            true => property::of_all(&settings).map(drop),
            false => Ok(()),
        })
        .and_then(|()| device_rules::normalize(resources.devices().as_deref()));
    checked.err().map(|error| error.to_string())
}

/// The part of the resources that libcontainer applies: the device rules, in a form that libcgroups
/// translates correctly.
pub(crate) fn for_libcontainer(resources: &LinuxResources) -> LinuxResources {
    let mut devices_only = LinuxResources::default();
    // `problem_with` has reported the error.
    let rules = device_rules::normalize(resources.devices().as_deref());
    devices_only.set_devices(rules.unwrap_or_default());
    devices_only
}

/// Applies the limits to the container's cgroup and reads them back. If a limit cannot be applied,
/// the old limits are restored.
///
/// `cgroup`: relative to the root of cgroup v2. `None`: the container has no cgroup of its own, so
/// every limit is an error. `systemd`: the last component of the path is a unit of systemd.
pub(crate) fn apply(
    id: &str,
    cgroup: Option<&Path>,
    systemd: bool,
    resources: &LinuxResources,
) -> Result<(), Error> {
    let applied = match cgroup {
        Some(cgroup) => apply_below(Path::new(CGROUP_ROOT), cgroup, systemd, resources),
        None => check_unlimited(resources),
    };
    applied.map_err(|source| Error::Limits { id: id.to_owned(), source: Box::new(source) })
}

fn check_unlimited(resources: &LinuxResources) -> Result<(), LimitError> {
    let settings = table::settings(resources, Host { systemd: false, bfq: false })?;
    match settings.first() {
        None => Ok(()),
        Some(limit) => {
            Err(LimitError::field(&limit.field, "the container has no cgroup v2 of its own"))
        }
    }
}

fn apply_below(
    root: &Path,
    cgroup: &Path,
    systemd: bool,
    resources: &LinuxResources,
) -> Result<(), LimitError> {
    controllers::enable(root, cgroup);
    let folder = root.join(cgroup);
    let host = Host { systemd, bfq: folder.join("io.bfq.weight").exists() };
    let settings = table::settings(resources, host)?;
    if let Some(memory) = resources.memory() {
        check_usage(&folder, memory)?;
    }
    let unit = if systemd { cgroup.file_name().and_then(|name| name.to_str()) } else { None };
    let old = files::current(&folder, &settings);
    set(&folder, unit, &settings).inspect_err(|_| {
        // The first error is enough.
        let _ = set(&folder, unit, &old);
    })
}

/// The properties first, because systemd writes the files when it gets the properties.
fn set(folder: &Path, unit: Option<&str>, settings: &[Setting]) -> Result<(), LimitError> {
    if let Some(unit) = unit {
        systemd::set_properties(unit, property::of_all(settings)?)?;
    }
    files::write(folder, settings)
}

/// Refuses memory limits below the present usage if the spec says `checkBeforeUpdate`. Otherwise the
/// kernel would kill processes of the container.
fn check_usage(folder: &Path, memory: &LinuxMemory) -> Result<(), LimitError> {
    if memory.check_before_update() != Some(true) {
        return Ok(());
    }
    // As in runc, an unknown usage is no reason to refuse.
    let usage = std::fs::read_to_string(folder.join("memory.current")).ok();
    let Some(usage) = usage.and_then(|text| text.trim().parse::<i64>().ok()) else { return Ok(()) };
    let limits = [("memory.swap", memory.swap()), ("memory.limit", memory.limit())];
    for (field, limit) in limits {
        if let Some(limit) = limit.filter(|limit| (1..=usage).contains(limit)) {
            let problem = format!("the limit {limit} is not above the present usage {usage}");
            return Err(LimitError::field(field, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    /// A folder with the files of a cgroup. Unlike the kernel, it stores the written text.
    fn cgroup(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        for (file, text) in files {
            fs::write(root.path().join("c").join(file), text).unwrap();
        }
        root
    }

    fn apply(root: &TempDir, resources: Value) -> Result<(), String> {
        let resources = serde_json::from_value(resources).unwrap();
        apply_below(root.path(), Path::new("c"), false, &resources)
            .map_err(|error| error.to_string())
    }

    fn read(root: &TempDir, file: &str) -> String {
        fs::read_to_string(root.path().join("c").join(file)).unwrap()
    }

    #[test]
    fn limits_are_written_to_the_files() {
        let files = ["memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "io.weight"];
        let root = cgroup(&files.map(|file| (file, "")));
        let resources = json!({
            "memory": { "limit": 67108864, "swap": 67108864 }, "cpu": { "shares": 1024 },
            "blockIO": { "weight": 500 }, "unified": { "cpu.max": "50000 100000" },
        });
        apply(&root, resources).unwrap();
        let values = files.map(|file| read(&root, file));
        assert_eq!(values, ["67108864", "0", "50000 100000", "100", "4950"]);
    }

    #[test]
    fn the_old_limits_are_restored_if_one_cannot_be_applied() {
        let root = cgroup(&[("pids.max", "max\n"), ("memory.max", "1000\n")]);
        let resources =
            json!({ "pids": { "limit": 7 }, "memory": { "limit": 8192, "swap": 16384 } });
        let line = apply(&root, resources).unwrap_err();
        assert!(line.contains("linux.resources.memory.swap"), "{line}");
        assert_eq!(
            (read(&root, "pids.max"), read(&root, "memory.max")),
            ("max".into(), "1000".into())
        );
    }

    #[test]
    fn without_a_cgroup_every_limit_is_an_error() {
        let apply = |resources: Value| {
            let applied =
                super::apply("c", None, false, &serde_json::from_value(resources).unwrap());
            applied.map_err(|error| crate::error::line(&error))
        };
        assert_eq!(apply(json!({ "pids": { "limit": 0 }, "cpu": {} })), Ok(()));
        let line = apply(json!({ "pids": { "limit": 7 } })).unwrap_err();
        assert!(line.contains("container c: linux.resources.pids.limit: "), "{line}");
    }

    #[test]
    fn the_weight_of_bfq_has_its_own_file() {
        let root = cgroup(&[("io.bfq.weight", "default 100\n")]);
        apply(&root, json!({ "blockIO": { "weight": 500 } })).unwrap();
        assert_eq!(read(&root, "io.bfq.weight"), "500");
    }

    #[test]
    fn a_limit_below_the_usage_is_refused_if_the_spec_says_so() {
        let root = cgroup(&[("memory.current", "8192\n"), ("memory.max", "max\n")]);
        let limit = |limit: i64, check: bool| {
            apply(&root, json!({ "memory": { "limit": limit, "checkBeforeUpdate": check } }))
        };
        let line = limit(8192, true).unwrap_err();
        assert!(line.contains("memory.limit: the limit 8192 is not above"), "{line}");
        assert_eq!(read(&root, "memory.max"), "max\n");
        limit(12288, true).unwrap();
        limit(4096, false).unwrap();
        limit(-1, true).unwrap();
    }

    #[test]
    fn problems_are_found_before_the_container_exists() {
        let problem = |resources: Value, systemd: bool| {
            problem_with(&serde_json::from_value(resources).unwrap(), systemd)
        };
        assert_eq!(problem(json!({}), true), None);
        let list = json!({ "cpu": { "cpus": "x" } });
        assert_eq!(problem(list.clone(), false), None);
        assert!(problem(list, true).unwrap().contains("cpu.cpus"));
        let rules = json!({ "devices": [{ "allow": true, "type": "c", "access": "x" }] });
        assert!(problem(rules, false).unwrap().contains("linux.resources.devices"));
    }
}
