//! `runvfctl init`: a configuration for the NICs of this machine. It asks nothing; what it cannot know is said in comments.

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
    /// Where to write it; `-` is standard output [default: /etc/runvf/config.toml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there; the old one is kept beside it
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(host: &Host, options: &Options) -> Result<String, Error> {
    let nics = vf::survey(host)?;
    if nics.is_empty() {
        return Err(Error::Missing {
            what: "a NIC with SR-IOV".to_owned(),
            hint: "enable SR-IOV in the firmware of the machine and of the card; `runvfctl doctor` looks further"
                .to_owned(),
        });
    }
    let text = config(&nics);
    let path = options.output.as_ref().unwrap_or(&host.config);
    if path == Path::new("-") {
        return Ok(text);
    }
    let kept = write(path, &text, options.force)?;
    let kept = kept.map(|kept| format!("; what was there is {} now", kept.display()));
    let kept = kept.unwrap_or_default();
    Ok(format!("wrote {}{kept}; look through it, then `runvfctl setup`\n", path.display()))
}

/// Whole or not at all, and not over a file that somebody puts there meanwhile. One that is replaced may be all that says who may watch
/// what: it stays, under the name that is returned.
fn write(path: &Path, text: &str, force: bool) -> Result<Option<PathBuf>, Error> {
    // A link stays one.
    let target = fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::file("write", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", path))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))
        .map_err(Error::file("write", path))?;
    let kept = if force { keep(path)? } else { None };
    let written = match force {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    match written {
        Ok(_) => Ok(kept),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(Error::Conflict {
            problem: format!("{} is there already", path.display()),
            hint: "`--force` replaces it, `--output -` shows what would be written".to_owned(),
        }),
        Err(error) => Err(Error::file("write", path)(error.error)),
    }
}

/// A second name for the file; the first one it loses when it is replaced.
fn keep(path: &Path) -> Result<Option<PathBuf>, Error> {
    for number in 1.. {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let kept = PathBuf::from(format!("{}.runvf-backup{number}", path.display()));
        match fs::hard_link(path, &kept) {
            Ok(()) => return Ok(Some(kept)),
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::file("keep the old file as", kept)(error)),
        }
    }
    Ok(None)
}

const HEAD: &str = "\
# Which PFs there are to take VFs from. Every key: /usr/share/doc/runvf/docs/config.md.
#
# A pool is a set of PFs that see the same traffic. Take out the PFs that get no mirrored traffic, and make a pool of its own
# for each mirror session; with several pools, a container names one by `io.runvf.pool=NAME`.
";

const TAIL: &str = "\
# driver = \"i40e\"           # take no PF that has another driver
# carrier = \"ignore\"        # start sensors although there is no carrier
# scrub = \"flr\"             # clean a VF with a function-level reset as well
# on_loss = \"keep\"          # a container whose VF vanishes is not stopped
# promisc = \"best-effort\"   # start sensors although the driver may show them nothing of others
# pf_promisc = true         # `runvfctl setup` makes the PFs promiscuous, too
# profile = \"plain\"         # ARP, IPv6 and offloads inside stay as they are
# mtu = 9000                # of VFs whose container asks for none
";

fn config(nics: &[Nic]) -> String {
    let mut text = format!("{HEAD}\n[[pool]]\nname = \"sensors\"\npfs = [\n");
    for nic in nics {
        let link = match (nic.up, nic.carrier) {
            (false, _) => "down",
            (true, false) => "up without a carrier",
            (true, true) => "up",
        };
        let Nic { name, pci, driver, vfs, total, .. } = nic;
        let _ = writeln!(text, "    {name:?},  # {pci}, {driver}, {link}, {vfs} of {total} VFs");
        if let Some(obstacle) = &nic.obstacle {
            let _ = writeln!(text, "    # ^ its VFs are not promiscuous yet: {obstacle}");
        }
    }
    let least = nics.iter().map(|nic| nic.total).min().unwrap_or_default();
    let _ = writeln!(
        text,
        "]\n# vfs = {least:<18} # VFs on each PF; without it, as many as it can have\n{TAIL}"
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
    fn the_file_says_what_is_here() {
        let text = config(&nics());
        assert!(text.contains("\n    \"p0\",  # 0000:41:00.0, i40e, up, 0 of 64 VFs\n"), "{text}");
        assert!(
            text.contains(
                "i40e, down, 0 of 64 VFs\n    # ^ its VFs are not promiscuous yet: the flag"
            ),
            "{text}"
        );
        assert!(text.contains("\n# vfs = 64 "), "{text}");
    }

    #[test]
    fn the_file_is_a_configuration_with_and_without_its_comments() {
        let text = config(&nics());
        let folder = tempfile::tempdir().unwrap();
        for text in
            [text.clone(), text.replace("\n# vfs", "\nvfs").replace("\n# carrier", "\ncarrier")]
        {
            let file = folder.path().join("config.toml");
            write(&file, &text, true).unwrap();
            let host = Host { config: file, ..Host::default() };
            let loaded = vf::Config::load(&host).unwrap();
            assert_eq!(loaded.pools[0].pfs, ["p0", "p1"]);
        }
    }

    #[test]
    fn a_file_that_is_there_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        write(&path, "mine", false).unwrap();
        let line = write(&path, "other", false).unwrap_err().line();
        assert!(line.contains("is there already; `--force` replaces it"), "{line}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        // Or kept, and the link to it as well.
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (text, number) in [("mine", ""), ("other", "-2")] {
            let kept = write(&link, "other", true).unwrap().unwrap();
            assert_eq!(kept.file_name().unwrap(), &*format!("config.toml.runvf-backup{number}"));
            assert_eq!(fs::read_to_string(&kept).unwrap(), text);
        }
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert_eq!(write(&folder.path().join("none.toml"), "new", true).unwrap(), None);
    }
}
