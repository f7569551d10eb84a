//! `events`: what a container uses, in runc's shape (`types/events.go`), one object per line.

use std::path::Path;
use std::time::Instant;

use libcgroups::common::DEFAULT_CGROUP_ROOT;
use serde_json::json;

use super::stdout::print;
use crate::cli::{self, Global};
use crate::container::Container;
use crate::container::cgroup_stats;
use crate::container::oom::OomWatch;
use crate::error::Error;

/// Until the container ends, or once with `--stats`.
pub(crate) fn events(global: &Global, options: &cli::Events) -> Result<(), Error> {
    let not_running = || Error::NotRunning { id: options.id.clone() };
    let container = Container::load(global, &options.id)?;
    container.init().ok_or_else(not_running)?;
    let what = "events needs cgroup v2, and a container made by this version of runvf";
    let cgroup = container.record.cgroup.as_ref().ok_or(Error::Unsupported { what })?;
    let cgroup = Path::new(DEFAULT_CGROUP_ROOT).join(cgroup);
    let mut watch = OomWatch::new(&cgroup)?;
    loop {
        let data = cgroup_stats::of(&cgroup);
        print(&json!({ "type": "stats", "id": options.id, "data": data }).to_string())?;
        if options.stats {
            return Ok(());
        }
        let next = Instant::now() + options.interval;
        while watch.killed_before(next)? {
            print(&json!({ "type": "oom", "id": options.id }).to_string())?;
        }
        match Container::load(global, &options.id) {
            Ok(container) if container.init().is_some() => (),
            Ok(_) | Err(Error::NoContainer { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
