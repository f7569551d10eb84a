//! `features` and `--version`: the features of runvf and libcontainer (runtime-spec `features.md`).
//! Docker and CRI-O read them once and rely on them, so the list must be correct. The options of
//! mounts and the fields come from the tables that `create` checks a spec against.

use serde_json::{Value, json};

use super::stdout;
use crate::cli::SPEC_VERSION;
use crate::config::Config;
use crate::error::Error;
use crate::libcontainer::mount_options::OPTIONS;
use crate::libcontainer::spec_fields::is_applied;

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// The capabilities of Linux 6.12, which libcontainer knows by these names.
const CAPABILITIES: &str = "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN \
    DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN \
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID \
    SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE \
    SYS_TIME SYS_TTY_CONFIG WAKE_ALARM";

const MEMORY_POLICIES: [&str; 7] = [
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

const MEMORY_POLICY_FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

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

/// Prints the engine that creates the containers, unless it is libcontainer. The line must not
/// contain "version", because Docker parses the output of `--version` for that word.
pub(crate) fn print_engine() {
    let config = Config::load().unwrap_or_default();
    if let Some(engine) = config.engine() {
        // This fails only if stdout is closed, and then there is no reader.
        let _ = stdout::print(&format!("engine: {engine}"));
    }
}

pub(crate) fn print() -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&features());
    stdout::print(&text.map_err(|source| Error::Json { path: "features".into(), source })?)
}

fn features() -> Value {
    let capabilities = CAPABILITIES.split_ascii_whitespace().map(|name| format!("CAP_{name}"));
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": HOOKS,
        "mountOptions": OPTIONS.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": capabilities.collect::<Vec<_>>(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": is_applied("linux.resources.rdma") },
            "seccomp": { "enabled": true, "actions": ACTIONS, "operators": OPERATORS },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": is_applied("process.selinuxLabel") },
            "intelRdt": {
                "enabled": is_applied("linux.intelRdt"),
                "schemata": is_applied("linux.intelRdt.schemata"),
                "monitoring": is_applied("linux.intelRdt.enableMonitoring"),
            },
            "memoryPolicy": { "modes": MEMORY_POLICIES, "flags": MEMORY_POLICY_FLAGS },
            "mountExtensions": { "idmap": { "enabled": is_applied("mounts[].uidMappings") } },
            "netDevices": { "enabled": is_applied("linux.netDevices") },
        },
        "annotations": { "io.runvf.version": env!("CARGO_PKG_VERSION") },
        // An image or an untrusted user must not set these annotations, because they give a
        // container a tenant's traffic.
        "potentiallyUnsafeConfigAnnotations": [vf::PREFIX],
    })
}

#[cfg(test)]
mod tests {
    use libcontainer::oci_spec::runtime::{
        LinuxCapabilities, LinuxMemoryPolicy, LinuxNamespace, LinuxSyscall,
    };

    use super::*;

    #[test]
    fn the_features_have_the_format_of_the_spec() {
        let features = features();
        let known: libcontainer::oci_spec::runtime::Features =
            serde_json::from_value(features.clone()).unwrap();
        assert_eq!(known.oci_version_max(), SPEC_VERSION);
        assert_eq!(features["potentiallyUnsafeConfigAnnotations"], json!(["io.runvf."]));
        let options = features["mountOptions"].as_array().unwrap();
        assert!(options.contains(&json!("nosymfollow")) && !options.contains(&json!("remount")));
        assert_eq!(features["linux"]["selinux"]["enabled"], json!(false));
        assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], json!(false));
    }

    /// The parser of the spec accepts each name.
    #[test]
    fn the_names_are_those_of_the_spec() {
        let features = features();
        let names = |list: &Value| list.as_array().unwrap().clone();
        for name in names(&features["linux"]["capabilities"]) {
            let all = json!({ "bounding": [name] });
            serde_json::from_value::<LinuxCapabilities>(all).unwrap();
        }
        for mode in MEMORY_POLICIES {
            let policy = json!({ "mode": mode, "flags": MEMORY_POLICY_FLAGS });
            serde_json::from_value::<LinuxMemoryPolicy>(policy).unwrap();
        }
        for name in NAMESPACES {
            serde_json::from_value::<LinuxNamespace>(json!({ "type": name })).unwrap();
        }
        for hook in HOOKS {
            assert!(is_applied(&format!("hooks.{hook}")), "{hook}");
        }
        for (action, operator) in ACTIONS.iter().zip(OPERATORS.iter().cycle()) {
            let argument = json!({ "index": 0, "value": 0, "op": operator });
            let call = json!({ "names": ["read"], "action": action, "args": [argument] });
            serde_json::from_value::<LinuxSyscall>(call).unwrap();
        }
    }
}
