//! Checks of the CDI files, and of the engines that read them.

use std::path::Path;

use vf::Finding;

use crate::install::{CdiState, cdi_state, docker_cdi_folders, docker_version};

/// The first Docker that starts a container with a CDI device again when dockerd starts
/// (github.com/moby/moby/issues/49989).
const RESTARTS_CDI: (u32, u32) = (28, 2);

/// Nothing if the CDI files are not installed.
pub(super) fn findings(root: &Path, docker: bool) -> Vec<Finding> {
    let state = cdi_state(root);
    if matches!(state, Ok(CdiState::NotInstalled)) {
        return Vec::new();
    }
    let mut all = vec![match state {
        Err(error) => Finding::unknown("cdi", error.line()),
        Ok(state) => files(state),
    }];
    if docker && root == Path::new("/") {
        all.push(enabled(docker_cdi_folders()));
        all.extend(restarts(docker_version()));
    }
    all
}

fn files(state: CdiState) -> Finding {
    const CHECK: &str = "cdi";
    match state {
        CdiState::NotInstalled => Finding::ok(CHECK, "not installed"),
        CdiState::Current(vlans, tenants) => {
            Finding::ok(CHECK, format!("devices for {vlans} VLANs and {tenants} tenants"))
        }
        CdiState::Stale(files) => Finding::warning(
            CHECK,
            format!("stale, /etc/runvf/config.toml has changed: {}", files.join(", ")),
            "run `runvfctl install cdi`",
        ),
        CdiState::Duplicate { device, file } => Finding::failure(
            CHECK,
            format!("{file} has the device {device}, too: containers get that one, or none"),
            format!("remove {file}"),
        ),
    }
}

/// `folders`: where dockerd reads CDI files. `None`: dockerd does not answer.
fn enabled(folders: Option<Vec<String>>) -> Finding {
    const CHECK: &str = "docker-cdi";
    match folders {
        None => Finding::unknown(CHECK, "dockerd does not answer, or is older than 25"),
        Some(folders) if folders.iter().any(|folder| folder == "/etc/cdi") => {
            Finding::ok(CHECK, "dockerd reads /etc/cdi")
        }
        Some(_) => Finding::failure(
            CHECK,
            "CDI is off: `docker run --device runvf.io/vlan=N` fails",
            "add `\"features\": {\"cdi\": true}` to /etc/docker/daemon.json and restart docker",
        ),
    }
}

fn restarts(version: Option<(u32, u32)>) -> Option<Finding> {
    let (major, minor) = version.filter(|version| *version < RESTARTS_CDI)?;
    Some(Finding::warning(
        "docker-cdi-restart",
        format!(
            "Docker {major}.{minor} does not start containers with `restart: always` and a CDI \
             device again when dockerd starts (moby#49989)"
        ),
        "use Docker 28.2 or newer, or `--runtime runvf` for these containers",
    ))
}

#[cfg(test)]
mod tests {
    use vf::Severity;

    use super::*;

    #[test]
    fn each_state_of_the_files_has_a_finding() {
        assert_eq!(files(CdiState::Current(4094, 0)).severity, Severity::Ok);
        let stale = files(CdiState::Stale(vec!["/etc/cdi/runvf-vlan.json".to_owned()]));
        assert_eq!(stale.severity, Severity::Warning);
        assert!(stale.evidence.ends_with("has changed: /etc/cdi/runvf-vlan.json"), "{stale:?}");
        let (device, file) = ("runvf.io/vlan=7".to_owned(), "/etc/cdi/x.json".to_owned());
        let twice = files(CdiState::Duplicate { device, file });
        assert_eq!(twice.severity, Severity::Failure);
        assert_eq!(twice.remedy.as_deref(), Some("remove /etc/cdi/x.json"));
    }

    #[test]
    fn a_docker_without_cdi_fails_and_an_old_one_warns() {
        assert_eq!(enabled(Some(vec!["/etc/cdi".to_owned()])).severity, Severity::Ok);
        assert_eq!(enabled(Some(vec![])).severity, Severity::Failure);
        assert_eq!(enabled(None).severity, Severity::Unknown);
        let old = restarts(Some((26, 1))).unwrap();
        assert_eq!(old.severity, Severity::Warning);
        assert!(old.evidence.starts_with("Docker 26.1 does not start"), "{old:?}");
        assert_eq!((restarts(Some((28, 2))), restarts(None)), (None, None));
    }
}
