//! Reads the configuration file, but only if no user other than root can change or replace it,
//! because its content decides which tenant sees which traffic.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::policy::error::PolicyError;

/// The maximum size of the file, in bytes. A file with each VLAN on a line of its own is far
/// smaller.
const MAX_SIZE: u64 = 1 << 20;

/// Returns the text of the configuration file, if only root can write it.
///
/// # Errors
/// [`PolicyError::NoConfig`] when the file does not exist; [`PolicyError::Config`] when users other
/// than root can write or replace it, or when it is not a regular file or too large;
/// [`KernelError::File`] when it cannot be read.
///
/// [`KernelError::File`]: crate::KernelError::File
pub(crate) fn read(host: &Host) -> Result<String, Error> {
    let path = &host.config;
    let failed = Error::file("read", path);
    // The file is opened once, so that the checks and the read apply to the same file. O_NONBLOCK,
    // because opening a FIFO would block.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing_config(host)),
        result => result.map_err(&failed)?,
    };
    let metadata = file.metadata().map_err(&failed)?;
    if !metadata.is_file() {
        return Err(config_error(
            path,
            "not a regular file".to_owned(),
            super::parse::MANUAL.to_owned(),
        ));
    }
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        let hint = format!("`chown root:root {0} && chmod 644 {0}`", path.display());
        return Err(config_error(path, "users other than root can write it".to_owned(), hint));
    }
    check_folder_owners(path)?;
    let mut text = String::with_capacity(metadata.len().min(MAX_SIZE) as usize + 1);
    file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(&failed)?;
    // A truncated file could lack restrictions, for example all tenants.
    if text.len() as u64 > MAX_SIZE {
        let problem = format!("larger than {} KiB", MAX_SIZE >> 10);
        return Err(config_error(path, problem, super::parse::MANUAL.to_owned()));
    }
    Ok(text)
}

/// Checks that only root can replace the file at `path`. A user who can write to a folder can
/// replace each file and folder in it, so this checks every parent folder of the path, both before
/// and after the symbolic links are resolved.
///
/// # Errors
/// [`PolicyError::Config`] with the folder that other users can write to; [`KernelError::File`]
/// when a folder cannot be inspected.
///
/// [`KernelError::File`]: crate::KernelError::File
pub fn check_folder_owners(path: &Path) -> Result<(), Error> {
    let real = fs::canonicalize(path).map_err(Error::file("resolve", path))?;
    let real = Some(real.as_path()).filter(|real| *real != path);
    for file in [Some(path), real].into_iter().flatten() {
        for (level, folder) in file.ancestors().skip(1).enumerate() {
            let metadata = fs::metadata(folder).map_err(Error::file("inspect", folder))?;
            // In a sticky folder such as `/tmp`, other users cannot replace files of root. This
            // does not suffice for the file's own folder: if the file does not exist, any user can
            // create a symbolic link there to another file of root.
            let writable =
                metadata.mode() & 0o022 != 0 && (level == 0 || metadata.mode() & 0o1000 == 0);
            if metadata.uid() != 0 || writable {
                let problem = format!(
                    "users other than root can replace it by writing to {}",
                    folder.display()
                );
                let hint = format!("`chown root:root {0} && chmod go-w {0}`", folder.display());
                return Err(config_error(path, problem, hint));
            }
        }
    }
    Ok(())
}

fn config_error(path: &Path, problem: String, hint: String) -> Error {
    Error::Policy(PolicyError::Config { path: path.to_owned(), problem, hint })
}

/// The error for a missing file, with an example for the PFs of this machine. The example is one
/// line, because engines relay only one line.
fn missing_config(host: &Host) -> Error {
    let mut pfs: Vec<String> = Sysfs(host.sysfs.clone())
        .sriov_netdevs()
        .into_iter()
        .map(|(_, name)| format!("{name:?}"))
        .collect();
    let example = if pfs.is_empty() {
        "this machine has no SR-IOV NIC (no /sys/bus/pci/devices/*/sriov_totalvfs)".to_owned()
    } else {
        pfs.truncate(8);
        format!(
            "an example for this machine: pool = [{{ name = \"sensors\", pfs = [{}] }}]",
            pfs.join(", ")
        )
    };
    Error::Policy(PolicyError::NoConfig { path: host.config.clone(), example })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn host(folder: &Path) -> Host {
        Host { config: folder.join("etc/runvf/config.toml"), ..Host::default() }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_other_users_can_write_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let (etc, runvf_dir) = (folder.path().join("etc"), folder.path().join("etc/runvf"));
        fs::create_dir_all(&runvf_dir).unwrap();
        fs::write(&host.config, "text").unwrap();
        assert_eq!(read(&host).unwrap(), "text");
        let refused = |culprit: &Path, bits: u32, usual: u32, expected: &str| {
            mode(culprit, bits);
            let line = read(&host).unwrap_err().line();
            assert!(line.contains(expected), "{line}");
            mode(culprit, usual);
        };
        refused(&host.config, 0o664, 0o644, ": users other than root can write it; `chown root");
        for (culprit, bits) in [(&runvf_dir, 0o775), (&runvf_dir, 0o1777), (&etc, 0o757)] {
            let message =
                format!("can replace it by writing to {}; `chown root:root", culprit.display());
            refused(culprit, bits, 0o755, &message);
        }
        mode(&etc, 0o1777);
        assert_eq!(
            read(&host).unwrap(),
            "text",
            "other users cannot replace root's folder in a sticky folder"
        );
        nix::unistd::chown(&runvf_dir, Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
        assert!(read(&host).unwrap_err().line().contains("can replace it by writing to"));
    }

    #[test]
    fn the_folders_of_a_symlink_target_are_checked_too() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let (runvf_dir, other) = (folder.path().join("etc/runvf"), folder.path().join("other"));
        fs::create_dir_all(&runvf_dir).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("c"), "text").unwrap();
        symlink(other.join("c"), &host.config).unwrap();
        assert_eq!(read(&host).unwrap(), "text");
        mode(&other, 0o777);
        let line = read(&host).unwrap_err().line();
        assert!(
            line.contains(&format!("can replace it by writing to {}", other.display())),
            "{line}"
        );
    }

    #[test]
    fn a_fifo_is_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        fs::create_dir_all(host.config.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&host.config, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&host).unwrap_err().line().contains(": not a regular file; "));
        fs::remove_file(&host.config).unwrap();
        assert!(matches!(read(&host), Err(Error::Policy(PolicyError::NoConfig { .. }))));
    }

    /// The part beyond the limit could contain the tenants. Without tenants, any container may have
    /// any VLAN.
    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        fs::create_dir_all(host.config.parent().unwrap()).unwrap();
        let comment_lines = |comments: u64| "#\n".repeat(usize::try_from(comments).unwrap());
        fs::write(&host.config, comment_lines(MAX_SIZE / 2)).unwrap();
        assert_eq!(read(&host).unwrap().len() as u64, MAX_SIZE);
        fs::write(&host.config, comment_lines(MAX_SIZE / 2) + "[[tenant]]\n").unwrap();
        let line = read(&host).unwrap_err().line();
        assert!(line.contains("larger than 1024 KiB; "), "{line}");
    }
}
