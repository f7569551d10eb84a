//! Whether Podman reads runvf's hooks. A `hooks_dir` that is read after runvf's may name other folders alone, and a sensor would
//! start without its VF and without a word.

use std::path::Path;

use super::command::{self, ANSWER};
use super::podman::HOOKS;
use super::root::Root;
use crate::error::Error;

pub(super) const MEND: &str =
    "name /usr/share/containers/oci/hooks.d in the `hooks_dir` that is read last, too";

/// What is wrong, if anything is.
pub(super) fn problem(root: &Root) -> Result<Option<String>, Error> {
    let folders = without_ours(root, &command::ok(&["podman", "--help"], ANSWER)?);
    Ok(folders.map(|folders| {
        format!("reads hooks from {folders} alone and would start sensors without a VF")
    }))
}

/// The folders that Podman reads hooks from, if runvf's are in none of them. Of all that it prints only its help tells them, as what
/// `--hooks-dir` is by default. With none it reads the usual ones.
fn without_ours(root: &Root, help: &str) -> Option<String> {
    let option = help.lines().find(|line| line.trim_start().starts_with("--hooks-dir "))?;
    let (folders, _) = option.split_once("(default [")?.1.rsplit_once("])")?;
    // A file of the same name in a later folder takes the place of runvf's, and somebody means it.
    let has_ours = |folder: &str| {
        let names = HOOKS.iter().filter_map(|(path, _)| Path::new(path).file_name());
        names.map(|name| Path::new(folder).join(name)).all(|path| root.has(path))
    };
    (!folders.split(',').any(has_ours)).then(|| folders.replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use toml_edit::Document;

    use super::super::podman::CONFIG;
    use super::*;

    /// As Podman 5.4 prints it; 4.3 calls the type `strings`.
    fn help(folders: &str) -> String {
        format!(
            "Options:\n      --help                        Help for podman\n      --hooks-dir stringArray       Set the OCI hooks \
             directory path (may be set multiple times){folders}\n      --log-level string            Log messages above\n"
        )
    }

    #[test]
    fn the_folder_of_the_hooks_is_added_to_those_of_others() {
        let parsed = Document::parse(CONFIG.1).unwrap();
        let folders = parsed["engine"]["hooks_dir"].as_array().unwrap();
        let (ours, how) = (folders.get(0).unwrap(), folders.get(1).unwrap());
        assert_eq!(how.as_inline_table().unwrap()["append"].as_bool(), Some(true));
        let ours = ours.as_str().unwrap();
        assert!(HOOKS.iter().all(|(path, _)| Path::new(path).parent() == Some(Path::new(ours))));
        assert!(MEND.contains(ours));
    }

    #[test]
    fn one_folder_with_runvfs_hooks_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        for (path, text) in HOOKS {
            let path = root.at(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/usr/share/containers/oci", folder.path().join("linked"))
            .unwrap();
        let found = |folders: &str| without_ours(&root, &help(folders));
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
        assert_eq!(without_ours(&root, "another help"), None);
    }
}
