//! All fields that runtime-spec 1.3 defines, and what becomes of each. runvf refuses a field that it
//! does not apply. A field that the spec does not define is ignored, as the spec says ("Extensibility"
//! in `config.md`), with a warning. The check reads the raw JSON, because the parser drops unknown
//! fields.

use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::log::Log;

/// An object of the spec. In its path, `[]` is an element of an array, and `*` a value of a map.
struct Object {
    path: &'static str,
    applied: &'static str,
    refused: &'static str,
    other_platforms: &'static str,
}

const fn object(path: &'static str, applied: &'static str) -> Object {
    Object { path, applied, refused: "", other_platforms: "" }
}

impl Object {
    const fn refusing(self, refused: &'static str) -> Self {
        Self { refused, ..self }
    }

    /// Fields that only other platforms apply. They are ignored without a warning, as in runc.
    const fn of_other_platforms(self, other_platforms: &'static str) -> Self {
        Self { other_platforms, ..self }
    }
}

/// The objects. A value that is no object of this table is a value of its field: a string, a list of
/// strings, or a map such as `annotations`. The limits below `linux.resources` have checks of their
/// own.
const OBJECTS: &[Object] = &[
    object("", "annotations domainname hooks hostname linux mounts ociVersion process root")
        .of_other_platforms("freebsd solaris vm windows zos"),
    object("root", "path readonly"),
    object("mounts[]", "destination options source type").refusing("gidMappings uidMappings"),
    object(
        "process",
        "apparmorProfile args capabilities consoleSize cwd env execCPUAffinity ioPriority noNewPrivileges \
         oomScoreAdj rlimits scheduler terminal user",
    )
    .refusing("selinuxLabel")
    .of_other_platforms("commandLine"),
    object("process.capabilities", "ambient bounding effective inheritable permitted"),
    object("process.consoleSize", "height width"),
    object("process.execCPUAffinity", "final initial"),
    object("process.ioPriority", "class priority"),
    object("process.rlimits[]", "hard soft type"),
    object("process.scheduler", "deadline flags nice period policy priority runtime"),
    object("process.user", "additionalGids gid umask uid").of_other_platforms("username"),
    object("hooks", "createContainer createRuntime poststart poststop prestart startContainer"),
    object("hooks.createContainer[]", HOOK),
    object("hooks.createRuntime[]", HOOK),
    object("hooks.poststart[]", HOOK),
    object("hooks.poststop[]", HOOK),
    object("hooks.prestart[]", HOOK),
    object("hooks.startContainer[]", HOOK),
    object(
        "linux",
        "cgroupsPath devices gidMappings intelRdt maskedPaths memoryPolicy namespaces netDevices personality \
         readonlyPaths resources rootfsPropagation seccomp sysctl timeOffsets uidMappings",
    )
    .refusing("mountLabel"),
    object("linux.devices[]", "fileMode gid major minor path type uid"),
    object("linux.gidMappings[]", "containerID hostID size"),
    object("linux.intelRdt", "closID l3CacheSchema memBwSchema schemata")
        .refusing("enableCMT enableMBM enableMonitoring"),
    object("linux.memoryPolicy", "flags mode nodes"),
    object("linux.namespaces[]", "path type"),
    object("linux.netDevices.*", "name"),
    object("linux.personality", "domain").refusing("flags"),
    object(
        "linux.resources",
        "blockIO cpu devices hugepageLimits memory network pids rdma unified",
    ),
    object(
        "linux.resources.blockIO",
        "leafWeight throttleReadBpsDevice throttleReadIOPSDevice throttleWriteBpsDevice \
         throttleWriteIOPSDevice weight weightDevice",
    ),
    object("linux.resources.blockIO.throttleReadBpsDevice[]", THROTTLE),
    object("linux.resources.blockIO.throttleReadIOPSDevice[]", THROTTLE),
    object("linux.resources.blockIO.throttleWriteBpsDevice[]", THROTTLE),
    object("linux.resources.blockIO.throttleWriteIOPSDevice[]", THROTTLE),
    object("linux.resources.blockIO.weightDevice[]", "leafWeight major minor weight"),
    object(
        "linux.resources.cpu",
        "burst cpus idle mems period quota realtimePeriod realtimeRuntime shares",
    ),
    object("linux.resources.devices[]", "access allow major minor type"),
    object("linux.resources.hugepageLimits[]", "limit pageSize"),
    object(
        "linux.resources.memory",
        "checkBeforeUpdate disableOOMKiller kernel kernelTCP limit reservation swap swappiness useHierarchy",
    ),
    object("linux.resources.network", "classID priorities"),
    object("linux.resources.network.priorities[]", "name priority"),
    object("linux.resources.pids", "limit"),
    object("linux.resources.rdma.*", "hcaHandles hcaObjects"),
    object(
        "linux.seccomp",
        "architectures defaultAction defaultErrnoRet flags listenerMetadata listenerPath syscalls",
    ),
    object("linux.seccomp.syscalls[]", "action args errnoRet names"),
    object("linux.seccomp.syscalls[].args[]", "index op value valueTwo"),
    object("linux.timeOffsets.*", "nanosecs secs"),
    object("linux.uidMappings[]", "containerID hostID size"),
];

const HOOK: &str = "args env path timeout";
const THROTTLE: &str = "major minor rate";

/// Checks the fields of a document of the runtime spec. `base`: the path of the document's object in
/// the spec. `file`: for errors and the warning about unknown fields.
///
/// # Errors
/// The document has a field that runvf does not apply, or a list in the place of an object.
pub(crate) fn check(document: &Value, base: &str, file: &Path, log: &Log) -> Result<(), Error> {
    let mut found = Fields::default();
    found.search(document, base);
    if let Some(field) = found.lists.into_iter().next() {
        let problem = format!("{field} is a list; it must be an object");
        return Err(Error::BadSpec { path: file.to_owned(), problem });
    }
    if let Some(field) = found.refused.into_iter().next() {
        return Err(Error::UnsupportedField { field });
    }
    if !found.unknown.is_empty() {
        let fields = found.unknown.join(", ");
        log.warn(&format!("{}: ignored unknown fields: {fields}", file.display()));
    }
    Ok(())
}

/// Whether runvf applies a field.
pub(crate) fn is_applied(field: &str) -> bool {
    let (path, name) = field.rsplit_once('.').unwrap_or(("", field));
    find(path).is_some_and(|object| has(object.applied, name))
}

#[derive(Default)]
struct Fields {
    refused: Vec<String>,
    unknown: Vec<String>,
    /// The lists in the place of an object.
    lists: Vec<String>,
}

impl Fields {
    fn search(&mut self, value: &Value, path: &str) {
        match (value, find(path)) {
            (Value::Object(fields), Some(object)) => {
                for (name, value) in fields {
                    let field = format!("{path}{}{name}", if path.is_empty() { "" } else { "." });
                    match () {
                        () if value.is_array() && find(&field).is_some() => self.lists.push(field),
                        () if !is_set(value) => {}
                        () if has(object.applied, name) => self.search(value, &field),
                        () if has(object.refused, name) => self.refused.push(field),
                        () if has(object.other_platforms, name) => {}
                        () => self.unknown.push(field),
                    }
                }
            }
            (Value::Object(values), None) => {
                let path = format!("{path}.*");
                values.values().for_each(|value| self.search(value, &path));
            }
            // The parser of the spec would take the elements for the fields. Go refuses it.
            (Value::Array(_), Some(_)) => self.lists.push(path.to_owned()),
            (Value::Array(elements), None) => {
                let path = format!("{path}[]");
                elements.iter().for_each(|element| self.search(element, &path));
            }
            _ => {}
        }
    }
}

/// Some engines write an empty value for a field that is not set.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn find(path: &str) -> Option<&'static Object> {
    OBJECTS.iter().find(|object| object.path == path)
}

fn has(names: &str, name: &str) -> bool {
    names.split_ascii_whitespace().any(|one| one == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::line;

    fn search(spec: Value) -> (String, String) {
        let mut found = Fields::default();
        found.search(&spec, "");
        (found.refused.join(" "), found.unknown.join(" "))
    }

    #[test]
    fn unknown_fields_are_found_at_any_depth() {
        let (refused, unknown) = search(json!({
            "annotations": { "a": "b" },
            "new": 1,
            "mounts": [{ "destination": "/", "selinux": "x" }],
            "linux": {
                "sysctl": { "net.ipv4.ip_forward": "1" },
                "netDevices": { "eth0": { "name": "x", "mtu": 9000 } },
                "seccomp": { "syscalls": [{ "names": ["a"], "args": [{ "index": 0, "mask": 1 }] }] },
                "resources": { "memory": { "max": 1 }, "unified": { "memory.max": "1" } },
                "empty": null,
            },
        }));
        assert_eq!(refused, "");
        assert_eq!(
            unknown,
            "linux.netDevices.*.mtu linux.resources.memory.max linux.seccomp.syscalls[].args[].mask \
             mounts[].selinux new"
        );
    }

    #[test]
    fn fields_that_runvf_does_not_apply_are_refused() {
        for (field, spec) in [
            ("process.selinuxLabel", json!({ "process": { "selinuxLabel": "l" } })),
            ("linux.mountLabel", json!({ "linux": { "mountLabel": "l" } })),
            ("linux.personality.flags", json!({ "linux": { "personality": { "flags": ["x"] } } })),
            ("mounts[].uidMappings", json!({ "mounts": [{ "uidMappings": [{ "size": 1 }] }] })),
        ] {
            assert_eq!(search(spec.clone()), (field.to_owned(), String::new()));
            assert!(!is_applied(field));
            let line = line(&check(&spec, "", Path::new("f"), &Log::default()).unwrap_err());
            assert!(line.starts_with(&format!("runvf does not support {field}; ")), "{line}");
        }
        let empty = json!({ "process": { "selinuxLabel": "" }, "linux": { "mountLabel": null } });
        assert_eq!(search(empty), (String::new(), String::new()));
    }

    #[test]
    fn fields_of_other_platforms_are_ignored() {
        let process = json!({ "commandLine": "x", "user": { "username": "x" } });
        let spec = json!({ "windows": { "x": 1 }, "vm": { "x": 1 }, "process": process });
        assert_eq!(search(spec), (String::new(), String::new()));
    }

    #[test]
    fn a_list_is_no_object() {
        let check = |document, base| {
            check(&document, base, Path::new("f"), &Log::default()).map_err(|error| line(&error))
        };
        for (document, field) in [
            (json!({ "hooks": [] }), "hooks"),
            (json!([[]]), ""),
            (json!({ "process": { "rlimits": [[]] } }), "process.rlimits[]"),
        ] {
            let expected = format!("f: {field} is a list; it must be an object");
            assert_eq!(check(document, ""), Err(expected));
        }
        let process = json!({ "user": [0, 0] });
        assert!(check(process, "process").unwrap_err().contains("process.user is a list"));
        let lists =
            json!({ "process": { "args": [], "rlimits": [] }, "mounts": [{ "options": [] }] });
        assert_eq!(check(lists, ""), Ok(()));
    }

    /// Every object of the table can be reached, and no field is in it twice.
    #[test]
    fn the_table_is_consistent() {
        for object in OBJECTS {
            let parent = object.path.trim_end_matches("[]").trim_end_matches(".*");
            assert!(parent.is_empty() || is_applied(parent), "{}", object.path);
            let mut names: Vec<_> = [object.applied, object.refused, object.other_platforms]
                .iter()
                .flat_map(|all| all.split(' '))
                .collect();
            names.retain(|name| !name.is_empty());
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", object.path);
        }
    }

    /// The library's own types have no field that the table does not know.
    #[test]
    fn the_default_spec_has_no_unknown_field() {
        let spec = libcontainer::oci_spec::runtime::Spec::default();
        let found = search(serde_json::to_value(spec).unwrap());
        assert_eq!(found, (String::new(), String::new()));
    }
}
