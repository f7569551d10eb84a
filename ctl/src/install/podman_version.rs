//! Which versions of Podman can be used with runvf.

use super::command::{self, COMMAND_TIMEOUT};
use crate::error::Error;

/// Earlier versions copy an image's annotations into the container's configuration.
const IMAGES_CANNOT_ASK: Version = [4, 5, 1];
/// Earlier versions do not know `append` in containers.conf, and start no container with it.
const KNOWS_APPEND: Version = [4, 8, 0];

pub(super) const REMEDY: &str =
    "use Podman 4.8 or newer; until then, run `runvfctl uninstall podman`";

type Version = [u32; 3];

/// Why this Podman must not be used with runvf.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsuitable {
    /// Any image could ask for a VLAN.
    ObeysImages(String),
    /// It cannot read the drop-in.
    CannotAppend(String),
}

/// Asks Podman for its version; `None` if it is suitable.
///
/// # Errors
/// When Podman cannot be run, or prints no version.
pub(super) fn check() -> Result<Option<Unsuitable>, Error> {
    let words = ["podman", "--version"];
    let text = command::stdout(&words, COMMAND_TIMEOUT)?;
    let version = version(&text).ok_or_else(|| Error::Command {
        command: words.join(" "),
        reason: format!("no version in `{}`", text.trim()),
    })?;
    Ok(unsuitable(version))
}

/// `podman version 4.9.4-rhel`
fn version(text: &str) -> Option<Version> {
    let word = text.trim().strip_prefix("podman version ")?;
    let mut numbers = word.split(['.', '-', '+', '~', ' ']).map(|word| word.parse().ok());
    let mut next = || numbers.next().unwrap_or(Some(0));
    // The patch level may be missing or a word.
    Some([next()?, next()?, next().unwrap_or(0)])
}

fn unsuitable(version: Version) -> Option<Unsuitable> {
    let name = format!("Podman {}", version.map(|number| number.to_string()).join("."));
    if version < IMAGES_CANNOT_ASK {
        return Some(Unsuitable::ObeysImages(format!(
            "{name} copies an image's annotations into the container, so that an image can ask for a \
             VLAN"
        )));
    }
    (version < KNOWS_APPEND).then(|| {
        Unsuitable::CannotAppend(format!("{name} does not understand runvf's 50-runvf.conf"))
    })
}

impl Unsuitable {
    pub(super) fn error(self) -> Error {
        let (Self::ObeysImages(problem) | Self::CannotAppend(problem)) = self;
        Error::Conflict { problem, hint: REMEDY.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_output_of_podman() {
        for (text, expected) in [
            ("podman version 4.3.1\n", Some([4, 3, 1])),
            ("podman version 4.9.4-rhel\n", Some([4, 9, 4])),
            ("podman version 5.0.0-dev", Some([5, 0, 0])),
            ("podman version 6.0", Some([6, 0, 0])),
            ("podman version unknown", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn podman_that_obeys_images_or_cannot_append_is_unsuitable() {
        let obeys = |version| matches!(unsuitable(version), Some(Unsuitable::ObeysImages(_)));
        assert!(obeys([4, 3, 1]) && obeys([4, 5, 0]) && obeys([3, 99, 0]));
        let cannot_append =
            |version| matches!(unsuitable(version), Some(Unsuitable::CannotAppend(_)));
        assert!(cannot_append([4, 5, 1]) && cannot_append([4, 7, 2]));
        assert_eq!(unsuitable([4, 8, 0]), None);
        assert_eq!(unsuitable([5, 4, 2]), None);
        assert_eq!(
            unsuitable([4, 3, 1]).unwrap().error().line(),
            "Podman 4.3.1 copies an image's annotations into the container, so that an image can ask for a \
             VLAN; use Podman 4.8 or newer; until then, run `runvfctl uninstall podman`"
        );
    }
}
