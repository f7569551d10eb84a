//! Proof of isolation: ways out of a container that runc closes, tried under runc and under runvf.
//! Each attempt prints a line; a line with `DONE` is a successful escape.

use lab::Lab;

use crate::engine::IMAGE;
use crate::host::{leave, prepared, state};
use crate::script::script;

pub(crate) const RUNTIMES: [&str; 2] = ["runc", "runvf"];

/// What a script prints after `scripts/escapes.sh`, which must not be an escape.
pub(crate) fn attempts(lab: &Lab, runtime: &str, program: &str) -> String {
    let program = include_str!("scripts/escapes.sh").to_owned() + program;
    let printed = lab.ok(&script(&program, &[("runtime", runtime)])).unwrap().text().to_owned();
    assert_none_done(runtime, &printed);
    printed
}

fn assert_none_done(runtime: &str, printed: &str) {
    assert!(!printed.is_empty() && !printed.contains("DONE"), "{runtime}:\n{printed}");
}

/// The init process, and a process that `exec` adds in another way.
#[test]
fn a_default_container_is_as_closed_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/attempts.pl", include_str!("scripts/attempts.pl")).unwrap();
    let [runc, runvf] = RUNTIMES.map(|runtime| {
        let parameters = [("runtime", runtime), ("image", IMAGE)];
        let program = script(include_str!("scripts/default_container.sh"), &parameters);
        let printed = lab.ok(&program).unwrap().text().to_owned();
        assert_none_done(runtime, &printed);
        assert!(printed.matches("mount: refused").count() == 2, "{runtime}:\n{printed}");
        printed
    });
    assert_eq!(runvf, runc);
    leave(lab, &before);
}

/// CVE-2019-5736: the processes of a container can open the program that enters the container, by a
/// link of the kernel. They can keep it open until no process runs the program any more, and then
/// write to it.
#[test]
fn the_runtime_binary_cannot_be_overwritten() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/overwrite.pl", include_str!("scripts/overwrite.pl")).unwrap();
    for runtime in RUNTIMES {
        let printed = attempts(&lab, runtime, include_str!("scripts/escape_overwrite.sh"));
        let expected = "script: ended\nitself: ended\nholds the runtime\noverwrite: refused";
        assert_eq!(printed, expected, "{runtime}");
    }
    leave(lab, &before);
}
