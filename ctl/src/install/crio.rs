//! CRI-O: a drop-in file of runvf's own.

use super::daemon_commands;
use super::engine::Engine;
use super::options::{Action, Options};
use super::own_files;
use super::plan::Plan;
use super::restart;
use super::root::Root;
use crate::error::Error;

const FILES: [(&str, &str); 1] = [(
    "/etc/crio/crio.conf.d/50-runvf.conf",
    include_str!("../../../packaging/crio.conf.d/50-runvf.conf"),
)];

pub(super) fn plan(root: &Root, action: Action, options: &Options) -> Result<Plan, Error> {
    let must_exist = action == Action::Install && root.is_host() && !options.force;
    let exists = root.find_program("crio").is_some()
        || !daemon_commands::find(root, "crio", "crio.service").is_empty();
    if must_exist && !exists {
        return Err(Error::NotInstalled {
            object: "crio".to_owned(),
            hint: "install CRI-O first, or use --force to write its configuration anyway"
                .to_owned(),
        });
    }
    own_files::plan(root, action, options.force, &FILES)
}

/// A restart, because a reload is not enough: `crio status config` then shows the new runtime, but
/// pods do not get it (github.com/cri-o/cri-o/issues/10202).
pub(super) fn activate(options: &Options, plan: &mut Plan) -> Result<(), Error> {
    restart::restart_or_advise(Engine::Crio, "", options, plan)
}
