//! Claims of the dead.

use std::fmt::Write;

use vf::{Error, Host, Outcome};

pub(crate) fn run(host: &Host) -> Result<String, Error> {
    let mut text = String::new();
    for released in vf::gc(host)? {
        let outcome = match released.outcome {
            Outcome::Clean => "clean and free".to_owned(),
            Outcome::NotOurs => "left alone: it has changed hands".to_owned(),
            Outcome::Quarantined(reason) => format!("quarantined: {reason}"),
        };
        let _ = writeln!(text, "{} {}", released.vf, outcome);
    }
    Ok(text)
}
