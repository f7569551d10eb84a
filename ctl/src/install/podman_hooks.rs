//! Podman's hooks: runvf's files in `hooks.d`, and whether Podman reads them.
//!
//! A `hooks_dir` in a later containers.conf may name only other directories. Podman then starts a
//! sensor without its VF, and without an error.

use std::path::Path;

use super::command::{self, COMMAND_TIMEOUT};
use super::root::Root;
use crate::error::Error;

pub(super) const HOOKS: [(&str, &str); 2] = [
    (
        "/usr/share/containers/oci/hooks.d/runvf-attach.json",
        include_str!("../../../packaging/hooks.d/runvf-attach.json"),
    ),
    (
        "/usr/share/containers/oci/hooks.d/runvf-detach.json",
        include_str!("../../../packaging/hooks.d/runvf-detach.json"),
    ),
];

pub(super) const REMEDY: &str =
    "add /usr/share/containers/oci/hooks.d to the `hooks_dir` that is read last";

/// The reason why Podman does not run runvf's hooks, if it does not.
pub(super) fn problem(root: &Root) -> Result<Option<String>, Error> {
    let help = command::stdout(&["podman", "--help"], COMMAND_TIMEOUT)?;
    let dirs = dirs_without_hooks(root, &help);
    Ok(dirs
        .map(|dirs| format!("reads hooks only from {dirs} and would start sensors without a VF")))
}

/// The directories from which Podman reads hooks, if none of them has runvf's hooks.
///
/// Only Podman's help shows them, as the default of `--hooks-dir`. Without a default it reads the
/// usual directories.
fn dirs_without_hooks(root: &Root, help: &str) -> Option<String> {
    let option = help.lines().find(|line| line.trim_start().starts_with("--hooks-dir "))?;
    let (dirs, _) = option.split_once("(default [")?.1.rsplit_once("])")?;
    // A file of the same name in a later directory replaces runvf's hook; that is a decision of the
    // administrator.
    let has_hooks = |dir: &str| {
        let names = HOOKS.iter().filter_map(|(path, _)| Path::new(path).file_name());
        names.map(|name| Path::new(dir).join(name)).all(|path| root.exists(path))
    };
    (!dirs.split(',').any(has_hooks)).then(|| dirs.replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The help of Podman 5.4; 4.3 calls the type `strings`.
    fn help(dirs: &str) -> String {
        format!(
            "Options:\n      --help                        Help for podman\n      --hooks-dir stringArray       Set the OCI hooks \
             directory path (may be set multiple times){dirs}\n      --log-level string            Log messages above\n"
        )
    }

    #[test]
    fn one_directory_with_the_hooks_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (path, text) in HOOKS {
            let path = root.resolve(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/usr/share/containers/oci", dir.path().join("linked")).unwrap();
        let found = |dirs: &str| dirs_without_hooks(&root, &help(dirs));
        for read in [
            " (default [/usr/share/containers/oci/hooks.d])",
            " (default [/srv/hooks,/usr/share/containers/oci/hooks.d/])",
            " (default [/linked/hooks.d])",
            "",
        ] {
            assert_eq!(found(read), None, "{read}");
        }
        assert_eq!(found(" (default [/srv/hooks])").unwrap(), "/srv/hooks");
        assert_eq!(found(" (default [/srv/a,\"/b\"\"c\"])").unwrap(), "/srv/a, \"/b\"\"c\"");
        assert_eq!(dirs_without_hooks(&root, "another help"), None);
    }
}
