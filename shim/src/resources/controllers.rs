//! Enables the controllers of a cgroup. libcgroups and systemd enable only some: without `rdma` and
//! `hugetlb`, the files of these limits do not exist.

use std::fs;
use std::path::Path;

/// Enables every controller that the kernel has in the cgroups above the container's, as runc does
/// (`fs2/create.go`). Errors are left out: the write of a limit then says which controller is
/// missing.
pub(super) fn enable(root: &Path, cgroup: &Path) {
    let read = |folder: &Path| {
        let text = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = read(root);
    let enabled = read(&root.join(cgroup));
    let missing: Vec<String> = all
        .into_iter()
        .filter(|controller| !enabled.contains(controller))
        .map(|controller| format!("+{controller}"))
        .collect();
    if missing.is_empty() {
        return;
    }
    let mut above: Vec<&Path> = cgroup.ancestors().skip(1).collect();
    above.reverse();
    for folder in above {
        let file = root.join(folder).join("cgroup.subtree_control");
        // One controller that cannot be enabled makes the whole write fail.
        if fs::write(&file, missing.join(" ")).is_err() {
            for controller in &missing {
                let _ = fs::write(&file, controller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_controllers_are_enabled_above_the_cgroup() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = root.path().join("a/b");
        fs::create_dir_all(&cgroup).unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu rdma hugetlb\n").unwrap();
        fs::write(cgroup.join("cgroup.controllers"), "cpu\n").unwrap();
        enable(root.path(), Path::new("a/b"));
        let read = |folder: &str| {
            fs::read_to_string(root.path().join(folder).join("cgroup.subtree_control"))
        };
        assert_eq!(read("").unwrap(), "+rdma +hugetlb");
        assert_eq!(read("a").unwrap(), "+rdma +hugetlb");
        assert!(
            read("a/b").is_err(),
            "a cgroup with controllers for its children has no processes"
        );
    }
}
