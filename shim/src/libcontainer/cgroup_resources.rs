//! The limits of a container's cgroup. For cgroup v2, runvf applies them itself (`resources.rs`); for
//! cgroup v1, libcgroups does.

use std::path::Path;

use libcgroups::common::{CgroupManager as _, ControllerOpt};
use libcontainer::oci_spec::runtime::{LinuxResources, Spec};
use nix::unistd::Pid;

use crate::container::{Container, cgroup, cgroup_path};
use crate::error::Error;
use crate::resources;

/// Applies the limits of the spec while the init process waits. `cgroup`: relative to the root of
/// cgroup v2.
pub(super) fn apply_to_init(
    spec: &Spec,
    id: &str,
    cgroup: Option<&Path>,
    systemd: bool,
) -> Result<(), Error> {
    if !cgroup_path::is_unified() {
        // libcontainer has applied them.
        return Ok(());
    }
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().clone()).unwrap_or_default();
    // If libcgroups may not create a cgroup, it can leave the init process in the cgroup of runvf,
    // which may be the engine's.
    let current = cgroup_path::of_process(Pid::this().as_raw());
    let is_own =
        |cgroup: &&Path| !current.as_ref().is_some_and(|current| current.starts_with(cgroup));
    resources::apply(id, cgroup.filter(is_own), systemd, &resources)
}

/// Changes the limits of a running container.
pub(crate) fn update(container: &Container, resources: &LinuxResources) -> Result<(), Error> {
    let id = container.id();
    if cgroup_path::is_unified() {
        let init = || container.init().and_then(|pid| cgroup_path::of_process(pid.as_raw()));
        let cgroup = container.record.cgroup.clone().or_else(init);
        return resources::apply(id, cgroup.as_deref(), container.library.systemd(), resources);
    }
    let options = ControllerOpt {
        resources,
        disable_oom_killer: false,
        oom_score_adj: None,
        freezer_state: None,
    };
    let applied = cgroup::manager(container)?.apply(&options);
    applied.map_err(|error| Error::Limits { id: id.to_owned(), source: Box::new(error) })
}
