//! Reads JSON of the runtime spec as a runtime written in Go reads it. For Go, a member that is
//! `null` or `""` is the same as an absent one, an absent struct has default values, and `null` in a
//! list is the default value of the list's type. oci-spec refuses some of these, and libcontainer
//! takes `""` for a path or a name.

use libcontainer::oci_spec::runtime::Capability;
use serde_json::{Map, Value, json};

/// Members with free keys. Their values are strings, which may be empty. Go reads `null` as an empty
/// string.
const FREE_MEMBERS: [&str; 3] = ["annotations", "sysctl", "unified"];

/// Members that are strings. An empty string in any other member has the wrong type, and the parser
/// of the spec refuses it, as Go does: an empty `noNewPrivileges` must not mean `false`.
const STRINGS: [&str; 35] = [
    "access",
    "action",
    "apparmorProfile",
    "cgroupsPath",
    "class",
    "closID",
    "commandLine",
    "cpus",
    "cwd",
    "defaultAction",
    "destination",
    "domain",
    "domainname",
    "final",
    "hostname",
    "initial",
    "l3CacheSchema",
    "listenerMetadata",
    "listenerPath",
    "memBwSchema",
    "mems",
    "mode",
    "mountLabel",
    "name",
    "nodes",
    "ociVersion",
    "op",
    "pageSize",
    "path",
    "policy",
    "rootfsPropagation",
    "selinuxLabel",
    "source",
    "type",
    "username",
];

/// Lists of strings. A list that is in neither constant has objects.
const STRING_LISTS: [&str; 14] = [
    "ambient",
    "architectures",
    "args",
    "bounding",
    "effective",
    "env",
    "flags",
    "inheritable",
    "maskedPaths",
    "names",
    "options",
    "permitted",
    "readonlyPaths",
    "schemata",
];

const NUMBER_LISTS: [&str; 1] = ["additionalGids"];

/// Normalizes a `config.json`.
///
/// # Errors
///
/// A string contains a NUL byte, so no system call can take it.
pub(crate) fn normalize_spec(spec: &mut Value) -> Result<(), String> {
    clean(spec, "")?;
    if let Some(process) = spec.get_mut("process") {
        complete_process(process);
    }
    // Go reads an absent source as "". libcontainer refuses a mount without a source.
    for mount in spec.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(mount) = mount.as_object_mut() {
            mount.entry("source").or_insert_with(|| json!(""));
        }
    }
    // runc: no filter.
    let linux = spec.get_mut("linux").and_then(Value::as_object_mut);
    if let Some(linux) = linux
        && linux.get("seccomp").is_some_and(is_empty_profile)
    {
        linux.remove("seccomp");
    }
    Ok(())
}

/// Normalizes a process object.
///
/// # Errors
///
/// As for [`normalize_spec`].
pub(crate) fn normalize_process(process: &mut Value) -> Result<(), String> {
    clean(process, "")?;
    complete_process(process);
    Ok(())
}

/// Normalizes the limits that `update` reads.
///
/// # Errors
///
/// As for [`normalize_spec`].
pub(crate) fn normalize_resources(resources: &mut Value) -> Result<(), String> {
    clean(resources, "")?;
    // An update ignores the device rules, and so also an unknown type.
    for rule in resources.get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(rule) = rule.as_object_mut()
            && rule.get("type").is_some_and(Value::is_string)
        {
            rule.remove("type");
        }
    }
    Ok(())
}

/// Removes the members that are null, and the strings that are empty, at any depth, and replaces null
/// in lists. `name`: of the member.
fn clean(value: &mut Value, name: &str) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Err(format!("{name} contains a NUL byte; remove it"))
        }
        Value::Array(items) => {
            for item in items.iter_mut().filter(|item| item.is_null()) {
                *item = default_item(name);
            }
            items.iter_mut().try_for_each(|item| clean(item, name))
        }
        Value::Object(members) if FREE_MEMBERS.contains(&name) => {
            for member in members.values_mut().filter(|member| member.is_null()) {
                *member = json!("");
            }
            // No system call takes an annotation.
            match name {
                "annotations" => Ok(()),
                _ => members.iter_mut().try_for_each(|(name, member)| clean(member, name)),
            }
        }
        Value::Object(members) => {
            members.retain(|name, member| {
                let is_empty = member.as_str() == Some("") && STRINGS.contains(&name.as_str());
                !member.is_null() && !is_empty
            });
            members.iter_mut().try_for_each(|(name, member)| clean(member, name))
        }
        _ => Ok(()),
    }
}

/// The value that Go has for `null` in the list of this name.
fn default_item(name: &str) -> Value {
    match name {
        name if STRING_LISTS.contains(&name) => json!(""),
        name if NUMBER_LISTS.contains(&name) => json!(0),
        _ => json!({}),
    }
}

fn complete_process(process: &mut Value) {
    let Some(process) = process.as_object_mut() else { return };
    process.entry("user").or_insert_with(|| json!({}));
    // An empty folder is refused later, with the other invalid folders.
    process.entry("cwd").or_insert_with(|| json!(""));
    if let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) {
        remove_unknown_capabilities(sets);
    }
    // oci-spec has a default class; runc refuses a priority without one.
    if let Some(priority) = process.get_mut("ioPriority").and_then(Value::as_object_mut) {
        priority.entry("class").or_insert_with(|| json!(""));
    }
    let flags = process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        // oci-spec's name for this flag lacks `FLAG` (`process.rs`, `LinuxSchedulerFlag`).
        if flag == "SCHED_FLAG_RESET_ON_FORK" {
            *flag = json!("SCHED_RESET_ON_FORK");
        }
    }
}

/// runc ignores capabilities that it does not know, and knows them only as `CAP_KILL`. oci-spec also
/// reads `cap_kill` and `KILL`. A value that is no string stays, so that the parser refuses it.
fn remove_unknown_capabilities(sets: &mut Map<String, Value>) {
    let is_known = |name: &Value| {
        let is_spelled_so = |text: &str| text.starts_with("CAP_") && text == text.to_uppercase();
        name.as_str().is_none_or(is_spelled_so)
            && (!name.is_string() || serde_json::from_value::<Capability>(name.clone()).is_ok())
    };
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(is_known);
    }
}

fn is_empty_profile(profile: &Value) -> bool {
    let has_calls = profile.get("syscalls").and_then(Value::as_array);
    profile.get("defaultAction").is_none() && has_calls.is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use libcontainer::oci_spec::runtime::{IOPriorityClass, LinuxSchedulerFlag};

    use super::*;

    fn spec(mut spec: Value) -> Value {
        normalize_spec(&mut spec).unwrap();
        spec
    }

    #[test]
    fn null_for_a_free_key_is_an_empty_string() {
        let keys = json!({ "a": null, "b": "c" });
        let read = json!({ "a": "", "b": "c" });
        let document = json!({ "annotations": keys, "linux": { "sysctl": keys } });
        assert_eq!(spec(document), json!({ "annotations": read, "linux": { "sysctl": read } }));
        assert_eq!(spec(json!({ "annotations": null })), json!({}));
    }

    #[test]
    fn an_empty_string_is_no_value_of_another_type() {
        let document = json!({
            "process": { "cwd": "/", "user": { "uid": "" }, "noNewPrivileges": "" }, "mounts": "",
        });
        let kept = spec(document);
        assert_eq!(kept["process"]["noNewPrivileges"], json!(""));
        assert_eq!(kept["process"]["user"]["uid"], json!(""));
        assert_eq!(kept["mounts"], json!(""));
    }

    #[test]
    fn null_and_empty_strings_are_absent() {
        let process = json!({ "cwd": "/", "user": {}, "args": [""], "env": ["A="] });
        let linux = json!({ "namespaces": [{ "type": "pid" }], "sysctl": { "a": "" } });
        let plain = json!({ "process": process, "linux": linux, "annotations": { "a": "" } });
        assert_eq!(spec(plain.clone()), plain);
        let mut with = plain.clone();
        with["hostname"] = json!("");
        with["mounts"] = Value::Null;
        with["linux"]["cgroupsPath"] = json!("");
        with["linux"]["rootfsPropagation"] = json!("");
        with["linux"]["namespaces"][0]["path"] = json!("");
        with["process"]["terminal"] = Value::Null;
        with["process"]["apparmorProfile"] = json!("");
        assert_eq!(spec(with), plain);
    }

    #[test]
    fn a_mount_has_a_source() {
        for mount in [json!({}), json!({ "source": null }), json!({ "source": "" })] {
            let mounts = spec(json!({ "mounts": [mount] }))["mounts"].clone();
            assert_eq!(mounts, json!([{ "source": "" }]));
        }
    }

    #[test]
    fn a_process_has_a_user_and_a_folder() {
        let expected = json!({ "user": {}, "cwd": "" });
        assert_eq!(spec(json!({ "process": {} }))["process"], expected);
        let mut process = json!({ "user": null });
        normalize_process(&mut process).unwrap();
        assert_eq!(process, expected);
    }

    #[test]
    fn unknown_capabilities_are_ignored() {
        let sets =
            json!({ "bounding": ["CAP_KILL", "CAP_FOO", "net_raw", "cap_kill"], "ambient": [] });
        let process = spec(json!({ "process": { "capabilities": sets } }))["process"].clone();
        let expected = json!({ "bounding": ["CAP_KILL"], "ambient": [] });
        assert_eq!(process["capabilities"], expected);
    }

    #[test]
    fn a_capability_is_a_string() {
        let sets = json!({ "effective": [7] });
        let process = spec(json!({ "process": { "capabilities": sets } }))["process"].clone();
        assert_eq!(process["capabilities"], sets);
    }

    #[test]
    fn null_in_a_list_is_a_default_value() {
        let process = json!({
            "cwd": "/", "user": { "additionalGids": [null, 5] }, "args": ["a", null], "rlimits": [null],
        });
        let process = spec(json!({ "process": process }))["process"].clone();
        assert_eq!(process["args"], json!(["a", ""]));
        assert_eq!(process["user"]["additionalGids"], json!([0, 5]));
        assert_eq!(process["rlimits"], json!([{}]));
        let mut limits = json!({ "devices": [null] });
        normalize_resources(&mut limits).unwrap();
        assert_eq!(limits, json!({ "devices": [{}] }));
    }

    #[test]
    fn an_update_takes_device_rules_of_any_type() {
        let mut limits = json!({ "devices": [{ "type": "x", "allow": true }, { "type": 5 }] });
        normalize_resources(&mut limits).unwrap();
        assert_eq!(limits, json!({ "devices": [{ "allow": true }, { "type": 5 }] }));
    }

    #[test]
    fn the_scheduler_flag_has_the_name_of_the_runtime_spec() {
        let process = json!({ "scheduler": { "flags": ["SCHED_FLAG_RESET_ON_FORK"] } });
        let process = spec(json!({ "process": process }))["process"].clone();
        let scheduler = process["scheduler"]["flags"][0].clone();
        let flag = serde_json::from_value::<LinuxSchedulerFlag>(scheduler);
        assert_eq!(flag.unwrap(), LinuxSchedulerFlag::SchedResetOnFork);
    }

    #[test]
    fn a_priority_without_a_class_is_invalid() {
        let class = |priority: Value| {
            let process = spec(json!({ "process": { "ioPriority": priority } }))["process"].clone();
            process["ioPriority"]["class"].clone()
        };
        assert_eq!(class(json!({ "priority": 3 })), json!(""));
        let with_class = json!({ "class": "IOPRIO_CLASS_BE", "priority": 3 });
        assert_eq!(class(with_class), json!("IOPRIO_CLASS_BE"));
        assert!(serde_json::from_value::<IOPriorityClass>(json!("")).is_err());
    }

    #[test]
    fn an_empty_profile_is_none() {
        let linux =
            |seccomp: Value| spec(json!({ "linux": { "seccomp": seccomp } }))["linux"].clone();
        assert_eq!(linux(json!({})), json!({}));
        assert_eq!(linux(json!({ "defaultAction": "", "syscalls": [] })), json!({}));
        assert_ne!(linux(json!({ "defaultAction": "SCMP_ACT_ALLOW" })), json!({}));
    }

    #[test]
    fn a_nul_byte_is_refused() {
        let mut bad = json!({ "process": { "env": ["A=b\0c"] } });
        assert_eq!(normalize_spec(&mut bad).unwrap_err(), "env contains a NUL byte; remove it");
    }
}
