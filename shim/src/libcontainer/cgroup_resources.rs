//! The limits of a cgroup that is there, some of which libcgroups does not pass on to systemd.

use libcgroups::common::{CgroupManager as _, ControllerOpt, DEFAULT_CGROUP_ROOT};
use libcgroups::v2::manager::Manager as Unified;
use libcontainer::oci_spec::runtime::LinuxResources;

use super::cpuset;
use crate::container::{Container, cgroup};
use crate::error::Error;

pub(crate) fn apply(container: &Container, resources: &LinuxResources) -> Result<(), Error> {
    let id = container.id();
    let failed = |source| Error::Limits { id: id.to_owned(), source };
    let options = ControllerOpt {
        resources,
        disable_oom_killer: false,
        oom_score_adj: None,
        freezer_state: None,
    };
    let systemd = container.library.systemd();
    let rest = if systemd { cpuset::without_cpuset(resources) } else { resources.clone() };
    let manager = cgroup::manager(container)?;
    let applied = manager.apply(&ControllerOpt { resources: &rest, ..options.clone() });
    applied.map_err(|error| failed(Box::new(error)))?;
    if let (true, Some(cgroup)) = (systemd, &container.record.cgroup) {
        cpuset::apply(Some(resources), id, cgroup)?;
        // systemd has no property for some of them, and libcgroups asks it for fewer still. runc writes them too.
        let manager = Unified::new(DEFAULT_CGROUP_ROOT.into(), cgroup.clone());
        let manager = manager.map_err(|error| failed(Box::new(error)))?;
        manager.apply(&options).map_err(|error| failed(Box::new(error)))?;
    }
    Ok(())
}
