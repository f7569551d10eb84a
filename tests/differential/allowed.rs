//! The differences from runc that are right. Each has a row in docs/engines.md that begins with the
//! same words. No other difference is accepted, anywhere.

mod hooks;
mod kind;
mod mounts;
mod process;
mod refusals;

use self::kind::Allowed;
pub(crate) use self::kind::Context;
use crate::compare::Difference;

fn all() -> impl Iterator<Item = &'static Allowed> {
    [hooks::ALL, mounts::ALL, process::ALL, refusals::ALL].into_iter().flatten()
}

/// The row of docs/engines.md that allows the difference.
pub(crate) fn allowed_by(difference: &Difference, context: &Context) -> Option<&'static str> {
    let found = all().find(|allowed| (allowed.matches)(difference, context));
    found.map(|allowed| allowed.item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compare::ENDED;

    #[test]
    fn each_allowed_difference_has_its_reason_in_the_documentation() {
        let page = include_str!("../../docs/engines.md");
        for allowed in all() {
            let row = format!("\n| {} | ", allowed.item);
            assert!(page.contains(&row), "docs/engines.md has no row `{}`", allowed.item);
        }
    }

    #[test]
    fn only_read_only_mounts_may_have_another_super_block() {
        let context = Context { document: &json!({}), steps: &[], created: true, updated: true };
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
    fn only_a_refused_update_may_leave_other_limits() {
        let allowed = |updated: bool, key: &str| {
            let context = Context { document: &json!({}), steps: &[], created: true, updated };
            let (expected, found) = (Some("33554432".into()), Some("67108864".into()));
            let command = "update".into();
            let difference = Difference { command, key: key.into(), expected, found };
            allowed_by(&difference, &context).is_some()
        };
        assert!(allowed(false, "cgroup file memory.max"));
        assert!(!allowed(true, "cgroup file memory.max"));
        assert!(!allowed(false, "limit Max open files"));
    }

    #[test]
    fn only_the_folders_above_a_relative_cgroup_may_stay() {
        let stays = |path: serde_json::Value, folder: &str| {
            let document = json!({"linux": {"cgroupsPath": path}});
            let context = Context { document: &document, steps: &[], created: true, updated: true };
            let key = format!("file /sys/fs/cgroup/{folder}");
            let found = Some("appeared".into());
            let difference = Difference { command: "host".into(), key, expected: None, found };
            allowed_by(&difference, &context).is_some()
        };
        assert!(stays(json!("new/a/b"), "new") && stays(json!("new/a/b"), "new/a"));
        assert!(!stays(json!("new/a/b"), "new/a/b") && !stays(json!("new/a/b"), "ne"));
        assert!(!stays(json!("/new/a"), "new") && !stays(json!(null), ":youki:c"));
    }

    #[test]
    fn a_refused_write_does_not_excuse_a_read() {
        // Without capabilities, another row would allow it.
        let document = json!({"process": {"capabilities": {}}});
        let context = Context { document: &document, steps: &[], created: true, updated: true };
        let is_allowed = |expected: &str, found: &str| {
            let (expected, found) = (Some(expected.into()), Some(found.into()));
            let key = "access /proc/x".into();
            let difference = Difference { command: "start".into(), key, expected, found };
            allowed_by(&difference, &context).is_some()
        };
        assert!(is_allowed("read 1, write error 30", "read 1, write error 13"));
        assert!(!is_allowed("read error 13, write error 30", "read 1, write error 13"));
        assert!(!is_allowed("read 1, write error 30", "read 1, write done"));
    }

    #[test]
    fn only_flags_that_protect_may_be_kept() {
        let document = json!({"root": {"readonly": true}});
        let context = Context { document: &document, steps: &[], created: true, updated: true };
        let is_allowed = |expected: &str, found: &str| {
            let (expected, found) = (Some(expected.into()), Some(found.into()));
            let key = "mount /".into();
            let difference = Difference { command: "start".into(), key, expected, found };
            allowed_by(&difference, &context).is_some()
        };
        assert!(is_allowed("tmpfs tmpfs / ro rw", "tmpfs tmpfs / ro,nosuid,nodev rw"));
        assert!(!is_allowed("tmpfs tmpfs / ro rw", "tmpfs tmpfs / rw,nosuid rw"));
        assert!(!is_allowed("tmpfs tmpfs / ro,nosuid rw", "tmpfs tmpfs / ro rw"));
        assert!(!is_allowed("tmpfs tmpfs / ro rw", "tmpfs other / ro,nosuid rw"));
    }

    #[test]
    fn only_the_reference_may_change_the_hosts_cgroup_mount() {
        let is_allowed =
            |document: &serde_json::Value, expected: Option<&str>, found: Option<&str>| {
                let context = Context { document, steps: &[], created: true, updated: true };
                let key = "mount /sys/fs/cgroup cgroup2 cgroup2 / rw,relatime rw".into();
                let (expected, found) = (expected.map(str::to_owned), found.map(str::to_owned));
                let difference = Difference { command: "host".into(), key, expected, found };
                allowed_by(&difference, &context).is_some()
            };
        let shared = json!({});
        assert!(is_allowed(&shared, Some("appeared"), None));
        assert!(!is_allowed(&shared, None, Some("appeared")));
        let private = json!({"linux": {"namespaces": [{"type": "cgroup"}]}});
        assert!(!is_allowed(&private, Some("appeared"), None));
    }

    #[test]
    fn a_refusal_needs_a_limit_of_the_same_command() {
        let update = json!({"command": "update", "resources": {"memory": {"swappiness": 5}}});
        let steps = [serde_json::from_value(update).unwrap()];
        let context = Context { document: &json!({}), steps: &steps, created: true, updated: true };
        let allowed = |command: &str| {
            let (expected, found) = (Some("done".into()), Some("refused".into()));
            let difference =
                Difference { command: command.into(), key: ENDED.into(), expected, found };
            allowed_by(&difference, &context).is_some()
        };
        assert!(allowed("update"));
        assert!(!allowed("create"));
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
        let context = |document| Context { document, steps: &[], created: true, updated: true };
        assert!(allowed_by(&difference, &context(&with_profile)).is_some());
        assert!(allowed_by(&difference, &context(&json!({"linux": {}}))).is_none());
    }
}
