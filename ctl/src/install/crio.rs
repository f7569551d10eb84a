//! CRI-O: a drop-in of our own.

use super::command;
use super::daemon_commands::started;
use super::podman::own_files;
use super::root::Root;
use super::{Options, Plan, Verb, containerd, installed};
use crate::error::Error;

const FILES: [(&str, &str); 1] = [(
    "/etc/crio/crio.conf.d/50-runvf.conf",
    include_str!("../../../packaging/crio.conf.d/50-runvf.conf"),
)];

pub(super) fn plan(root: &Root, verb: Verb, options: &Options) -> Result<Plan, Error> {
    let needed = verb == Verb::Install && root.is_host() && !options.force;
    let there =
        installed(root, "crio").is_some() || !started(root, "crio", "crio.service").is_empty();
    if needed && !there {
        return Err(Error::Missing {
            what: "crio".to_owned(),
            hint: "install CRI-O first; --force writes its configuration anyway".to_owned(),
        });
    }
    own_files(root, verb, options.force, &FILES)
}

/// A reload is not enough: `crio status config` shows the new runtime then, and no pod gets it
/// (github.com/cri-o/cri-o/issues/10202).
pub(super) fn settle(options: &Options, plan: &mut Plan) -> Result<(), Error> {
    let restart = ["systemctl", "restart", "crio.service"];
    if options.restart {
        command::ok(&restart, containerd::RESTART)?;
        plan.lines.push("restarted".to_owned());
    } else {
        plan.notes.push(format!("it takes this at its next start: `{}`", restart.join(" ")));
    }
    Ok(())
}
