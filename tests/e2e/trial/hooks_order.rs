//! Hooks of each stage that fail or hang, under runc and under runvf.

use crate::hooks_order::{RUNTIMES, with_hooks};
use crate::host::{leave, prepared, state};

/// What a failing hook of a stage leaves: exit statuses, and whether the process, the next hook and
/// the poststop hook ran.
#[test]
fn a_failing_hook_stops_the_container() {
    let lab = prepared();
    let before = state(&lab);
    let fails = r#"{path: "/tmp/h/hook", args: ["hook", $stage, "3"]}"#;
    let hangs = r#"{path: "/usr/bin/sleep", args: ["sleep", "998"], timeout: 1}"#;
    for (how, hook) in [("fails", fails), ("hangs", hangs)] {
        let [runc, runvf] = RUNTIMES.map(|runtime| {
            let parameters = [("runtime", runtime), ("hook", hook)];
            with_hooks(&lab, &parameters, include_str!("../scripts/hooks_fail.sh"))
        });
        let never = "create 1, start 1, \npoststop";
        let last = if how == "fails" { "\npoststop" } else { "" };
        let expected = format!(
            "prestart: {never}\ncreateRuntime: {never}\ncreateContainer: {never}\n\
             startContainer: create 0, start 0, stopped\ndelete 0\npoststop\npoststart: reported\npoststop\n\
             poststop: create 0, start 0, running\ndelete 0{last}"
        );
        assert_eq!(runc, expected, "{how} with runc");
        assert_eq!(runvf, expected, "{how} with runvf");
    }
    leave(lab, &before);
}
