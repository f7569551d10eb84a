//! `features` and `--version`: what this runtime and the library under it can do (runtime-spec `features.md`). Only what
//! is true: Docker and CRI-O ask once and then rely on it. What is absent is "unknown" to them, as idmapped mounts are.

use serde_json::{Value, json};

use super::stdout;
use crate::cli::SPEC;
use crate::config::Config;
use crate::error::Error;

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// `MountOption` and `MountRecursive` of libcontainer's `syscall/linux.rs`.
const MOUNT_OPTIONS: &str = "async atime bind defaults dev diratime dirsync exec mand noatime nodev \
    nodiratime noexec nomand norelatime nostrictatime nosuid private ratime rbind rdev rdiratime relatime \
    remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro \
    rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared slave \
    strictatime suid sync unbindable";

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// Who makes the containers, if libcontainer does not. The line must not have "version" in it.
pub(crate) fn print_engine() {
    let config = Config::load().unwrap_or_default();
    if let Some(engine) = config.engine() {
        // Nobody is left to be told that stdout is closed.
        let _ = stdout::print(&format!("engine: {engine}"));
    }
}

pub(crate) fn print() -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&features());
    stdout::print(&text.map_err(|source| Error::Json { path: "features".into(), source })?)
}

fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC,
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS.split(' ').collect::<Vec<_>>(),
        "linux": {
            "namespaces": NAMESPACES,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false },
            "seccomp": { "enabled": true, "actions": ACTIONS, "operators": OPERATORS },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": true },
            "netDevices": { "enabled": true },
        },
        "annotations": { "io.runvf.version": env!("CARGO_PKG_VERSION") },
        // An image or an untrusted user must not set these: they give a container somebody's traffic.
        "potentiallyUnsafeConfigAnnotations": [vf::PREFIX],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_features_are_those_of_the_spec() {
        let features = features();
        let known: libcontainer::oci_spec::runtime::Features =
            serde_json::from_value(features.clone()).unwrap();
        assert_eq!(known.oci_version_max(), SPEC);
        assert_eq!(features["potentiallyUnsafeConfigAnnotations"], json!(["io.runvf."]));
        let options = features["mountOptions"].as_array().unwrap();
        assert!(options.iter().all(|option| option != ""));
    }
}
