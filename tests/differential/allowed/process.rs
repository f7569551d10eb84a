//! The process: its capabilities, streams, keyring and names, and `exec`.

use serde_json::Value;

use super::kind::{Allowed, is_acceptance, is_refusal};
use crate::compare::ENDED;

pub(super) const ALL: &[Allowed] = &[
    Allowed {
        item: "A limit of one process",
        matches: |difference, context| {
            let limit = context.document.pointer("/linux/resources/pids/limit");
            is_acceptance(difference) && limit == Some(&Value::from(1))
        },
    },
    Allowed {
        item: "Session keyring in a user namespace",
        matches: |difference, context| {
            let is_own = |side: &str| side.starts_with("keyring;0;0;3f1b0000;");
            difference.key == "keyring"
                && difference.found.as_deref().is_some_and(is_own)
                && context.has_namespace("user")
        },
    },
    Allowed {
        item: "`linux.memoryPolicy`",
        matches: |difference, context| {
            let policy = context.document.pointer("/linux/memoryPolicy");
            let is_invalid = policy.is_some_and(|policy| policy["mode"].is_null());
            let is_set =
                difference.key == "memory policy" && difference.expected.as_deref() == Some("0 0");
            (is_set && policy.is_some()) || (is_refusal(difference) && is_invalid)
        },
    },
    Allowed {
        item: "A seccomp flag that is newer than runc 1.3",
        matches: |difference, context| {
            let flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];
            is_acceptance(difference) && context.names("/linux/seccomp/flags", &flags)
        },
    },
    Allowed {
        item: "Priority of a process that `exec` adds, in a user namespace",
        matches: |difference, context| {
            let has_priority = |process: &Value| {
                ["scheduler", "ioPriority"].iter().any(|name| process[name].is_object())
            };
            difference.command == "exec"
                && difference.key == ENDED
                && difference.found.as_deref() == Some("done")
                && context.has_namespace("user")
                && context.added_processes(|_| true).iter().any(has_priority)
        },
    },
    Allowed {
        item: "Soft limit of no open file, of a process that `exec` adds",
        matches: |difference, context| {
            let has_none = |process: &Value| {
                let mut limits = process["rlimits"].as_array().into_iter().flatten();
                limits.any(|limit| {
                    limit["type"] == "RLIMIT_NOFILE" && limit["soft"].as_u64() < Some(3)
                })
            };
            difference.command == "exec" && context.added_processes(|_| true).iter().any(has_none)
        },
    },
    Allowed {
        item: "`exec --process` with a process without `rlimits`",
        matches: |difference, context| {
            let has_none =
                |process: &Value| process["rlimits"].as_array().is_none_or(Vec::is_empty);
            difference.command == "exec"
                && difference.key.starts_with("limit ")
                && context.added_processes(|_| true).iter().any(has_none)
        },
    },
    Allowed {
        item: "`update` with `null` for memory, cpu, blockIO or pids",
        matches: |difference, _| {
            difference.command == "update" && difference.expected.as_deref() == Some("crashed")
        },
    },
    Allowed {
        item: "No `process.capabilities` in the config",
        matches: |difference, context| {
            let capabilities = context.document.pointer("/process/capabilities");
            let follows = ["status Cap", "access ", "create in ", "device "];
            capabilities.is_none_or(Value::is_null)
                && follows.iter().any(|start| difference.key.starts_with(start))
        },
    },
    Allowed {
        item: "`hostname` with an existing UTS namespace",
        matches: |difference, context| {
            let mut namespaces = context.list("/linux/namespaces");
            let is_existing = |it: &Value| {
                it["type"] == "uts" && it["path"].as_str().is_some_and(|path| !path.is_empty())
            };
            let names =
                ["hostname", "domainname", "setting kernel/hostname", "setting kernel/domainname"];
            names.iter().any(|name| difference.key.starts_with(name)) && namespaces.any(is_existing)
        },
    },
    Allowed {
        item: "No `cgroupsPath` in the config, or a relative one",
        matches: |difference, context| {
            let path = context.document.pointer("/linux/cgroupsPath").and_then(Value::as_str);
            let is_cgroup = ["cgroup", "read /proc/self/cgroup"].contains(&difference.key.as_str());
            // The folders above the cgroup stay, as with runc. The cgroup itself may not.
            let folder = difference.key.strip_prefix("file /sys/fs/cgroup/");
            let is_above = folder.zip(path).is_some_and(|(folder, path)| {
                path.strip_prefix(folder).is_some_and(|below| below.starts_with('/'))
            });
            (is_cgroup || is_above) && !path.is_some_and(|path| path.starts_with('/'))
        },
    },
    Allowed {
        item: "Owner of the standard streams in a user namespace",
        matches: |difference, context| {
            let is_unmapped = |side: &str| side.contains(" 65534:");
            difference.key.starts_with("fd ")
                && difference.expected.as_deref().is_some_and(is_unmapped)
                && context.has_namespace("user")
        },
    },
    Allowed {
        item: "A system call that is newer than every call in the seccomp profile",
        matches: |difference, context| {
            let profile = context.document.pointer("/linux/seccomp/defaultAction");
            difference.key == "call unknown" && profile.is_some()
        },
    },
    Allowed {
        item: "`exec` with a terminal, by a caller without one",
        matches: |difference, context| {
            let foreground = context.added_processes(|detach| !detach);
            difference.command == "exec"
                && difference.key == ENDED
                && difference.found.as_deref() == Some("done")
                && foreground.iter().any(|process| process["terminal"] == true)
        },
    },
];
