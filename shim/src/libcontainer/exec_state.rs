//! A state of its own for libcontainer's `exec`, which leads to another spec. libcontainer finds the
//! spec by the container's state. Two kinds of containers need another one:
//!
//! - The container has divided its cgroup, as systemd in a container does. The kernel then refuses
//!   processes in the container's cgroup. runc puts the process into the cgroup of the init process
//!   (`process_linux.go`). libcontainer takes the cgroup from the spec.
//! - The engine's `config.json` is not normalized (`container/normalize.rs`). libcontainer would
//!   refuse it, or find another cgroup than at `create`.

use std::fs;
use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;
use tempfile::TempDir;

use super::patched_bundle;
use crate::container::{BundleConfig, Container, cgroup};
use crate::error::Error;

/// A folder with the state of one container, as libcontainer's root folder has it.
#[must_use]
pub(super) struct ExecState {
    folder: TempDir,
}

impl ExecState {
    /// `None` if the container's own state will do. `config`: the container's config.
    pub(super) fn of(container: &Container, config: &BundleConfig) -> Result<Option<Self>, Error> {
        match cgroup::divided(container) {
            None if config.is_normal() => Ok(None),
            init_cgroup => Self::new(container, &config.spec, init_cgroup.as_deref()).map(Some),
        }
    }

    fn new(container: &Container, spec: &Spec, cgroup: Option<&Path>) -> Result<Self, Error> {
        let folder = patched_bundle::create_folder();
        let folder = folder.map_err(Error::file("create", "a temporary state"))?;
        let failed = |source| Error::file("write to", folder.path())(source);
        let library = &container.library;
        let mut spec = spec.clone();
        if let Some(mut root) = spec.root().clone() {
            // A relative root is relative to the bundle.
            root.set_path(library.bundle().join(root.path()));
            spec.set_root(Some(root));
        }
        if let (Some(cgroup), Some(mut linux)) = (cgroup, spec.linux().clone()) {
            // With an absolute path, libcgroups does not ask systemd, which knows only the
            // container's own cgroup.
            linux.set_cgroups_path(Some(Path::new("/").join(cgroup)));
            spec.set_linux(Some(linux));
        }
        // The process of `exec` replaces it. Its environment may contain secrets.
        spec.set_process(None);
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
