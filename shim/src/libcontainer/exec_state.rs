//! A state of its own for libcontainer's `exec`, which leads to another spec, because libcontainer finds
//! the spec by the container's state. It would refuse some specs that runvf has changed for `create`
//! (`spec_patch.rs`), and the engine's file may not be normalized (`container/normalize.rs`).
//!
//! A container may also have divided its cgroup, as systemd in a container does. The kernel then refuses
//! processes in the container's cgroup. runc puts the process into the cgroup of the init process
//! (`process_linux.go`). libcontainer takes the cgroup from the spec.

use std::fs;
use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;
use tempfile::TempDir;

use super::patched_bundle;
use super::spec_patch;
use crate::container::{Container, cgroup};
use crate::error::Error;

/// A folder with the state of one container, as libcontainer's root folder has it.
#[must_use]
pub(super) struct ExecState {
    folder: TempDir,
}

impl ExecState {
    /// `spec`: the container's.
    pub(super) fn new(container: &Container, spec: &Spec) -> Result<Self, Error> {
        let folder = patched_bundle::create_folder();
        let folder = folder.map_err(Error::file("create", "a temporary state"))?;
        let failed = |source| Error::file("write to", folder.path())(source);
        let library = &container.library;
        let mut spec = spec.clone();
        for_exec(&mut spec);
        if let Some(mut root) = spec.root().clone() {
            // A relative root is relative to the bundle.
            root.set_path(library.bundle().join(root.path()));
            spec.set_root(Some(root));
        }
        if let (Some(cgroup), Some(mut linux)) = (cgroup::divided(container), spec.linux().clone())
        {
            // With an absolute path, libcgroups does not ask systemd, which knows only the
            // container's own cgroup.
            linux.set_cgroups_path(Some(Path::new("/").join(cgroup)));
            spec.set_linux(Some(linux));
        }
        let state_folder = folder.path().join(library.id());
        let bundle = state_folder.join("bundle");
        fs::create_dir_all(&bundle).map_err(failed)?;
        let path = bundle.join("config.json");
        let text = serde_json::to_vec(&spec);
        let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
        fs::write(&path, text).map_err(failed)?;
        let mut state = library.state.clone();
        state.bundle = bundle;
        let saved = state.save(&state_folder);
        saved.map_err(|error| Error::library("exec in", library.id())(error.into()))?;
        Ok(Self { folder })
    }

    /// The root folder to give to libcontainer.
    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }
}

/// Takes out of a spec what libcontainer would refuse and does not need for `exec`: the process, which
/// the process of `exec` replaces, and its environment may contain secrets; the mounts; and all but one
/// range of ids, because it would look for newuidmap(1).
fn for_exec(spec: &mut Spec) {
    spec_patch::set_version(spec);
    spec.set_process(None).set_mounts(Some(Vec::new()));
    let Some(mut linux) = spec.linux().clone() else { return };
    spec_patch::remove_unused_mappings(&mut linux);
    linux.uid_mappings_mut().iter_mut().for_each(|ranges| ranges.truncate(1));
    linux.gid_mappings_mut().iter_mut().for_each(|ranges| ranges.truncate(1));
    spec.set_linux(Some(linux));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn libcontainer_takes_the_spec() {
        let ids = json!([{ "containerID": 0, "hostID": 5, "size": 1 },
            { "containerID": 1, "hostID": 9, "size": 1 }]);
        let ranges = |namespaces: serde_json::Value| {
            let linux = json!({ "namespaces": namespaces, "uidMappings": ids });
            let spec = json!({ "ociVersion": "x", "linux": linux,
                "process": { "cwd": "/", "user": {}, "env": ["SECRET=1"] } });
            let mut spec: Spec = serde_json::from_value(spec).unwrap();
            for_exec(&mut spec);
            assert_eq!((spec.version().as_str(), spec.process()), ("1.0.0", &None));
            let linux = spec.linux().clone().unwrap();
            linux.uid_mappings().as_ref().map(Vec::len)
        };
        assert_eq!(ranges(json!([{ "type": "user" }])), Some(1));
        assert_eq!(ranges(json!([])), None);
    }
}
