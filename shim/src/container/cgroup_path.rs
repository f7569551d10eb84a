//! Where a cgroup is: that of a process, and that which a spec names.

use std::fs;
use std::path::{Component, Path, PathBuf};

pub(crate) const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// What is wrong with the cgroup that a spec names for the cgroupfs driver, if anything. libcontainer puts whatever container there, and
/// kills all that is in it and below when the container ends; the root's device filter would be the host's. (runc refuses a cgroup with
/// processes from 1.2 on, and warns before.)
pub(crate) fn problem_with(path: &Path) -> Option<String> {
    unfit_below(Path::new(CGROUP_ROOT), path)
}

fn unfit_below(root: &Path, path: &Path) -> Option<String> {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => below.push(name),
            Component::ParentDir => drop(below.pop()),
            _ => {}
        }
    }
    if below.as_os_str().is_empty() {
        return Some(
            "linux.cgroupsPath is the cgroup of every process of this machine; leave it out".into(),
        );
    }
    let unified = root.join("cgroup.controllers").exists();
    let hierarchies: Vec<PathBuf> = match unified {
        true => vec![root.to_owned()],
        false => fs::read_dir(root).into_iter().flatten().flatten().map(|it| it.path()).collect(),
    };
    let populated = |folder: PathBuf| {
        let (events, own) = (folder.join("cgroup.events"), folder.join("cgroup.procs"));
        fs::read_to_string(events).is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
            || fs::read_to_string(own).is_ok_and(|text| !text.is_empty())
    };
    let taken = hierarchies.into_iter().any(|root| populated(root.join(&below)));
    taken.then(|| {
        format!("linux.cgroupsPath /{} has processes in it already; name another", below.display())
    })
}

/// Where a process is below the root of cgroup v2: the line `0::/path`, cgroups(7).
pub(crate) fn of_process(pid: i32) -> Option<PathBuf> {
    unified_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn unified_in(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The root is everybody's: a device filter there would be the host's too.
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_with_processes_is_nobodys_to_take() {
        let root = tempfile::tempdir().unwrap();
        let told = |path: &str| unfit_below(root.path(), Path::new(path));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // Version 1, each hierarchy with cgroups of its own.
        write("pids/a/cgroup.procs", "7\n");
        write("pids/b/cgroup.procs", "");
        assert!(told("/a").unwrap().contains("/a has processes"));
        assert_eq!((told("b"), told("/c")), (None, None));
        write("cgroup.controllers", "");
        write("slice/b/cgroup.events", "populated 1\nfrozen 0\n");
        write("slice/b/cgroup.procs", "");
        assert!(told("x/../slice/b").unwrap().contains("/slice/b has processes"));
        assert_eq!((told("/b"), told("/a"), told("/slice/a")), (None, None, None));
        assert!(told("/..").unwrap().contains("every process"));
    }

    #[test]
    fn only_a_cgroup_of_its_own_is_one() {
        let scope = "system.slice/docker-1.scope";
        assert_eq!(unified_in(&format!("0::/{scope}\n")), Some(scope.into()));
        assert_eq!(unified_in("0::/\n"), None);
        assert_eq!(unified_in("4:devices:/x\n"), None);
    }
}
