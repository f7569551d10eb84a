//! Paths of cgroups: the path of a process's cgroup, and the path that a spec names.

use std::fs;
use std::path::{Component, Path, PathBuf};

use libcgroups::common::{CgroupSetup, get_cgroup_setup};

/// The mount point of the cgroup file systems.
pub(crate) const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Whether all controllers are in cgroup v2.
pub(crate) fn is_unified() -> bool {
    matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified))
}

/// Checks the cgroup that a spec names for the systemd driver, and returns the problem if there is one.
/// As runc, it accepts only the slice, the prefix and the name of a unit; libcontainer also accepts
/// less.
pub(crate) fn problem_with_unit(path: &Path) -> Option<String> {
    let path = path.to_string_lossy();
    (path.split(':').count() != 3).then(|| {
        format!(
            "linux.cgroupsPath `{path}` is not `slice:prefix:name`, as --systemd-cgroup needs it"
        )
    })
}

/// Checks the cgroup that a spec names for the cgroupfs driver, and returns the problem if there is
/// one. The root cgroup is refused, because a device filter there would apply to the whole host. A
/// cgroup with processes is refused, because libcontainer kills all processes in it and below it
/// when the container ends. (runc 1.2 refuses a cgroup with processes too; an older runc warns.)
pub(crate) fn problem_with(path: &Path) -> Option<String> {
    problem_below(Path::new(CGROUP_ROOT), path)
}

fn problem_below(root: &Path, path: &Path) -> Option<String> {
    let mut relative = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => relative.push(name),
            Component::ParentDir => drop(relative.pop()),
            _ => {}
        }
    }
    if relative.as_os_str().is_empty() {
        return Some(
            "linux.cgroupsPath is the root cgroup, which contains every process of the host; \
             remove it"
                .into(),
        );
    }
    let unified = root.join("cgroup.controllers").exists();
    let hierarchies: Vec<PathBuf> = match unified {
        true => vec![root.to_owned()],
        false => {
            let entries = fs::read_dir(root).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        }
    };
    let is_populated = |folder: PathBuf| {
        let (events, procs) = (folder.join("cgroup.events"), folder.join("cgroup.procs"));
        fs::read_to_string(events).is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
            || fs::read_to_string(procs).is_ok_and(|text| !text.is_empty())
    };
    let in_use = hierarchies.into_iter().any(|root| is_populated(root.join(&relative)));
    in_use.then(|| {
        let path = relative.display();
        format!("linux.cgroupsPath /{path} already contains processes; use another cgroup")
    })
}

/// The cgroup of a process, relative to the root of cgroup v2. It is the line `0::/path` of
/// /proc/PID/cgroup, cgroups(7). `None` if the process is in the root cgroup or only in cgroups v1.
pub(crate) fn of_process(pid: i32) -> Option<PathBuf> {
    parse_unified(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn parse_unified(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The root cgroup is not the container's own: a device filter there would apply to the host
    // too.
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_cgroup_and_cgroups_with_processes_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let problem = |path: &str| problem_below(root.path(), Path::new(path));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // In cgroup v1, each hierarchy has its own cgroups.
        write("pids/a/cgroup.procs", "7\n");
        write("pids/b/cgroup.procs", "");
        assert!(problem("/a").unwrap().contains("/a already contains processes"));
        assert_eq!((problem("b"), problem("/c")), (None, None));
        write("cgroup.controllers", "");
        write("slice/b/cgroup.events", "populated 1\nfrozen 0\n");
        write("slice/b/cgroup.procs", "");
        assert!(problem("x/../slice/b").unwrap().contains("/slice/b already contains processes"));
        assert_eq!((problem("/b"), problem("/a"), problem("/slice/a")), (None, None, None));
        assert!(problem("/..").unwrap().contains("every process of the host"));
    }

    #[test]
    fn a_unit_has_a_slice_a_prefix_and_a_name() {
        let problem = |path: &str| problem_with_unit(Path::new(path));
        assert_eq!((problem("system.slice:docker:1"), problem(":runvf:1")), (None, None));
        for path in ["/a/b", "a:b", "a:b:c:d"] {
            assert!(problem(path).unwrap().contains("slice:prefix:name"), "{path}");
        }
    }

    #[test]
    fn the_root_cgroup_and_cgroups_v1_are_not_returned() {
        let scope = "system.slice/docker-1.scope";
        assert_eq!(parse_unified(&format!("0::/{scope}\n")), Some(scope.into()));
        assert_eq!(parse_unified("0::/\n"), None);
        assert_eq!(parse_unified("4:devices:/x\n"), None);
    }
}
