//! Whose word the file is. What it says decides who sees whose traffic, so it has to be root's, and nobody else may be able to
//! put another in its place.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::policy::error::PolicyError;

/// Far more than every VLAN on a line of its own.
const LARGEST: u64 = 1 << 20;

/// The file's text, if root alone could have written it.
///
/// # Errors
/// [`PolicyError::NoConfig`], [`PolicyError::Config`], [`KernelError::File`].
pub(crate) fn read(host: &Host) -> Result<String, Error> {
    let path = &host.config;
    let failed = Error::file("read", path);
    // Opened once, so that what is looked at is what is read. A FIFO would wait for ever.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(none(host)),
        other => other.map_err(&failed)?,
    };
    let metadata = file.metadata().map_err(&failed)?;
    if !metadata.is_file() {
        return Err(wrong(path, "it is not a file".to_owned(), super::parse::MANUAL.to_owned()));
    }
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        let hint = format!("`chown root:root {0} && chmod 644 {0}`", path.display());
        return Err(wrong(path, "somebody other than root may write it".to_owned(), hint));
    }
    folders_are_roots(path)?;
    let mut text = String::with_capacity(metadata.len().min(LARGEST) as usize + 1);
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(&failed)?;
    // A part of it might say less of who may have what than the whole.
    if text.len() as u64 > LARGEST {
        let problem = format!("it is larger than {} KiB", LARGEST >> 10);
        return Err(wrong(path, problem, super::parse::MANUAL.to_owned()));
    }
    Ok(text)
}

/// Whoever may write to a folder may put another file, or another folder, in the place of what is in it: so for each folder on
/// the way, both as it is written and as links lead.
///
/// # Errors
/// [`PolicyError::Config`] names the folder, [`KernelError::File`] says why it cannot be looked at.
pub fn folders_are_roots(path: &Path) -> Result<(), Error> {
    let real = fs::canonicalize(path).map_err(Error::file("find", path))?;
    let real = Some(real.as_path()).filter(|real| *real != path);
    for file in [Some(path), real].into_iter().flatten() {
        for (above, folder) in file.ancestors().skip(1).enumerate() {
            let metadata = fs::metadata(folder).map_err(Error::file("look at", folder))?;
            // In a sticky folder nobody can replace what is root's (`/tmp`). For the file's own that is not enough: where
            // the file is missing, anybody could put a link to another file of root's.
            let open =
                metadata.mode() & 0o022 != 0 && (above == 0 || metadata.mode() & 0o1000 == 0);
            if metadata.uid() != 0 || open {
                let problem = format!(
                    "somebody other than root may replace it, by way of {}",
                    folder.display()
                );
                let hint = format!("`chown root:root {0} && chmod go-w {0}`", folder.display());
                return Err(wrong(path, problem, hint));
            }
        }
    }
    Ok(())
}

fn wrong(path: &Path, problem: String, hint: String) -> Error {
    Error::Policy(PolicyError::Config { path: path.to_owned(), problem, hint })
}

/// A configuration for the PFs that are here, on one line, because that is all that an engine relays.
fn none(host: &Host) -> Error {
    let mut pfs: Vec<String> = Sysfs(host.sysfs.clone())
        .sriov_netdevs()
        .into_iter()
        .map(|(_, name)| format!("{name:?}"))
        .collect();
    let example = if pfs.is_empty() {
        "this machine shows no NIC with SR-IOV (no /sys/bus/pci/devices/*/sriov_totalvfs)"
            .to_owned()
    } else {
        pfs.truncate(8);
        format!(
            "one for this machine is: pool = [{{ name = \"sensors\", pfs = [{}] }}]",
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
    fn a_file_that_others_may_write_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let (etc, own) = (folder.path().join("etc"), folder.path().join("etc/runvf"));
        fs::create_dir_all(&own).unwrap();
        fs::write(&host.config, "text").unwrap();
        assert_eq!(read(&host).unwrap(), "text");
        let refused = |culprit: &Path, bits: u32, usual: u32, expected: &str| {
            mode(culprit, bits);
            let line = read(&host).unwrap_err().line();
            assert!(line.contains(expected), "{line}");
            mode(culprit, usual);
        };
        refused(&host.config, 0o664, 0o644, ": somebody other than root may write it; `chown root");
        for (culprit, bits) in [(&own, 0o775), (&own, 0o1777), (&etc, 0o757)] {
            let told = format!("may replace it, by way of {}; `chown root:root", culprit.display());
            refused(culprit, bits, 0o755, &told);
        }
        mode(&etc, 0o1777);
        assert_eq!(
            read(&host).unwrap(),
            "text",
            "nobody can replace root's folder in a sticky one"
        );
        nix::unistd::chown(&own, Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
        assert!(read(&host).unwrap_err().line().contains("by way of"));
    }

    #[test]
    fn a_link_is_followed_with_the_same_eyes() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let (own, other) = (folder.path().join("etc/runvf"), folder.path().join("other"));
        fs::create_dir_all(&own).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("c"), "text").unwrap();
        symlink(other.join("c"), &host.config).unwrap();
        assert_eq!(read(&host).unwrap(), "text");
        mode(&other, 0o777);
        let line = read(&host).unwrap_err().line();
        assert!(line.contains(&format!("by way of {}", other.display())), "{line}");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        fs::create_dir_all(host.config.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&host.config, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&host).unwrap_err().line().contains(": it is not a file; "));
        fs::remove_file(&host.config).unwrap();
        assert!(matches!(read(&host), Err(Error::Policy(PolicyError::NoConfig { .. }))));
    }

    /// What is behind the cut might be the tenants, and without any, anybody may have any VLAN.
    #[test]
    fn a_file_that_is_too_large_is_not_read_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        fs::create_dir_all(host.config.parent().unwrap()).unwrap();
        let whole = |comments: u64| "#\n".repeat(usize::try_from(comments).unwrap());
        fs::write(&host.config, whole(LARGEST / 2)).unwrap();
        assert_eq!(read(&host).unwrap().len() as u64, LARGEST);
        fs::write(&host.config, whole(LARGEST / 2) + "[[tenant]]\n").unwrap();
        let line = read(&host).unwrap_err().line();
        assert!(line.contains("it is larger than 1024 KiB; "), "{line}");
    }
}
