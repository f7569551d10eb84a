//! What runvf refuses and runc does not.

use serde_json::Value;

use super::kind::{Allowed, is_refusal};
use crate::case::Step;
use crate::compare::ENDED;

pub(super) const ALL: &[Allowed] = &[
    Allowed {
        item: "How far a refused `create` gets",
        matches: |difference, context| {
            let is_left = ["left ", "hook "].iter().any(|start| difference.key.starts_with(start));
            // A root without a path is the bundle itself.
            let in_bundle =
                difference.key.starts_with("file ") && difference.key.contains("/bundle/");
            (is_left || in_bundle) && !context.created
        },
    },
    Allowed {
        item: "How far a refused `update` gets",
        matches: |difference, context| {
            difference.key.starts_with("cgroup file ") && !context.updated
        },
    },
    Allowed {
        item: "`linux.personality.flags`, fields of monitoring in `intelRdt`",
        matches: |difference, context| {
            let flags = context.document.pointer("/linux/personality/flags");
            is_refusal(difference) && flags.is_some_and(|flags| !flags.is_null())
        },
    },
    Allowed {
        item: "`linux.intelRdt` on a host without resctrl",
        matches: |difference, context| {
            is_refusal(difference)
                && context.document.pointer("/linux/intelRdt").is_some_and(Value::is_object)
        },
    },
    Allowed {
        item: "`--blkio-weight-device` without the IO scheduler BFQ",
        matches: |difference, context| {
            difference.key == ENDED
                && difference.found.as_deref() == Some("refused")
                && context.has_resource(&difference.command, "/blockIO/weightDevice")
        },
    },
    Allowed {
        item: "A limit that cgroup v2 does not have",
        matches: |difference, context| {
            let limits = [
                "/memory/swappiness",
                "/memory/kernel",
                "/memory/kernelTCP",
                "/memory/disableOOMKiller",
                "/cpu/realtimeRuntime",
                "/cpu/realtimePeriod",
                "/blockIO/leafWeight",
                "/network/classID",
                "/network/priorities",
            ];
            difference.key == ENDED
                && difference.found.as_deref() == Some("refused")
                && limits.iter().any(|limit| context.has_resource(&difference.command, limit))
        },
    },
    Allowed {
        item: "`--device HOST:/disk`, a node outside `/dev`",
        matches: |difference, context| {
            let is_outside = |device: &Value| {
                device["path"]
                    .as_str()
                    .is_some_and(|path| !path.starts_with("/dev/") || path.contains(".."))
            };
            is_refusal(difference)
                && (context.document["root"]["readonly"] == true || context.has_namespace("user"))
                && context.list("/linux/devices").any(is_outside)
        },
    },
    Allowed {
        item: "A device rule with an unknown access",
        matches: |difference, context| {
            let mut rules = context.list("/linux/resources/devices");
            let is_known = |rule: &Value| {
                rule["access"]
                    .as_str()
                    .is_none_or(|access| access.chars().all(|one| "rwm".contains(one)))
            };
            is_refusal(difference) && !rules.all(is_known)
        },
    },
    Allowed {
        item: "ID-mapped mounts",
        matches: |difference, context| {
            let is_mapped = |mount: &Value| {
                let mut options = mount["options"].as_array().into_iter().flatten();
                mount["uidMappings"].is_array() || options.any(|it| it == "idmap" || it == "ridmap")
            };
            is_refusal(difference) && context.list("/mounts").any(is_mapped)
        },
    },
    Allowed {
        item: "`sync`, `dirsync`, `mand`, `lazytime` on a bind mount",
        matches: |difference, context| {
            let options = ["sync", "dirsync", "mand", "lazytime"];
            is_refusal(difference) && context.has_mount_option(&options)
        },
    },
    Allowed {
        item: "`iversion` on a mount",
        matches: |difference, context| {
            is_refusal(difference) && context.has_mount_option(&["iversion", "noiversion"])
        },
    },
    Allowed {
        item: "A mount without `destination`",
        matches: |difference, context| {
            let lacks_destination = |mount: &Value| mount["destination"].is_null();
            is_refusal(difference) && context.list("/mounts").any(lacks_destination)
        },
    },
    Allowed {
        item: "A bind mount without `source`",
        matches: |difference, context| {
            let lacks_source = |mount: &Value| {
                let mut options = mount["options"].as_array().into_iter().flatten();
                options.any(|option| option == "bind" || option == "rbind")
                    && mount["source"].as_str().is_none_or(str::is_empty)
            };
            is_refusal(difference) && context.list("/mounts").any(lacks_source)
        },
    },
    Allowed {
        item: "An empty value in `linux.resources.unified`",
        matches: |difference, context| {
            let unified = context.document.pointer("/linux/resources/unified");
            let mut values = unified.and_then(Value::as_object).into_iter().flatten();
            is_refusal(difference) && values.any(|(_, value)| value == "" || value.is_null())
        },
    },
    Allowed {
        item: "A masked path that is a symlink",
        matches: |difference, context| {
            is_refusal(difference) && context.names("/linux/maskedPaths", &["/link", "/dangling"])
        },
    },
    Allowed {
        item: "A mount over a symlink without a target",
        matches: |difference, context| {
            let dangling = |mount: &Value| {
                let path = mount["destination"].as_str();
                path.is_some_and(|path| path.starts_with("/dangling"))
            };
            is_refusal(difference) && context.list("/mounts").any(dangling)
        },
    },
    Allowed {
        item: "A working directory that does not exist",
        matches: |difference, context| {
            let missing = ["/no/such/folder", "/dangling"].map(Value::from);
            is_refusal(difference)
                && context.document.pointer("/process/cwd").is_some_and(|it| missing.contains(it))
        },
    },
    Allowed {
        item: "`exec` in a container that is not started",
        matches: |difference, context| {
            let started = context.steps.contains(&Step::Start);
            difference.command == "exec" && difference.key == ENDED && !started
        },
    },
];
