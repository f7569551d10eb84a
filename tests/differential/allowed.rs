//! The differences from runc that are right. Each has its reason in docs/engines.md, under a
//! heading or an item that begins with the same words. No other difference is accepted, anywhere.

use serde_json::Value;

use crate::case::Step;
use crate::compare::{Difference, ENDED};
use crate::patch;

/// One kind of difference.
pub(crate) struct Allowed {
    /// The first words of the item in docs/engines.md.
    pub(crate) item: &'static str,
    /// Whether a difference is of this kind.
    matches: fn(&Difference, &Context) -> bool,
}

/// The case that has the difference.
pub(crate) struct Context<'a> {
    /// `config.json`.
    pub(crate) document: &'a Value,
    pub(crate) steps: &'a [Step],
    /// Whether the reference created the container.
    pub(crate) created: bool,
}

impl Context<'_> {
    fn list(&self, path: &str) -> impl Iterator<Item = &Value> {
        self.document.pointer(path).and_then(Value::as_array).into_iter().flatten()
    }

    fn names(&self, path: &str, wanted: &[&str]) -> bool {
        self.list(path).filter_map(Value::as_str).any(|name| wanted.contains(&name))
    }

    fn has_hook(&self, stages: &[&str]) -> bool {
        stages.iter().any(|stage| self.list(&format!("/hooks/{stage}")).next().is_some())
    }

    fn has_mount_option(&self, wanted: &[&str]) -> bool {
        let mut options =
            self.list("/mounts").filter_map(|mount| mount["options"].as_array()).flatten();
        options.any(|option| option.as_str().is_some_and(|option| wanted.contains(&option)))
    }

    fn has_namespace(&self, kind: &str) -> bool {
        self.list("/linux/namespaces").any(|namespace| namespace["type"] == kind)
    }

    /// Whether the container, or one of the updates, has this resource.
    fn has_resource(&self, path: &str) -> bool {
        let updates = self.steps.iter().filter_map(|step| match step {
            Step::Update { resources } => Some(resources),
            _ => None,
        });
        let all = updates.chain(self.document.pointer("/linux/resources"));
        all.filter_map(|resources| resources.pointer(path)).any(|value| !value.is_null())
    }
}

pub(crate) const ALLOWED: &[Allowed] = &[
    Allowed {
        item: "State that a createContainer hook receives",
        matches: |difference, context| {
            let state = difference.key.starts_with("hook ") && difference.key.ends_with(" state");
            state && context.has_hook(&["createContainer"])
        },
    },
    Allowed {
        item: "Working directory of a createContainer hook",
        matches: |difference, context| {
            let cwd = difference.key.starts_with("hook ") && difference.key.ends_with(" cwd");
            cwd && context.has_hook(&["createContainer"])
        },
    },
    Allowed {
        item: "When poststart hooks run",
        matches: |difference, context| {
            let ended = difference.command == "create" && difference.key == ENDED;
            let hook = difference.key.starts_with("hook ");
            (ended || hook) && context.has_hook(&["poststart"])
        },
    },
    Allowed {
        item: "After a failed poststop hook",
        matches: |difference, context| {
            difference.command == "delete"
                && difference.key == ENDED
                && context.has_hook(&["poststop"])
        },
    },
    Allowed {
        item: "Session keyring of a process that `exec` adds, in a user namespace",
        matches: |difference, context| {
            difference.command == "exec"
                && difference.key == "keyring"
                && context.has_namespace("user")
        },
    },
    Allowed {
        item: "Environment of a hook without `env`",
        matches: |difference, _| {
            let environment =
                difference.key.starts_with("hook ") && difference.key.ends_with(" env");
            environment && difference.found.is_none()
        },
    },
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
        item: "A container without a mount at `/proc`, or with a mask over it",
        matches: |difference, context| {
            let mut mounts = context.list("/mounts");
            let is_masked = context.names("/linux/maskedPaths", &["/proc"]);
            is_acceptance(difference)
                && (is_masked || !mounts.any(|mount| is_below(mount, "/proc") == Some("")))
        },
    },
    Allowed {
        item: "`linux.memoryPolicy`",
        matches: |difference, context| {
            difference.key == "memory policy"
                && difference.expected.as_deref() == Some("0 0")
                && context.document.pointer("/linux/memoryPolicy").is_some()
        },
    },
    Allowed {
        item: "`--cgroupns host`",
        matches: |difference, context| {
            let mut namespaces = context.list("/linux/namespaces");
            let is_new = |it: &Value| {
                it["type"] == "cgroup" && it["path"].as_str().is_none_or(str::is_empty)
            };
            difference.key.starts_with("mount /")
                && is_cgroup2(difference)
                && !namespaces.any(is_new)
        },
    },
    Allowed {
        item: "No `process.capabilities` in the config",
        matches: |difference, context| {
            let capabilities = context.document.pointer("/process/capabilities");
            let follows = ["status Cap", "access ", "create in ", "device ", "call "];
            capabilities.is_none_or(Value::is_null)
                && follows.iter().any(|start| difference.key.starts_with(start))
        },
    },
    Allowed {
        item: "`linux.intelRdt` on a host without resctrl",
        matches: |difference, context| {
            is_refusal(difference) && context.document.pointer("/linux/intelRdt/closID").is_some()
        },
    },
    Allowed {
        item: "`--blkio-weight-device` without the IO scheduler BFQ",
        matches: |difference, context| {
            difference.key == ENDED
                && difference.found.as_deref() == Some("refused")
                && context.has_resource("/blockIO/weightDevice")
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
                && limits.iter().any(|limit| context.has_resource(limit))
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
        item: "The mounts over masked files, with a read-only `/dev`",
        matches: |difference, context| {
            let mut mounts = context.list("/mounts");
            let is_read_only_dev = |mount: &Value| {
                let mut options = mount["options"].as_array().into_iter().flatten();
                is_below(mount, "/dev") == Some("") && options.any(|option| option == "ro")
            };
            let on_null = |side: &Option<String>| {
                side.as_deref().is_some_and(|text| text.starts_with("tmpfs tmpfs /null "))
            };
            difference.key.starts_with("mount ")
                && on_null(&difference.expected)
                && on_null(&difference.found)
                && mounts.any(is_read_only_dev)
        },
    },
    Allowed {
        item: "No `cgroupsPath` in the config, or a relative one",
        matches: |difference, context| {
            let path = context.document.pointer("/linux/cgroupsPath").and_then(Value::as_str);
            ["cgroup", "read /proc/self/cgroup"].contains(&difference.key.as_str())
                && !path.is_some_and(|path| path.starts_with('/'))
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
        item: "Group of `/dev/mqueue` in a user namespace",
        matches: |difference, context| {
            difference.key == "file /dev/mqueue" && context.has_namespace("user")
        },
    },
    Allowed {
        item: "State that a startContainer hook receives",
        matches: |difference, context| {
            let state = difference.key.starts_with("hook ") && difference.key.ends_with(" state");
            state && context.has_hook(&["startContainer"])
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
        item: "`defaults` in the options of a mount",
        matches: |difference, context| {
            is_acceptance(difference) && context.has_mount_option(&["defaults"])
        },
    },
    Allowed {
        item: "The same file system twice at one destination",
        matches: |difference, context| {
            let all: Vec<(&Value, &Value)> =
                context.list("/mounts").map(|it| (&it["destination"], &it["type"])).collect();
            let has_one = |(_, kind): &(&Value, &Value)| {
                kind.as_str()
                    .is_some_and(|kind| ["sysfs", "proc", "mqueue", "cgroup"].contains(&kind))
            };
            let mut repeated = (0..all.len()).filter(|at| all[..*at].contains(&all[*at]));
            is_acceptance(difference) && repeated.any(|at| has_one(&all[at]))
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
        item: "`exec` with a terminal, by a caller without one",
        matches: |difference, context| {
            let wants_terminal = |step: &Step| match step {
                Step::Exec { detach: false, patches } => {
                    let mut process = context.document["process"].clone();
                    patch::apply(&mut process, patches);
                    process["terminal"] == true
                }
                _ => false,
            };
            difference.command == "exec"
                && difference.key == ENDED
                && difference.found.as_deref() == Some("done")
                && context.steps.iter().any(wants_terminal)
        },
    },
    Allowed {
        item: "`exec` in a container that is created and not yet started",
        matches: |difference, context| {
            let started = context.steps.contains(&Step::Start);
            difference.command == "exec" && difference.key == ENDED && !started
        },
    },
    Allowed {
        item: "The tmpfs over a masked folder, and the super block of a read-only mount",
        matches: |difference, _| {
            let (Some(expected), Some(found)) = (&difference.expected, &difference.found) else {
                return false;
            };
            if difference.key.starts_with("access /sys/") {
                // The kernel looks at the super block first, then at the permissions, and then at the
                // mount.
                return expected.ends_with("write error 30") && found.ends_with("write error 13");
            }
            let limited =
                expected.starts_with("tmpfs tmpfs / ") && expected.contains("nr_inodes=1");
            let (expected, found) = (ReadOnlyMount::parse(expected), ReadOnlyMount::parse(found));
            difference.key.starts_with("mount ")
                && expected.zip(found).is_some_and(|(expected, found)| {
                    expected.mount == found.mount
                        && (limited || expected.super_block == found.super_block)
                })
        },
    },
];

/// The rest of a mount's destination below a folder.
fn is_below<'a>(mount: &'a Value, folder: &str) -> Option<&'a str> {
    mount["destination"].as_str()?.strip_prefix(folder).map(|rest| rest.trim_end_matches('/'))
}

/// Whether both sides are mounts of cgroup v2.
fn is_cgroup2(difference: &Difference) -> bool {
    let sides = [&difference.expected, &difference.found];
    sides.iter().all(|side| side.as_deref().is_some_and(|text| text.starts_with("cgroup2 ")))
}

/// A line of a read-only mount: `sysfs sysfs / ro,nosuid rw,mode=600 shared`.
struct ReadOnlyMount<'a> {
    /// File system, source, root and options.
    mount: Vec<&'a str>,
    /// The options of the super block without `ro` and `rw`, and the propagation.
    super_block: Vec<&'a str>,
}

impl<'a> ReadOnlyMount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut mount: Vec<&str> = line.split(' ').collect();
        let rest = mount.split_off(4.min(mount.len()));
        let is_read_only = mount.get(3)?.split(',').next() == Some("ro");
        let options = rest.iter().flat_map(|field| field.split(','));
        let super_block = options.filter(|option| !["ro", "rw"].contains(option)).collect();
        is_read_only.then_some(Self { mount, super_block })
    }
}

/// Whether the tested runtime refuses what the reference does.
fn is_refusal(difference: &Difference) -> bool {
    let found = difference.found.as_deref();
    difference.command == "create" && difference.key == ENDED && found == Some("refused")
}

/// Whether the tested runtime does what the reference refuses.
fn is_acceptance(difference: &Difference) -> bool {
    let found = difference.found.as_deref();
    difference.command == "create" && difference.key == ENDED && found == Some("done")
}

/// The item of docs/engines.md that allows the difference.
pub(crate) fn allowed_by(difference: &Difference, context: &Context) -> Option<&'static str> {
    let found = ALLOWED.iter().find(|allowed| (allowed.matches)(difference, context));
    found.map(|allowed| allowed.item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_allowed_difference_has_its_reason_in_the_documentation() {
        let page = include_str!("../../docs/engines.md");
        for allowed in ALLOWED {
            let item = format!("**{}", allowed.item);
            assert!(page.contains(&item), "docs/engines.md has no item `{item}`");
        }
    }

    #[test]
    fn only_read_only_mounts_may_have_another_super_block() {
        let context = Context { document: &json!({}), steps: &[], created: true };
        let is_allowed = |key: &str, expected: &str, found: &str| {
            let (expected, found) = (Some(expected.into()), Some(found.into()));
            let difference =
                Difference { command: "start".into(), key: key.into(), expected, found };
            allowed_by(&difference, &context).is_some()
        };
        let limited = "tmpfs tmpfs / ro,relatime ro,size=4k,nr_inodes=1";
        assert!(is_allowed("mount /proc/acpi", limited, "tmpfs tmpfs / ro,relatime ro"));
        assert!(!is_allowed("mount /proc/acpi", limited, "tmpfs tmpfs / rw,relatime ro"));
        assert!(!is_allowed("mount /x", "tmpfs tmpfs / ro ro,size=8k", "tmpfs tmpfs / ro ro"));
        assert!(is_allowed(
            "mount /sys",
            "sysfs sysfs / ro,nosuid ro",
            "sysfs sysfs / ro,nosuid rw"
        ));
        assert!(!is_allowed(
            "mount /sys",
            "sysfs sysfs / ro,nosuid ro",
            "sysfs sysfs / rw,nosuid rw"
        ));
        let devpts = "devpts devpts / ro ro,mode=600";
        assert!(is_allowed("mount /dev/pts", devpts, "devpts devpts / ro rw,mode=600"));
        assert!(!is_allowed("mount /dev/pts", devpts, "devpts devpts / ro rw,mode=620"));
        assert!(!is_allowed("mount /dev/pts", devpts, "devpts devpts / ro,nosuid rw,mode=600"));
    }

    #[test]
    fn a_difference_is_allowed_only_in_its_context() {
        let difference = Difference {
            command: "start".into(),
            key: "call unknown".into(),
            expected: Some("error 38".into()),
            found: Some("error 1".into()),
        };
        let with_profile = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}});
        let context = |document| Context { document, steps: &[], created: true };
        assert!(allowed_by(&difference, &context(&with_profile)).is_some());
        assert!(allowed_by(&difference, &context(&json!({"linux": {}}))).is_none());
    }
}
