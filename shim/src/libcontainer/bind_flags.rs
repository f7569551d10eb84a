//! The flags of a bind mount. If its options name a flag, runc sets the named flags and clears all
//! other flags of the source's mount (`rootfs_linux.go`, `mountToRootfs`). libcontainer only adds
//! flags, and ignores `exec`, `suid`, `dev` and `rw`. Without such options, runc and libcontainer
//! both keep the source's flags. `loud` and `silent` count as flags, although they change none.

use std::fs;
use std::path::Path;

use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use nix::libc;
use rustix::fs::statvfs;

use super::mount_options::{self, Effect, effect, is_bind};
use super::private_mountns::mount_points;
use crate::error::Error;

/// A flag of statvfs(3), the attribute with the same meaning, and the option that clears it.
const FLAGS: [(u64, u64, &str); 5] = [
    (libc::ST_RDONLY, libc::MOUNT_ATTR_RDONLY, "rrw"),
    (libc::ST_NOSUID, libc::MOUNT_ATTR_NOSUID, "rsuid"),
    (libc::ST_NODEV, libc::MOUNT_ATTR_NODEV, "rdev"),
    (libc::ST_NOEXEC, libc::MOUNT_ATTR_NOEXEC, "rexec"),
    (ST_NOSYMFOLLOW, libc::MOUNT_ATTR_NOSYMFOLLOW, "rsymfollow"),
];

/// The flag of linux/statfs.h, which libc does not have.
const ST_NOSYMFOLLOW: u64 = 0x2000;

/// Returns the options that make libcontainer clear flags of the source's mount. libcontainer clears
/// flags only for recursive options. So the flags stay unchanged if the bind is recursive and there
/// are mounts below the source.
///
/// In a user namespace, the kernel has locked the flags, and runc keeps them.
pub(super) fn clearing_options(mount: &Mount, locked: bool) -> Vec<&'static str> {
    let named = Named::in_options_of(mount);
    if locked || !named.any {
        return Vec::new();
    }
    let all: Vec<&str> = flags_of_source(mount, !named.set).map(|(_, option)| option).collect();
    let recursive = mount_options::options(mount).any(|option| option == "rbind");
    match mount.source() {
        Some(source) if !all.is_empty() && recursive && has_mounts_below(source) => Vec::new(),
        _ => all,
    }
}

/// Refuses an option that would clear a locked flag, as runc does.
pub(super) fn check_locked(spec: &Spec) -> Result<(), Error> {
    if !are_locked(spec) {
        return Ok(());
    }
    for mount in spec.mounts().iter().flatten() {
        let cleared = Named::in_options_of(mount).cleared;
        if let Some((attribute, _)) = flags_of_source(mount, cleared).next() {
            let clears = |option: &&str| effect(option) == Some(Effect::Clear(attribute));
            return Err(Error::MountOption {
                destination: mount.destination().clone(),
                option: mount_options::options(mount).find(clears).unwrap_or_default().to_owned(),
                problem: "the kernel keeps this flag of the source in a user namespace",
            });
        }
    }
    Ok(())
}

/// The flags of the source of a bind mount that are among `attributes`.
fn flags_of_source(mount: &Mount, attributes: u64) -> impl Iterator<Item = (u64, &'static str)> {
    // libcontainer reports a missing source.
    let source = mount.source().as_ref().filter(|_| is_bind(mount));
    let found = source.and_then(|source| statvfs(source).ok());
    flags_among(found.map_or(0, |found| found.f_flag.bits()), attributes)
}

/// The attribute of each flag of statvfs(3), and the option that clears it.
fn flags_among(found: u64, attributes: u64) -> impl Iterator<Item = (u64, &'static str)> {
    let all = FLAGS
        .iter()
        .filter(move |(flag, attribute, _)| found & flag != 0 && attributes & attribute != 0);
    all.map(|(_, attribute, option)| (*attribute, *option))
}

/// The attributes that options name.
#[derive(Default)]
struct Named {
    any: bool,
    set: u64,
    cleared: u64,
}

impl Named {
    fn in_options_of(mount: &Mount) -> Self {
        let any = mount_options::options(mount).any(|option| matches!(option, "loud" | "silent"));
        let mut named = Self { any, ..Self::default() };
        for effect in mount_options::options(mount).filter_map(mount_options::effect) {
            let (set, cleared) = match effect {
                Effect::Set(flag) => (flag, 0),
                Effect::Clear(flag) => (0, flag),
                Effect::AccessTime | Effect::ClearSuperblock(_) => (0, 0),
                // A recursive option alone changes no other flag.
                Effect::SetRecursive(flag) => {
                    named.set |= flag;
                    continue;
                }
                _ => continue,
            };
            named.any = true;
            named.set = (named.set | set) & !cleared;
            named.cleared = (named.cleared | cleared) & !set;
        }
        named
    }
}

fn has_mounts_below(source: &Path) -> bool {
    let source = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mount_points(&table).any(|point| point != source && point.starts_with(&source))
}

/// Whether the mounts of the host are locked in the container: it has a user namespace, or runvf is
/// in one.
pub(super) fn are_locked(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut namespaces = namespaces.into_iter().flatten();
    namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User) || !maps_all_users()
}

/// Whether runvf is in the initial user namespace (user_namespaces(7)).
fn maps_all_users() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(options: &[&str]) -> (bool, u64, u64) {
        let mount = json!({ "destination": "/m", "type": "bind", "options": options });
        let named = Named::in_options_of(&serde_json::from_value(mount).unwrap());
        (named.any, named.set, named.cleared)
    }

    #[test]
    fn only_options_of_this_mount_replace_its_flags() {
        use libc::{MOUNT_ATTR_NOEXEC as NOEXEC, MOUNT_ATTR_RDONLY as RDONLY};
        assert_eq!(named(&["rbind", "rprivate"]), (false, 0, 0));
        assert_eq!(named(&["rbind", "rro"]), (false, RDONLY, 0));
        assert_eq!(named(&["rbind", "ro"]), (true, RDONLY, 0));
        assert_eq!(named(&["noexec", "exec"]), (true, 0, NOEXEC));
        for option in ["async", "loud", "silent"] {
            assert_eq!(named(&["rbind", option]), (true, 0, 0));
        }
        assert_eq!(named(&["rbind", "defaults"]), (false, 0, 0));
    }

    #[test]
    fn flags_that_no_option_names_are_cleared() {
        let found = libc::ST_NOSUID | libc::ST_NOEXEC | libc::ST_RDONLY | libc::ST_RELATIME;
        let cleared = |options: &[&str]| {
            let (_, set, _) = named(options);
            flags_among(found, !set).map(|(_, option)| option).collect::<Vec<_>>()
        };
        assert_eq!(cleared(&["ro"]), ["rsuid", "rexec"]);
        assert_eq!(cleared(&["nosuid", "rro"]), ["rexec"]);
        assert_eq!(cleared(&["exec"]), ["rrw", "rsuid", "rexec"]);
    }

    #[test]
    fn only_binds_with_options_are_changed_and_only_without_a_user_namespace() {
        let of = |options: &[&str], locked| {
            let mount = json!({ "destination": "/m", "source": "/proc", "options": options });
            clearing_options(&serde_json::from_value(mount).unwrap(), locked)
        };
        for (options, locked) in [(&["bind"][..], false), (&["bind", "ro"], true), (&["ro"], false)]
        {
            assert_eq!(of(options, locked), Vec::<&str>::new());
        }
    }
}
