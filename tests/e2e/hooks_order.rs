//! Proof of OCI hooks: the hooks of each stage run under runc and under runvf, in the same order,
//! at the same place and with the same state. runc 1.1 runs the poststart hooks during create; the
//! runtime spec and runvf run them during start.

use lab::Lab;

use crate::host::{leave, prepared, state};
use crate::script::script;

pub(crate) const RUNTIMES: [&str; 2] = ["runc", "runvf"];

/// What a script prints after `scripts/hooks.sh`.
pub(crate) fn with_hooks(lab: &Lab, parameters: &[(&str, &str)], program: &str) -> String {
    let program = include_str!("scripts/hooks.sh").to_owned() + program;
    lab.ok(&script(&program, parameters)).unwrap().text().to_owned()
}

#[test]
fn hooks_run_in_order_with_the_state_of_their_container() {
    let lab = prepared();
    let before = state(&lab);
    let [runc, runvf] = RUNTIMES.map(|runtime| {
        with_hooks(&lab, &[("runtime", runtime)], include_str!("scripts/hooks_in_order.sh"))
    });
    let expected = |details: [&str; 3]| {
        let [create_container, start_container, poststart] = details;
        format!(
            "delete 0\nprestart createRuntime createContainer startContainer process poststop\n1\n\
             h /tmp/h value\nprestart in the host creating init\nh /tmp/h value\ncreateRuntime in the host creating init\n\
             h /tmp/h value\ncreateContainer in the container creating {create_container}\n\
             h /tmp/h value\nstartContainer in the container {start_container}\n\
             h /tmp/h value\npoststart in the host {poststart} init\nh /tmp/h value\npoststop in the host stopped 0"
        )
    };
    // docs/engines.md has what libcontainer leaves out.
    assert_eq!(runc, expected(["1", "created 1", "created"]) + "\npoststart");
    assert_eq!(runvf, expected(["0", "creating 0", "running"]));
    leave(lab, &before);
}
