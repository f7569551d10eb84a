//! The options of a mount, as the runtime spec and runc name them: what each changes, and how
//! libcontainer must be asked for it. [`OPTIONS`] is the only list of them: `features` prints it, and
//! other options are options of a file system, which the kernel checks.

use libcontainer::oci_spec::runtime::Mount;
use nix::libc;

use crate::error::Error;

/// What an option changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing. Either it is the kernel's default, or only mount(8) knows it.
    Nothing,
    Bind,
    /// Sets these attributes of the mount (mount_setattr(2)).
    Set(u64),
    Clear(u64),
    /// The same for the mounts below it, too.
    SetRecursive(u64),
    ClearRecursive(u64),
    /// How the access time of files is kept. libcontainer applies it.
    AccessTime,
    /// Sets a flag of the file system, not of the mount. A bind mount cannot change it.
    SetSuperblock,
    /// Clears the flag with this name.
    ClearSuperblock(&'static str),
    /// See `propagation.rs`.
    Propagation,
    /// See `tmpfs.rs`.
    CopyUp,
}

use Effect::{
    AccessTime, Bind, Clear, ClearRecursive, ClearSuperblock, CopyUp, Nothing, Propagation, Set,
    SetRecursive, SetSuperblock,
};
use libc::{
    MOUNT_ATTR__ATIME as ATIME, MOUNT_ATTR_NODEV as NODEV, MOUNT_ATTR_NODIRATIME as NODIRATIME,
    MOUNT_ATTR_NOEXEC as NOEXEC, MOUNT_ATTR_NOSUID as NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW, MOUNT_ATTR_RDONLY as RDONLY,
};

/// In alphabetical order.
pub(crate) const OPTIONS: &[(&str, Effect)] = &[
    ("async", ClearSuperblock("sync")),
    ("atime", AccessTime),
    ("bind", Bind),
    ("defaults", Nothing),
    ("dev", Clear(NODEV)),
    ("diratime", AccessTime),
    ("dirsync", SetSuperblock),
    ("exec", Clear(NOEXEC)),
    ("lazytime", SetSuperblock),
    ("loud", Nothing),
    ("mand", SetSuperblock),
    ("noatime", AccessTime),
    ("nodev", Set(NODEV)),
    ("nodiratime", AccessTime),
    ("noexec", Set(NOEXEC)),
    ("nolazytime", ClearSuperblock("lazytime")),
    ("nomand", ClearSuperblock("mand")),
    ("norelatime", AccessTime),
    ("nostrictatime", AccessTime),
    ("nosuid", Set(NOSUID)),
    ("nosymfollow", Set(NOSYMFOLLOW)),
    ("private", Propagation),
    ("ratime", ClearRecursive(ATIME)),
    ("rbind", Bind),
    ("rdev", ClearRecursive(NODEV)),
    ("rdiratime", ClearRecursive(NODIRATIME)),
    ("relatime", AccessTime),
    ("rexec", ClearRecursive(NOEXEC)),
    ("rnoatime", SetRecursive(ATIME)),
    ("rnodev", SetRecursive(NODEV)),
    ("rnodiratime", SetRecursive(NODIRATIME)),
    ("rnoexec", SetRecursive(NOEXEC)),
    ("rnorelatime", ClearRecursive(ATIME)),
    ("rnostrictatime", ClearRecursive(ATIME)),
    ("rnosuid", SetRecursive(NOSUID)),
    ("rnosymfollow", SetRecursive(NOSYMFOLLOW)),
    ("ro", Set(RDONLY)),
    ("rprivate", Propagation),
    ("rrelatime", SetRecursive(ATIME)),
    ("rro", SetRecursive(RDONLY)),
    ("rrw", ClearRecursive(RDONLY)),
    ("rshared", Propagation),
    ("rslave", Propagation),
    ("rstrictatime", SetRecursive(ATIME)),
    ("rsuid", ClearRecursive(NOSUID)),
    ("rsymfollow", ClearRecursive(NOSYMFOLLOW)),
    ("runbindable", Propagation),
    ("rw", Clear(RDONLY)),
    ("shared", Propagation),
    ("silent", Nothing),
    ("slave", Propagation),
    ("strictatime", AccessTime),
    ("suid", Clear(NOSUID)),
    ("symfollow", Clear(NOSYMFOLLOW)),
    ("sync", SetSuperblock),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagation),
];

/// What an option changes. `None`: it is an option of the file system.
pub(super) fn effect(option: &str) -> Option<Effect> {
    let found = OPTIONS.binary_search_by_key(&option, |(name, _)| name);
    found.ok().map(|index| OPTIONS[index].1)
}

pub(super) fn options(mount: &Mount) -> impl Iterator<Item = &str> {
    mount.options().iter().flatten().map(String::as_str)
}

pub(super) fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || options(mount).any(|option| option == "bind" || option == "rbind")
}

/// libcontainer ignores ID mappings, so that files would have the owners that they have on the
/// host. `spec_fields.rs` refuses the fields with mappings.
pub(super) fn is_idmapped(mount: &Mount) -> bool {
    options(mount).any(|option| option == "idmap" || option == "ridmap")
}

/// Whether the mount is read-only: of `ro` and `rw`, the last option counts.
pub(super) fn is_read_only(mount: &Mount) -> bool {
    let effects = options(mount).filter_map(effect);
    let of_this_flag = effects.filter(|effect| matches!(effect, Set(RDONLY) | Clear(RDONLY)));
    of_this_flag.last() == Some(Set(RDONLY))
}

/// The options of cgroup v2 (`cgroup2_fs_parameters`, kernel/cgroup/cgroup.c), and no option.
const CGROUP_OPTIONS: [&str; 7] = [
    "",
    "favordynmods",
    "memory_hugetlb_accounting",
    "memory_localevents",
    "memory_recursiveprot",
    "nsdelegate",
    "pids_localevents",
];

fn is_cgroup(mount: &Mount) -> bool {
    matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"))
}

/// Refuses options that have no effect on a mount, and a bind mount that lacks its source or its
/// option. runc takes the type `bind` without such an option for the name of a file system.
pub(super) fn check(mount: &Mount) -> Result<(), Error> {
    let problem = if !is_bind(mount) {
        None
    } else if !options(mount).any(|option| effect(option) == Some(Bind)) {
        Some("a mount of the type bind needs the option bind or rbind")
    } else if mount.source().as_ref().is_none_or(|source| source.as_os_str().is_empty()) {
        Some("a bind mount needs a source")
    } else {
        None
    };
    if let Some(problem) = problem {
        let destination = mount.destination().clone();
        return Err(Error::Mount { destination, problem: problem.to_owned() });
    }
    for option in options(mount) {
        let problem = match effect(option) {
            // runc passes it on, and the kernel refuses it, because nothing is mounted there yet.
            None if option == "remount" => "nothing is mounted there yet",
            None if is_bind(mount) => "a bind mount cannot have an option of a file system",
            // libcontainer would ignore it.
            None if is_cgroup(mount) && !CGROUP_OPTIONS.contains(&option) => {
                "cgroup v2 has no such option"
            }
            Some(SetSuperblock) if is_bind(mount) => {
                "a bind mount cannot change a flag of the file system; mount the file system with it"
            }
            _ => continue,
        };
        return Err(Error::MountOption {
            destination: mount.destination().clone(),
            option: option.to_owned(),
            problem,
        });
    }
    Ok(())
}

/// Flags of a file system that libcontainer drops.
const DROPPED: [&str; 3] = ["dirsync", "mand", "sync"];

/// Returns the options in the words that make libcontainer apply them.
///
/// - libcontainer takes `sync`, `dirsync` and `mand` for flags of the mount and then drops them,
///   because mount_setattr(2) has no such flags. With `=`, it passes them to fsconfig(2), and the
///   kernel compares only the name (`vfs_parse_sb_flag`, `fs/fs_context.c`).
/// - libcontainer knows `nosymfollow` only in its recursive form.
/// - `loud` and `silent` change only what the kernel logs, and fsconfig(2) refuses them.
pub(super) fn patch(mount: &Mount) -> Vec<String> {
    let mut patched = Vec::new();
    for option in options(mount) {
        match option {
            "nosymfollow" => patched.push("rnosymfollow".to_owned()),
            "symfollow" => patched.push("rsymfollow".to_owned()),
            "loud" | "silent" => {}
            _ if DROPPED.contains(&option) => {}
            _ => patched.push(option.to_owned()),
        }
    }
    let set = DROPPED.into_iter().filter(|flag| is_set(mount, flag));
    patched.extend(set.map(|flag| format!("{flag}=")));
    patched
}

/// Whether a flag of the file system is set: of the options that set and clear it, the last counts.
pub(super) fn is_set(mount: &Mount, flag: &'static str) -> bool {
    let clears = |option: &str| effect(option) == Some(ClearSuperblock(flag));
    options(mount).filter(|option| *option == flag || clears(option)).last() == Some(flag)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use libcontainer::syscall::linux::{MountOption, MountRecursive};
    use serde_json::json;

    use super::*;
    use crate::error::line;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        let mount =
            json!({ "destination": "/m", "type": kind, "source": "/s", "options": options });
        serde_json::from_value(mount).unwrap()
    }

    #[test]
    fn a_bind_mount_has_an_option_and_a_source() {
        let says = |mount: &Mount, problem: &str| {
            let line = line(&check(mount).unwrap_err());
            assert!(line.contains(problem), "{line}");
        };
        says(&mount("bind", &[]), "needs the option bind or rbind");
        says(&mount("bind", &["ro"]), "needs the option bind or rbind");
        let mut without = mount("none", &["bind"]);
        without.set_source(Some("".into()));
        says(&without, "needs a source");
        without.set_source(None);
        says(&without, "needs a source");
        assert!(check(&mount("none", &["bind"])).is_ok());
    }

    #[test]
    fn a_cgroup_mount_has_options_of_cgroup_v2() {
        assert!(check(&mount("cgroup", &["ro", "nosuid", "nsdelegate"])).is_ok());
        let refused = check(&mount("cgroup2", &["ro", "x"])).unwrap_err();
        assert!(line(&refused).contains("option `x`"), "{refused:?}");
        assert!(check(&mount("tmpfs", &["x"])).is_ok(), "the kernel refuses it");
    }

    #[test]
    fn the_list_is_sorted_and_has_all_options_of_libcontainer() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| name));
        for name in MountOption::known_options() {
            assert!(effect(&name).is_some() || name == "remount", "{name}");
        }
    }

    /// Every option that is listed is applied by libcontainer, by [`patch`], or by another file.
    #[test]
    fn libcontainer_or_runvf_applies_each_option() {
        for (name, effect) in OPTIONS {
            let patched = patch(&mount("tmpfs", &[name]));
            let known = |option: &String| {
                MountOption::from_str(option).is_ok() || MountRecursive::from_str(option).is_ok()
            };
            let applied = match effect {
                Nothing => patched.iter().all(known),
                SetSuperblock => patched.iter().all(|option| !known(option)),
                ClearSuperblock(_) | CopyUp => true,
                _ => patched.iter().all(known),
            };
            assert!(applied, "{name}: {patched:?}");
        }
    }

    #[test]
    fn options_are_in_the_words_of_libcontainer() {
        let of = |options: &[&str]| patch(&mount("tmpfs", options)).join(",");
        assert_eq!(of(&["ro", "size=1m", "defaults"]), "ro,size=1m,defaults");
        assert_eq!(of(&["sync", "nosymfollow", "silent"]), "rnosymfollow,sync=");
        assert_eq!(
            of(&["sync", "async", "dirsync", "nomand", "mand"]),
            "async,nomand,dirsync=,mand="
        );
    }

    #[test]
    fn options_without_an_effect_are_refused() {
        let refused =
            |kind, options: &[&str]| check(&mount(kind, options)).err().map(|error| line(&error));
        assert_eq!(refused("bind", &["rbind", "rro", "nosymfollow", "async"]), None);
        assert_eq!(refused("tmpfs", &["sync", "size=1m"]), None);
        let line = refused("bind", &["bind", "sync"]).unwrap();
        assert!(line.starts_with("cannot mount at /m with option `sync`: a bind mount"), "{line}");
        assert!(refused("bind", &["bind", "size=1m"]).is_some());
        assert!(refused("tmpfs", &["remount"]).is_some());
    }

    #[test]
    fn the_last_of_ro_and_rw_counts() {
        let of = |options: &[&str]| is_read_only(&mount("tmpfs", options));
        assert_eq!(
            [of(&["ro"]), of(&["ro", "rw"]), of(&["rw", "ro"]), of(&[])],
            [true, false, true, false]
        );
    }
}
