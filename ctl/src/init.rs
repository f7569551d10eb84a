//! `runvfctl init`: generates a configuration for the NICs of this machine. It is not interactive:
//! comments in the file describe what the administrator has to decide.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use vf::{Host, Nic};

use crate::error::Error;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Output file; `-` for standard output [default: /etc/runvf/config.toml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file; a backup is kept beside it
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(host: &Host, options: &Options) -> Result<String, Error> {
    let nics = vf::survey(host)?;
    if nics.is_empty() {
        return Err(Error::NoSriovNic);
    }
    let text = config(&nics);
    let path = options.output.as_ref().unwrap_or(&host.config);
    if path == Path::new("-") {
        return Ok(text);
    }
    let backup = write(path, &text, options.force)?;
    let backup = backup.map(|backup| format!(" (backup {})", backup.display())).unwrap_or_default();
    Ok(format!("wrote {}{backup}; review it, then run `runvfctl setup`\n", path.display()))
}

/// Writes the file atomically. Without `force` an existing file is an error, even if it appears
/// during the write. With `force` it is kept as a backup, because it may be the only copy of the
/// tenants' rules; the backup's path is returned.
fn write(path: &Path, text: &str, force: bool) -> Result<Option<PathBuf>, Error> {
    // A rename onto a symlink would replace the symlink.
    let target = fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(Error::file("write", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", path))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))
        .map_err(Error::file("write", path))?;
    let backup = if force { link_backup(path)? } else { None };
    let written = match force {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    match written {
        Ok(_) => Ok(backup),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(Error::Conflict {
            problem: format!("{} already exists", path.display()),
            hint: "use --force to replace it, or --output - to print the new one".to_owned(),
        }),
        Err(error) => Err(Error::file("write", path)(error.error)),
    }
}

/// Links the file to a free backup name. The rename of the new file then removes only the old name.
fn link_backup(path: &Path) -> Result<Option<PathBuf>, Error> {
    for number in 1.. {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let backup = PathBuf::from(format!("{}.runvf-backup{number}", path.display()));
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(Some(backup)),
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::file("back up the old file to", backup)(error)),
        }
    }
    Ok(None)
}

const HEAD: &str = "\
# The PFs whose VFs runvf gives to containers. All keys: /usr/share/doc/runvf/docs/config.md.
#
# A pool is a set of PFs that receive the same traffic. Remove PFs that receive no mirrored
# traffic, and define one pool for each mirror session. With several pools, a container selects
# one with `io.runvf.pool=NAME`.
";

const TAIL: &str = "\
# driver = \"i40e\"           # refuse PFs with another driver
# carrier = \"ignore\"        # start sensors even without a carrier
# scrub = \"flr\"             # also clean a VF with a function-level reset
# on_loss = \"keep\"          # do not stop a container that loses its VF
# on_promisc_off = \"report\" # only report a container that turns promiscuity off
# promisc = \"best-effort\"   # start sensors even if the VF may not be promiscuous
# pf_promisc = true         # `runvfctl setup` also makes the PFs promiscuous
# profile = \"plain\"         # leave ARP, IPv6 and offloads in the container unchanged
# mtu = 9000                # default MTU of a VF
";

fn config(nics: &[Nic]) -> String {
    let mut text = format!("{HEAD}\n[[pool]]\nname = \"sensors\"\npfs = [\n");
    for nic in nics {
        let link = match (nic.up, nic.carrier) {
            (false, _) => "down",
            (true, false) => "up, no carrier",
            (true, true) => "up",
        };
        let Nic { name, pci, driver, vfs, total, .. } = nic;
        let _ = writeln!(text, "    {name:?},  # {pci}, {driver}, {link}, {vfs} of {total} VFs");
        if let Some(obstacle) = &nic.obstacle {
            let _ = writeln!(text, "    # ^ its VFs cannot be promiscuous yet: {obstacle}");
        }
    }
    let least = nics.iter().map(|nic| nic.total).min().unwrap_or_default();
    let _ = writeln!(
        text,
        "]\n# vfs = {least:<18} # VFs on each PF; the default is as many as the PF supports\n{TAIL}"
    );
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nics() -> Vec<Nic> {
        let nic = |name: &str, up, obstacle: Option<&str>| Nic {
            name: name.into(),
            pci: "0000:41:00.0".into(),
            driver: "i40e".into(),
            vfs: 0,
            total: 64,
            up,
            carrier: up,
            obstacle: obstacle.map(str::to_owned),
        };
        vec![nic("p0", true, None), nic("p1", false, Some("the flag is off; `runvfctl setup`"))]
    }

    #[test]
    fn file_lists_the_nics_of_this_machine() {
        let text = config(&nics());
        assert!(text.contains("\n    \"p0\",  # 0000:41:00.0, i40e, up, 0 of 64 VFs\n"), "{text}");
        assert!(
            text.contains(
                "i40e, down, 0 of 64 VFs\n    # ^ its VFs cannot be promiscuous yet: the flag"
            ),
            "{text}"
        );
        assert!(text.contains("\n# vfs = 64 "), "{text}");
    }

    #[test]
    fn file_is_a_valid_configuration_with_and_without_its_comments() {
        let text = config(&nics());
        let dir = tempfile::tempdir().unwrap();
        for text in
            [text.clone(), text.replace("\n# vfs", "\nvfs").replace("\n# carrier", "\ncarrier")]
        {
            let file = dir.path().join("config.toml");
            write(&file, &text, true).unwrap();
            let host = Host { config: file, ..Host::default() };
            let loaded = vf::Config::load(&host).unwrap();
            assert_eq!(loaded.pools[0].pfs, ["p0", "p1"]);
        }
    }

    #[test]
    fn existing_file_is_kept_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        write(&path, "mine", false).unwrap();
        let line = write(&path, "other", false).unwrap_err().line();
        assert!(line.contains("already exists; use --force to replace it"), "{line}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file is left"
        );
        // With --force it becomes a backup, and a symlink to it stays a symlink.
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (text, number) in [("mine", ""), ("other", "-2")] {
            let backup = write(&link, "other", true).unwrap().unwrap();
            assert_eq!(backup.file_name().unwrap(), &*format!("config.toml.runvf-backup{number}"));
            assert_eq!(fs::read_to_string(&backup).unwrap(), text);
        }
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert_eq!(write(&dir.path().join("none.toml"), "new", true).unwrap(), None);
    }
}
