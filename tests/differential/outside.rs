//! What the host sees of the container's init process: its namespaces and its cgroup.

use std::fs;
use std::path::Path;

use crate::outcome::Line;

const NAMESPACES: [&str; 8] =
    ["cgroup", "ipc", "mnt", "net", "pid", "time_for_children", "user", "uts"];

/// The files of a cgroup that hold settings. The others hold statistics.
const SETTINGS: [&str; 21] = [
    "cgroup.freeze",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.subtree_control",
    "cgroup.type",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.cpus.partition",
    "cpuset.mems",
    "io.max",
    "io.weight",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.min",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
];

/// The name of a namespace, given the target of its link: `host` if this process is in it.
pub(crate) fn name_of_namespace(link: &str) -> String {
    let kind = link.split(':').next().unwrap_or_default();
    let own = fs::read_link(format!("/proc/self/ns/{kind}"));
    let is_host = own.is_ok_and(|own| own.as_os_str() == link);
    format!("{kind} {}", if is_host { "host" } else { "own" })
}

pub(crate) fn namespaces(pid: i32) -> Vec<Line> {
    let lines = NAMESPACES.iter().filter_map(|kind| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        let link = link.to_string_lossy();
        // The link of `time_for_children` is `time:[N]`.
        Some(Line::new(format!("namespace {kind}"), name_of_namespace(&link)))
    });
    lines.collect()
}

/// The path of the process's cgroup, and the settings in it and in its parent.
pub(crate) fn cgroup(pid: i32) -> Vec<Line> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return vec![Line::new("cgroup", "none")];
    };
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let mut lines = vec![Line::new("cgroup", path)];
    let mut names: Vec<String> = SETTINGS.iter().map(|name| (*name).to_owned()).collect();
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let limits = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.extend(limits.filter(|name| {
        let counted = ["hugetlb.", "rdma.", "misc."].iter().any(|kind| name.starts_with(kind));
        counted && name.ends_with(".max")
    }));
    names.sort();
    for name in names {
        if let Ok(value) = fs::read_to_string(folder.join(&name)) {
            lines.push(Line::new(format!("cgroup file {name}"), value.trim().replace('\n', "; ")));
        }
    }
    lines
}
