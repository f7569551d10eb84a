//! Mounts that differ, or that only runvf makes.

use serde_json::Value;

use super::kind::{Allowed, is_acceptance};
use crate::compare::Difference;

pub(super) const ALL: &[Allowed] = &[
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
        item: "The source that a cgroup mount shows",
        matches: |difference, _| {
            // `cgroup2 SOURCE / ro rw`
            let without_source = |side: &Option<String>| {
                let words: Vec<_> = side.iter().flat_map(|text| text.split(' ')).collect();
                words.iter().skip(2).map(|word| (*word).to_owned()).collect::<Vec<_>>()
            };
            difference.key.starts_with("mount ")
                && is_cgroup2(difference)
                && without_source(&difference.expected) == without_source(&difference.found)
        },
    },
    Allowed {
        item: "`--cgroupns host`",
        matches: |difference, context| {
            let mut namespaces = context.list("/linux/namespaces");
            let is_new = |it: &Value| {
                it["type"] == "cgroup" && it["path"].as_str().is_none_or(str::is_empty)
            };
            let only_the_reference_changes_the_host = difference.command == "host"
                && difference.key.contains(" cgroup2 ")
                && difference.found.is_none();
            difference.key.starts_with("mount /")
                && (is_cgroup2(difference) || only_the_reference_changes_the_host)
                && !namespaces.any(is_new)
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
        item: "Access times of a bind mount of a source with `strictatime`",
        matches: |difference, context| {
            let [expected, found] = [&difference.expected, &difference.found]
                .map(|side| side.clone().unwrap_or_default());
            difference.key.starts_with("mount ")
                && expected.replacen(",relatime", "", 1) == found
                && expected != found
                && context.has_mount_option(&["nodiratime", "relatime"])
        },
    },
    Allowed {
        item: "`/` in `readonlyPaths`",
        matches: |difference, context| {
            // The mounts below are repeated over the root.
            let is_extra_mount = difference.key.starts_with("mount /")
                && difference.key.contains(" #")
                && difference.found.is_none();
            // The processes that exec adds see the root below, without masks and read-only mounts.
            let is_of_root = difference.command == "exec"
                && ["access ", "create in ", "mount "]
                    .iter()
                    .any(|of| difference.key.starts_with(of));
            context.names("/linux/readonlyPaths", &["/"]) && (is_extra_mount || is_of_root)
        },
    },
    Allowed {
        item: "Group of `/dev/mqueue` in a user namespace",
        matches: |difference, context| {
            difference.key == "file /dev/mqueue" && context.has_namespace("user")
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
            let is_second = difference.key.starts_with("mount ") && difference.key.contains(" #");
            (is_acceptance(difference) || is_second) && repeated.any(|at| has_one(&all[at]))
        },
    },
    Allowed {
        item: "What is in an image's `/dev`, in a user namespace",
        matches: |difference, context| {
            let [expected, found] =
                [&difference.expected, &difference.found].map(|side| side.as_deref());
            // Files under the devices; the name of a link, which runvf cannot change on a read-only root.
            let is_file = expected.is_some_and(|expected| expected.starts_with("100000 "))
                && found.is_some_and(|found| found.starts_with("100644 "));
            let is_link = ["core", "kcore"].iter().any(|name| difference.key.ends_with(name))
                && context.document.pointer("/root/readonly") == Some(&Value::Bool(true));
            ["left rootfs/dev/", "file /dev/"].iter().any(|of| difference.key.starts_with(of))
                && (is_file || is_link)
                && context.has_namespace("user")
        },
    },
    Allowed {
        item: "A read-only root on a file system with `nosuid` or `nodev`",
        matches: |difference, context| {
            let readonly = context.document.pointer("/root/readonly") == Some(&Value::Bool(true));
            readonly && difference.key == "mount /" && keeps_flags(difference)
        },
    },
    Allowed {
        item: "The flags of the source of an `rbind` with mounts below it",
        matches: |difference, context| {
            let has_mounts_below = |mount: &Value| {
                let source = mount["source"].as_str().unwrap_or_default();
                ["/", "/dev", "/proc", "/run", "/sys"].contains(&source)
                    && mount["destination"]
                        .as_str()
                        .is_some_and(|destination| difference.key == format!("mount {destination}"))
            };
            context.list("/mounts").any(has_mounts_below) && keeps_flags(difference)
        },
    },
    Allowed {
        item: "The tmpfs over a masked folder, and the super block of a read-only mount",
        matches: |difference, _| {
            let (Some(expected), Some(found)) = (&difference.expected, &difference.found) else {
                return false;
            };
            if ["access /sys/", "access /proc/"].iter().any(|path| difference.key.starts_with(path))
            {
                // The kernel looks at the super block first, then at the permissions, and then at the
                // mount.
                let rest = expected.strip_suffix("write error 30");
                return rest.is_some() && rest == found.strip_suffix("write error 13");
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

/// Whether both sides are the same mount, but for flags of its source that only the tested runtime
/// keeps.
fn keeps_flags(difference: &Difference) -> bool {
    let (Some(expected), Some(found)) = (&difference.expected, &difference.found) else {
        return false;
    };
    let split = |line: &str| {
        let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let flags = fields.get_mut(3).map(std::mem::take).unwrap_or_default();
        (fields, flags)
    };
    let ((expected, cleared), (found, kept)) = (split(expected), split(found));
    let without: Vec<&str> =
        kept.split(',').filter(|flag| !["nosuid", "nodev", "noexec"].contains(flag)).collect();
    expected == found && cleared != kept && without == cleared.split(',').collect::<Vec<_>>()
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
