//! Defaults for values that the spec of a process omits, where libcontainer's defaults differ from
//! runc's.
//!
//! - `HOME`: libcontainer asks the C library, inside the container. The C library reads the image's
//!   `nsswitch.conf` and loads the image's libraries, in a process that still has privileges
//!   (CVE-2019-14271). So runvf sets `HOME` itself, from the container's `/etc/passwd`. Without `env`,
//!   runc sets no variable at all; `executor.rs` removes this `HOME` again.
//! - Capabilities: without any in the spec, libcontainer keeps all of them. It does not change a set
//!   that the spec omits, so that inheritable capabilities of runvf's caller would stay.
//! - The umask of the init process: libcontainer keeps the engine's.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use libcontainer::oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::mount_options::is_bind;

/// Far more than a passwd file needs.
const MAX_PASSWD_BYTES: u64 = 1 << 20;
const PASSWD: &str = "/etc/passwd";
const DEFAULT_UMASK: u32 = 0o022;

/// Returns the init process of a spec with the defaults applied, or `None` if the spec has no
/// process.
pub(crate) fn for_init(spec: &Spec, rootfs: &Path) -> Option<Process> {
    let process = spec.process().clone()?;
    let mounts = spec.mounts().iter().flatten().rev();
    let mut binds =
        mounts.filter(|mount| mount.destination() == Path::new(PASSWD) && is_bind(mount));
    let passwd = match binds.find_map(|mount| mount.source().as_deref()) {
        Some(source) => open(source, LOOKUP_FLAGS, Mode::empty()).ok().and_then(read_regular_file),
        None => read_passwd(rootfs),
    };
    let process = apply_defaults(process, None, passwd);
    Some(with_umask(process, Some(umask_of_init(spec).unwrap_or(DEFAULT_UMASK))))
}

/// The umask in the spec of the init process. libcontainer refuses the bits above the permissions, which
/// umask(2) ignores.
fn umask_of_init(spec: &Spec) -> Option<u32> {
    spec.process().as_ref().and_then(|init| init.user().umask()).map(|umask| umask & 0o777)
}

fn with_umask(mut process: Process, umask: Option<u32>) -> Process {
    let mut user = process.user().clone();
    user.set_umask(umask);
    process.set_user(user);
    process
}

/// Applies the defaults to a process that joins a container. `root`: the container's root. The
/// process gets the capabilities, the AppArmor profile and the limits of the init process
/// (runc 1.1: `newInitConfig`), its OOM score (runc: `bootstrapData`) and its umask. If the spec has no umask,
/// the process keeps the engine's (`setns_init_linux.go`).
pub(crate) fn for_exec(mut process: Process, spec: &Spec, root: &Path) -> Process {
    let init = spec.process().as_ref();
    if process.apparmor_profile().as_ref().is_none_or(String::is_empty) {
        process.set_apparmor_profile(init.and_then(|init| init.apparmor_profile().clone()));
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(init.and_then(|init| init.rlimits().clone()));
    }
    process.set_oom_score_adj(init.and_then(|init| init.oom_score_adj()));
    let capabilities = init.and_then(|init| init.capabilities().clone());
    with_umask(apply_defaults(process, capabilities, read_passwd(root)), umask_of_init(spec))
}

fn apply_defaults(
    mut process: Process,
    capabilities: Option<LinuxCapabilities>,
    passwd: Option<String>,
) -> Process {
    let capabilities = process.capabilities().clone().or(capabilities);
    process.set_capabilities(Some(capabilities.map_or_else(no_capabilities, with_all_sets)));
    let mut env = process.env().clone().unwrap_or_default();
    let is_home = |entry: &&String| entry.starts_with("HOME=");
    if env.iter().rev().find(is_home).is_none_or(|entry| entry == "HOME=") {
        env.retain(|entry| !is_home(&entry));
        let home = find_home(process.user().uid(), &passwd.unwrap_or_default()).to_owned();
        env.push(format!("HOME={home}"));
    }
    process.set_env(Some(env));
    process
}

/// The home of a user in passwd(5), or `/` if the file does not name the user, as in runc.
fn find_home(uid: u32, passwd: &str) -> &str {
    passwd.lines().find_map(|line| home_in_line(line, uid)).unwrap_or("/")
}

fn home_in_line(line: &str, uid: u32) -> Option<&str> {
    let mut fields = line.split(':');
    let is_user = fields.nth(2)?.parse() == Ok(uid);
    fields.nth(2).filter(|home| is_user && !home.is_empty())
}

/// An image may have any kind of file at this path. To open a device can do harm (a watchdog), and
/// the container's device filter does not apply to runvf. To open a FIFO would block. So runvf
/// first gets the type by an `O_PATH` descriptor, and opens only a regular file.
const LOOKUP_FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

fn read_passwd(root: &Path) -> Option<String> {
    let root = open(root, LOOKUP_FLAGS | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, PASSWD, LOOKUP_FLAGS, Mode::empty(), resolve).ok().and_then(read_regular_file)
}

fn read_regular_file(found: OwnedFd) -> Option<String> {
    if !FileType::from_raw_mode(fstat(&found).ok()?.st_mode).is_file() {
        return None;
    }
    let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_PASSWD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Empty sets. `LinuxCapabilities::default()` of oci-spec contains three capabilities.
pub(crate) fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None).set_effective(None).set_permitted(None);
    none.set_inheritable(None).set_ambient(None);
    with_all_sets(none)
}

/// Replaces an absent set by an empty one.
fn with_all_sets(mut capabilities: LinuxCapabilities) -> LinuxCapabilities {
    let some = |set: &Option<Capabilities>| Some(set.clone().unwrap_or_default());
    let (bounding, effective) = (some(capabilities.bounding()), some(capabilities.effective()));
    let (permitted, inheritable) =
        (some(capabilities.permitted()), some(capabilities.inheritable()));
    let ambient = some(capabilities.ambient());
    capabilities.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    capabilities.set_inheritable(inheritable).set_ambient(ambient);
    capabilities
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use serde_json::{Value, json};

    use super::*;

    fn process(more: Value) -> Process {
        let mut process = json!({ "cwd": "/", "args": ["true"], "user": { "uid": 7, "gid": 0 } });
        process.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(process).unwrap()
    }

    #[test]
    fn the_home_is_the_first_entry_in_passwd_or_the_root() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad\nseven:x:7:7::/home/seven:\n\
                      again:x:7:7::/no:\nnone:x:8:8:::\n";
        assert_eq!(find_home(0, passwd), "/root");
        assert_eq!(find_home(7, passwd), "/home/seven");
        let homes = (find_home(8, passwd), find_home(9, passwd), find_home(0, ""));
        assert_eq!(homes, ("/", "/", "/"));
    }

    #[test]
    fn defaults_replace_only_omitted_values() {
        let passwd = || Some("seven:x:7:7::/home/seven:".to_owned());
        let env =
            |more: Value| apply_defaults(process(more), None, passwd()).env().clone().unwrap();
        assert_eq!(env(json!({})), ["HOME=/home/seven"]);
        assert_eq!(env(json!({ "env": ["HOME=/a", "HOME="] })), ["HOME=/home/seven"]);
        assert_eq!(env(json!({ "env": ["HOME=/a"] })), ["HOME=/a"]);
        let none = apply_defaults(process(json!({})), None, None);
        assert_eq!(none.capabilities(), &Some(no_capabilities()));
        assert_eq!(none.env().as_ref().unwrap(), &["HOME=/"]);
        let some = apply_defaults(
            process(json!({ "capabilities": { "bounding": ["CAP_KILL"] } })),
            None,
            None,
        );
        let some = some.capabilities().clone().unwrap();
        assert_eq!(some.bounding().as_ref().unwrap().len(), 1);
        for set in [some.effective(), some.permitted(), some.inheritable(), some.ambient()] {
            assert_eq!(set, &Some(Capabilities::new()), "an absent set is empty");
        }
    }

    #[test]
    fn an_added_process_has_limits_and_oom_score_of_the_init_process() {
        let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 3, "hard": 4 }]);
        let user = json!({ "umask": 0o77 });
        let init = process(json!({ "rlimits": limit, "oomScoreAdj": 500, "user": user }));
        let spec = json!({ "ociVersion": "1.0.2", "process": init });
        let spec = serde_json::from_value(spec).unwrap();
        let added = |more: Value| for_exec(process(more), &spec, Path::new("/nonexistent"));
        for more in [json!({}), json!({ "rlimits": [], "oomScoreAdj": 7 })] {
            let added = added(more);
            assert_eq!(added.rlimits().as_ref().unwrap()[0].soft(), 3);
            assert_eq!(added.oom_score_adj(), Some(500));
            assert_eq!(added.user().umask(), Some(0o77));
        }
        let without = process(json!({}));
        let spec = serde_json::from_value(json!({ "ociVersion": "1.0.2", "process": without }));
        let added = for_exec(process(json!({ "user": user })), &spec.unwrap(), Path::new("/"));
        assert_eq!(added.user().umask(), None, "the process keeps the engine's umask");
    }

    #[test]
    fn the_init_process_has_a_umask_and_a_home() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("accounts");
        fs::write(&source, "seven:x:7:7::/mounted:\n").unwrap();
        let init = |more: Value, mounts: Value| {
            let spec = json!({ "ociVersion": "1.0.2", "process": process(more), "mounts": mounts });
            for_init(&serde_json::from_value(spec).unwrap(), root.path()).unwrap()
        };
        let bind = json!([{ "destination": "/etc/passwd", "type": "bind", "source": source }]);
        assert_eq!(init(json!({}), bind).env().as_ref().unwrap(), &["HOME=/mounted"]);
        let none = init(json!({}), json!([]));
        assert_eq!(none.env().as_ref().unwrap(), &["HOME=/"]);
        assert_eq!(none.user().umask(), Some(0o022));
        let with_umask = init(json!({ "user": { "uid": 7, "gid": 0, "umask": 63 } }), json!([]));
        assert_eq!(with_umask.user().umask(), Some(63));
        let excess = init(json!({ "user": { "umask": u32::MAX } }), json!([]));
        assert_eq!(excess.user().umask(), Some(0o777));
    }

    #[test]
    fn only_a_regular_file_below_the_root_is_read() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        assert_eq!(read_passwd(root.path()), None);
        symlink("/../../../../../etc/passwd", etc.join("passwd")).unwrap();
        assert_eq!(read_passwd(root.path()), None, "below the root, the link leads to itself");
        fs::remove_file(etc.join("passwd")).unwrap();
        // A FIFO is not even opened. The same check covers devices.
        nix::unistd::mkfifo(&etc.join("passwd"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        watch.add_watch(&etc.join("passwd"), AddWatchFlags::IN_OPEN).unwrap();
        assert_eq!(read_passwd(root.path()), None);
        assert_eq!(watch.read_events().unwrap_err(), nix::errno::Errno::EAGAIN);
        fs::remove_file(etc.join("passwd")).unwrap();
        fs::write(etc.join("passwd"), "x").unwrap();
        assert_eq!(read_passwd(root.path()).as_deref(), Some("x"));
    }
}
