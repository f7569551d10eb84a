//! The outcome of each VF of gc, release and repair: one line, or JSON.

use std::fmt::Write;

use serde_json::json;
use vf::Released;

pub(crate) fn show(released: &[Released], json: bool) -> String {
    if json {
        let all: Vec<_> = released.iter().map(as_json).collect();
        return format!("{:#}\n", json!(all));
    }
    let mut text = String::new();
    for one in released {
        let (outcome, reason) = one.outcome.parts();
        let outcome = if outcome == "clean" { "clean and free" } else { outcome };
        let _ = write!(text, "{} {outcome}", one.vf);
        if !one.container.is_empty() {
            let _ = write!(text, " ({} of {})", one.interface, one.container);
        }
        let _ =
            writeln!(text, "{}", reason.map(|reason| format!(": {reason}")).unwrap_or_default());
    }
    text
}

pub(crate) fn as_json(one: &Released) -> serde_json::Value {
    let (outcome, reason) = one.outcome.parts();
    json!({
        "vf": one.vf,
        "interface": one.interface,
        "container": one.container,
        "outcome": outcome,
        "reason": reason,
    })
}

#[cfg(test)]
mod tests {
    use vf::Outcome;

    use super::*;

    fn released(outcome: Outcome) -> Released {
        let (vf, interface, container) = ("0000:01:10.0".into(), "mon0".into(), "c".into());
        Released { vf, interface, container, outcome }
    }

    #[test]
    fn line_has_the_outcome_and_the_reason() {
        let clean = show(&[released(Outcome::Clean)], false);
        assert_eq!(clean, "0000:01:10.0 clean and free (mon0 of c)\n");
        let left = show(
            &[released(Outcome::Left("the claim now belongs to another container".into()))],
            false,
        );
        assert_eq!(
            left,
            "0000:01:10.0 left (mon0 of c): the claim now belongs to another container\n"
        );
    }

    #[test]
    fn json_is_a_list_even_if_empty() {
        assert_eq!(show(&[], true), "[]\n");
        let text = show(&[released(Outcome::Lost("the VF vanished".into()))], true);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["outcome"], "lost");
        assert_eq!(value[0]["reason"], "the VF vanished");
    }
}
