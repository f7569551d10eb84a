//! Properties of processes that runvf sets by itself or that only show after many containers.

use crate::bundles::{with_both, with_bundle};
use crate::host::{leave, prepared, state};

/// The terminal and the files that an operator gives to a process in the foreground stay the
/// operator's.
#[test]
fn a_process_in_the_foreground_does_not_take_the_operators_terminal() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_both(&lab, include_str!("../scripts/foreground_owner.sh"));
    let one = [["during: 0"; 3], ["after: 0"; 3]].concat();
    let one = [one, vec!["on the terminal: 0"]].concat();
    let expected = [one.clone(), one].concat().join("\n");
    assert_eq!(printed, [expected.clone(), expected]);
    leave(lab, &before);
}

pub(crate) fn the_limit_of_open_files_is_as_specified_each_time() {
    let lab = prepared();
    let before = state(&lab);
    for printed in with_both(&lab, include_str!("../scripts/open_files.sh")) {
        let words: Vec<_> = printed.split_whitespace().collect();
        assert_eq!(words, ["30", "3000", "30", "4000"]);
    }
    leave(lab, &before);
}

/// runc before 1.4 has no memory policy, so it is not compared.
#[test]
fn an_added_process_has_the_memory_policy_and_the_oom_score_of_the_container() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_bundle(&lab, "runvf", include_str!("../scripts/memory_policy.sh"));
    assert_eq!(printed, "init: bind:0 321\nadded: bind:0 321");
    leave(lab, &before);
}

/// Podman reads the whole file of `--log` as one JSON value.
#[test]
fn a_failed_command_logs_its_error_alone() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_bundle(&lab, "runvf", include_str!("../scripts/log_entries.sh"));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "true = 0", "{printed}");
    assert!(
        lines[1].starts_with("warning: ") && lines[1].contains("linux.noSuchField"),
        "{printed}"
    );
    assert!(lines[2].starts_with("/no/such/program = "), "{printed}");
    assert!(lines[3].starts_with("error: ") && lines[3].contains("/no/such/program"), "{printed}");
    assert_eq!(lines[4..], ["1"], "{printed}");
    leave(lab, &before);
}
