//! What runc gives a process of which its spec says nothing, and libcontainer does not, or in another way.
//!
//! - `HOME`: libcontainer asks the C library, inside the container. That reads the image's `nsswitch.conf` and loads the image's
//!   libraries, in a process that still has privileges (CVE-2019-14271). So it is set here, from the container's `/etc/passwd`.
//! - Capabilities: libcontainer leaves all of them if none is mentioned.
//! - The umask of the first one: libcontainer leaves the engine's.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use libcontainer::oci_spec::runtime::{LinuxCapabilities, Process, Spec};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::mount_options::is_bind;

/// Far more than a file of accounts has.
const MAX_PASSWD_BYTES: u64 = 1 << 20;
const PASSWD: &str = "/etc/passwd";
const DEFAULT_UMASK: u32 = 0o022;

/// For the container's first process.
pub(crate) fn for_init(spec: &Spec, rootfs: &Path) -> Option<Process> {
    let process = spec.process().clone()?;
    let mounts = spec.mounts().iter().flatten().rev();
    let over = mounts.filter(|it| it.destination() == Path::new(PASSWD) && is_bind(it));
    let accounts = match over.filter_map(|mount| mount.source().as_deref()).next() {
        Some(source) => open(source, LOOKUP_FLAGS, Mode::empty()).ok().and_then(text),
        None => below(rootfs),
    };
    let mut process = apply_defaults(process, None, accounts);
    let mut user = process.user().clone();
    user.set_umask(user.umask().or(Some(DEFAULT_UMASK)));
    process.set_user(user);
    Some(process)
}

/// For one that joins a container whose root is `root`: it has the capabilities of the first one, its AppArmor profile and its limits
/// (runc: `newInitConfig`).
pub(crate) fn for_exec(mut process: Process, spec: &Spec, root: &Path) -> Process {
    let first = spec.process().as_ref();
    if process.apparmor_profile().as_ref().is_none_or(String::is_empty) {
        process.set_apparmor_profile(first.and_then(|first| first.apparmor_profile().clone()));
    }
    if process.rlimits().is_none() {
        process.set_rlimits(first.and_then(|first| first.rlimits().clone()));
    }
    apply_defaults(process, first.and_then(|first| first.capabilities().clone()), below(root))
}

fn apply_defaults(
    mut process: Process,
    capabilities: Option<LinuxCapabilities>,
    accounts: Option<String>,
) -> Process {
    if process.capabilities().is_none() {
        process.set_capabilities(Some(capabilities.unwrap_or_else(no_capabilities)));
    }
    let mut env = process.env().clone().unwrap_or_default();
    let of_home = |entry: &&String| entry.starts_with("HOME=");
    if env.iter().rev().find(of_home).is_none_or(|entry| entry == "HOME=") {
        env.retain(|entry| !of_home(&entry));
        env.push(format!("HOME={}", home(process.user().uid(), &accounts.unwrap_or_default())));
    }
    process.set_env(Some(env));
    process
}

/// passwd(5). `/` for whoever is not in it, as with runc.
fn home(uid: u32, accounts: &str) -> &str {
    accounts.lines().find_map(|line| home_in(line, uid)).unwrap_or("/")
}

fn home_in(line: &str, uid: u32) -> Option<&str> {
    let mut fields = line.split(':');
    let same = fields.nth(2)?.parse() == Ok(uid);
    fields.nth(2).filter(|home| same && !home.is_empty())
}

/// An image may have anything in the place of the file. To open a device can be enough to do harm (a watchdog), and the container's own
/// device rules do not hold for us; a FIFO would be waited for. So it is looked at first, and opened if it is a file.
const LOOKUP_FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

fn below(root: &Path) -> Option<String> {
    let root = open(root, LOOKUP_FLAGS | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, PASSWD, LOOKUP_FLAGS, Mode::empty(), resolve).ok().and_then(text)
}

fn text(found: OwnedFd) -> Option<String> {
    if !FileType::from_raw_mode(fstat(&found).ok()?.st_mode).is_file() {
        return None;
    }
    let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_PASSWD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// oci-spec's default is a set of three.
pub(crate) fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None).set_effective(None).set_permitted(None);
    none.set_inheritable(None).set_ambient(None);
    none
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
    fn homes_are_those_of_the_file() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbad\nseven:x:7:7::/home/seven:\nagain:x:7:7::/no:\nnone:x:8:8:::\n";
        assert_eq!(home(0, accounts), "/root");
        assert_eq!(home(7, accounts), "/home/seven");
        assert_eq!((home(8, accounts), home(9, accounts), home(0, "")), ("/", "/", "/"));
    }

    #[test]
    fn what_is_said_stays_and_what_is_not_is_as_with_runc() {
        let accounts = || Some("seven:x:7:7::/home/seven:".to_owned());
        let told =
            |more: Value| apply_defaults(process(more), None, accounts()).env().clone().unwrap();
        assert_eq!(told(json!({})), ["HOME=/home/seven"]);
        assert_eq!(told(json!({ "env": ["HOME=/a", "HOME="] })), ["HOME=/home/seven"]);
        assert_eq!(told(json!({ "env": ["HOME=/a"] })), ["HOME=/a"]);
        let none = apply_defaults(process(json!({})), None, None);
        assert_eq!(none.capabilities(), &Some(no_capabilities()));
        assert_eq!(none.env().as_ref().unwrap(), &["HOME=/"]);
        let some = apply_defaults(
            process(json!({ "capabilities": { "bounding": ["CAP_KILL"] } })),
            None,
            None,
        );
        assert_ne!(some.capabilities(), &Some(no_capabilities()));
    }

    #[test]
    fn the_first_process_has_a_umask_and_a_home() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("accounts");
        fs::write(&own, "seven:x:7:7::/mounted:\n").unwrap();
        let first = |more: Value, mounts: Value| {
            let spec = json!({ "ociVersion": "1.0.2", "process": process(more), "mounts": mounts });
            for_init(&serde_json::from_value(spec).unwrap(), root.path()).unwrap()
        };
        let over = json!([{ "destination": "/etc/passwd", "type": "bind", "source": own }]);
        assert_eq!(first(json!({}), over).env().as_ref().unwrap(), &["HOME=/mounted"]);
        let none = first(json!({}), json!([]));
        assert_eq!(none.env().as_ref().unwrap(), &["HOME=/"]);
        assert_eq!(none.user().umask(), Some(0o022));
        let said = first(json!({ "user": { "uid": 7, "gid": 0, "umask": 63 } }), json!([]));
        assert_eq!(said.user().umask(), Some(63));
    }

    #[test]
    fn only_a_file_of_the_containers_is_read() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        assert_eq!(below(root.path()), None);
        symlink("/../../../../../etc/passwd", etc.join("passwd")).unwrap();
        assert_eq!(below(root.path()), None, "it is the link itself, from inside");
        fs::remove_file(etc.join("passwd")).unwrap();
        // It stands for a device, too: it is not even opened.
        nix::unistd::mkfifo(&etc.join("passwd"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        watch.add_watch(&etc.join("passwd"), AddWatchFlags::IN_OPEN).unwrap();
        assert_eq!(below(root.path()), None);
        assert_eq!(watch.read_events().unwrap_err(), nix::errno::Errno::EAGAIN);
        fs::remove_file(etc.join("passwd")).unwrap();
        fs::write(etc.join("passwd"), "x").unwrap();
        assert_eq!(below(root.path()).as_deref(), Some("x"));
    }
}
