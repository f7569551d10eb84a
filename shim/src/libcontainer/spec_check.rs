//! Refuses specs with settings that libcontainer would silently ignore or apply differently.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Hooks, Linux, LinuxNamespace, LinuxNamespaceType, Mount};

use super::bind_flags;
use super::mount_options::{self, is_bind, is_idmapped};
use super::proc_guard::normalize;
use super::{process_check, spec_fields};
use crate::container::{BundleConfig, cgroup_path};
use crate::error::Error;
use crate::log::Log;
use crate::resources;

/// Checks a bundle's `config.json`.
///
/// # Errors
///
/// It has a setting that libcontainer does not support.
pub(crate) fn check(
    config: &BundleConfig,
    bundle: &Path,
    systemd_cgroup: bool,
    log: &Log,
) -> Result<(), Error> {
    let path = bundle.join("config.json");
    spec_fields::check(&config.document, "", &path, log)?;
    let spec = &config.spec;
    let bad = |problem: &str| Error::BadSpec { path: path.clone(), problem: problem.to_owned() };
    let Some(process) = spec.process() else {
        return Err(bad("the spec has no process"));
    };
    process_check::check(process)?;
    let Some(linux) = spec.linux() else {
        return Err(bad("the spec has no linux section"));
    };
    if let Some(kind) = repeated_namespace(linux) {
        return Err(bad(&format!("linux.namespaces names the {kind} namespace twice")));
    }
    if let Some(path) = spec.hooks().as_ref().and_then(hook_with_negative_timeout) {
        return Err(bad(&format!("the timeout of the hook {} is negative", path.display())));
    }
    check_mounts(spec.mounts().as_deref().unwrap_or_default())?;
    bind_flags::check_locked(spec)?;
    let problem_with_path = match systemd_cgroup {
        true => cgroup_path::problem_with_unit,
        false => cgroup_path::problem_with,
    };
    if let Some(problem) = linux.cgroups_path().as_deref().and_then(problem_with_path) {
        return Err(bad(&problem));
    }
    let unified = cgroup_path::is_unified();
    if unified
        && let Some(problem) = linux
            .resources()
            .as_ref()
            .and_then(|resources| resources::problem_with(resources, systemd_cgroup))
    {
        return Err(bad(&problem));
    }
    if systemd_cgroup && !unified {
        return Err(Error::Unsupported { what: "--systemd-cgroup requires cgroup v2" });
    }
    Ok(())
}

/// The program of a hook with a negative timeout. libcontainer would wait for the hook without end.
fn hook_with_negative_timeout(hooks: &Hooks) -> Option<&Path> {
    let stages = [
        hooks.prestart(),
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    let mut hooks = stages.into_iter().flatten().flatten();
    let hook = hooks.find(|hook| hook.timeout().is_some_and(|seconds| seconds < 0))?;
    Some(hook.path())
}

/// The kind of a namespace that the spec names twice. libcontainer takes the last one.
fn repeated_namespace(linux: &Linux) -> Option<LinuxNamespaceType> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let mut kinds = namespaces.iter().map(LinuxNamespace::typ).enumerate();
    let is_repeated = |(at, kind): &(usize, LinuxNamespaceType)| {
        namespaces[..*at].iter().any(|earlier| earlier.typ() == *kind)
    };
    kinds.find(is_repeated).map(|(_, kind)| kind)
}

fn check_mounts(mounts: &[Mount]) -> Result<(), Error> {
    if mounts.iter().any(is_idmapped) {
        return Err(Error::Unsupported {
            what: "libcontainer does not support ID-mapped mounts; remove the idmap option, \
                   or set `engine = \"runc\"` in /etc/runvf/runtime.toml",
        });
    }
    mounts.iter().try_for_each(mount_options::check)?;
    let mut binds = mounts.iter().filter(|mount| is_bind(mount));
    if binds.any(|mount| normalize(mount.destination()) == Path::new("/dev")) {
        return Err(Error::Unsupported {
            what: "cannot bind-mount over /dev: libcontainer creates its own /dev; add devices with --device, \
                   or set `engine = \"runc\"` in /etc/runvf/runtime.toml",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::container;
    use crate::error::line;

    fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 } },
            "mounts": [{ "destination": "/m", "type": "bind", "source": "/tmp", "options": ["rbind"] }],
            "linux": {},
        });
        change(&mut spec);
        let bundle = tempfile::tempdir().unwrap();
        fs::write(bundle.path().join("config.json"), spec.to_string()).unwrap();
        let config = container::load_config(bundle.path()).unwrap();
        check(&config, bundle.path(), false, &Log::default()).err().map(|error| line(&error))
    }

    #[test]
    fn settings_that_libcontainer_ignores_are_refused() {
        assert_eq!(refused(|_| {}), None);
        let says = |line: Option<String>, text: &str| {
            let line = line.unwrap();
            assert!(line.contains(text), "{line}");
        };
        says(refused(|spec| spec["mounts"][0]["options"] = json!(["rbind", "ridmap"])), "idmap");
        says(refused(|spec| spec["mounts"][0]["options"] = json!(["bind", "sync"])), "`sync`");
        says(
            refused(|spec| spec["mounts"][0]["destination"] = json!("/dev")),
            "cannot bind-mount over /dev: ",
        );
        says(refused(|spec| spec["process"] = Value::Null), "the spec has no process");
        for root in ["/", "//a/../"] {
            says(
                refused(|spec| spec["linux"]["cgroupsPath"] = json!(root)),
                "linux.cgroupsPath is the root cgroup",
            );
        }
        assert_eq!(refused(|spec| spec["linux"]["cgroupsPath"] = json!("/runvf-none/a")), None);
        let hook = json!([{ "path": "/hook", "timeout": -1 }]);
        says(refused(|spec| spec["hooks"] = json!({ "poststop": hook })), "hook /hook is negative");
        let repeated = json!([{ "type": "pid" }, { "type": "time" }, { "type": "time" }]);
        says(
            refused(|spec| spec["linux"]["namespaces"] = repeated),
            "names the time namespace twice",
        );
    }
}
