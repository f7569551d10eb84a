//! Checks of the engines, and of runvf's own programs.

use std::path::Path;

use vf::Finding;

use super::cdi;
use crate::install::{
    Engine, State, docker_api, missing_programs, podman_network_problem, runtime_config_problem,
    state,
};

/// The first version of the Docker API that has annotations.
const MIN_DOCKER_API: (u32, u32) = (1, 43);

pub(super) fn findings(root: &Path) -> Vec<Finding> {
    let mut all = vec![programs(root)];
    if root == Path::new("/") {
        all.push(runtime_config());
    }
    let engines: Vec<_> =
        Engine::ALL.into_iter().map(|engine| (engine, state(engine, root))).collect();
    let is_installed = |engine: &(Engine, State)| !matches!(engine.1, State::NotInstalled);
    let docker = engines.iter().any(|one| one.0 == Engine::Docker && is_installed(one));
    if !engines.iter().any(is_installed) {
        let evidence = "no container engine is installed";
        all.push(Finding::failure("engine", evidence, "install Docker or Podman"));
    }
    let podman = engines.iter().any(|one| one.0 == Engine::Podman && is_installed(one));
    let cdi = cdi::findings(root, docker);
    let by_cdi = !cdi.is_empty();
    let of_engine = |(engine, state)| finding(engine, state, docker, by_cdi);
    all.extend(engines.into_iter().filter_map(of_engine));
    all.extend(cdi);
    if podman && root == Path::new("/") {
        all.push(podman_network());
    }
    if docker {
        all.push(docker_api_version(root));
    }
    all
}

fn programs(root: &Path) -> Finding {
    const CHECK: &str = "programs";
    let missing = missing_programs(root);
    match missing.is_empty() {
        true => Finding::ok(CHECK, "runvf and runvf-hook are installed"),
        false => Finding::failure(
            CHECK,
            format!("not installed: {}", missing.join(", ")),
            "run `make install`",
        ),
    }
}

fn runtime_config() -> Finding {
    const CHECK: &str = "runtime-config";
    match runtime_config_problem() {
        Ok(None) => Finding::ok(CHECK, "/etc/runvf/runtime.toml is valid or missing"),
        Ok(Some(problem)) => match problem.split_once("; ") {
            Some((problem, remedy)) => Finding::failure(CHECK, problem, remedy),
            None => Finding::failure(CHECK, problem, vf::MANUAL),
        },
        Err(error) => Finding::unknown(CHECK, error.line()),
    }
}

/// `None` if the engine is not installed, or if it is the containerd of Docker, which does not need
/// runvf. `by_cdi`: the CDI devices are installed, so an engine needs no configuration.
fn finding(engine: Engine, state: State, docker: bool, by_cdi: bool) -> Option<Finding> {
    let check = engine.name();
    let warning = |evidence: String| Finding::warning(check, evidence, engine.install_command());
    Some(match state {
        State::NotInstalled => return None,
        State::Ready => Finding::ok(check, "runvf is registered"),
        State::NotConfigured(_) | State::Blocked(_) if docker && engine == Engine::Containerd => {
            return None;
        }
        State::NotConfigured(_) if by_cdi => {
            Finding::ok(check, "runvf is not registered; its CDI devices are installed")
        }
        State::NotConfigured(files) => {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            warning(format!("runvf is not registered: {}", files.join(", ")))
        }
        State::NotReloaded => Finding::warning(
            check,
            "runvf is configured, but dockerd has not read its configuration",
            "run `systemctl reload docker`",
        ),
        State::Unsafe { problem, remedy } => Finding::failure(check, problem, remedy),
        State::Blocked(error) => warning(error.line()),
    })
}

/// Whether Podman finds the plugin for `podman network create --driver runvf`.
fn podman_network() -> Finding {
    const CHECK: &str = "podman-network";
    match podman_network_problem() {
        Ok(None) => Finding::ok(CHECK, "Podman has the network driver runvf"),
        Ok(Some((problem, remedy))) => Finding::warning(CHECK, problem, remedy),
        Err(error) => Finding::unknown(CHECK, error.line()),
    }
}

/// An older Docker silently drops annotations, and the sensor starts without its VF.
fn docker_api_version(root: &Path) -> Finding {
    const CHECK: &str = "docker-api";
    match docker_api(root) {
        Some((major, minor)) if (major, minor) >= MIN_DOCKER_API => {
            Finding::ok(CHECK, format!("{major}.{minor}"))
        }
        Some((major, minor)) => Finding::failure(
            CHECK,
            format!(
                "{major}.{minor} does not support annotations: sensors would start without a VF"
            ),
            "use Docker 24 or newer, or set `require_annotation = true` in /etc/runvf/runtime.toml",
        ),
        None => Finding::unknown(CHECK, "dockerd does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn machine_without_an_engine_fails() {
        let dir = tempfile::tempdir().unwrap();
        let all = findings(dir.path());
        let failed: Vec<_> = all.iter().map(|one| (one.check, one.evidence.as_str())).collect();
        assert_eq!(
            failed,
            [
                (
                    "programs",
                    "not installed: /usr/bin/runvf, /usr/libexec/runvf/runvf-hook, \
                     /usr/libexec/netavark/runvf"
                ),
                ("engine", "no container engine is installed")
            ]
        );
    }

    #[test]
    fn containerd_of_docker_is_not_checked() {
        let dir = tempfile::tempdir().unwrap();
        for program in ["dockerd", "containerd"] {
            fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
            fs::write(dir.path().join("usr/bin").join(program), "").unwrap();
        }
        let checks = || findings(dir.path()).iter().map(|one| one.check).collect::<Vec<_>>();
        assert_eq!(checks(), ["programs", "docker", "docker-api"]);
        // The file that docker-ce ships; install would refuse it.
        let config = dir.path().join("etc/containerd/config.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, "disabled_plugins = [\"cri\"]\n").unwrap();
        assert_eq!(checks(), ["programs", "docker", "docker-api"]);
        fs::remove_file(config).unwrap();
        fs::remove_file(dir.path().join("usr/bin/dockerd")).unwrap();
        assert_eq!(checks(), ["programs", "containerd"]);
    }

    #[test]
    fn engine_that_is_unsafe_fails() {
        let state = State::Unsafe { problem: "reads others".to_owned(), remedy: "x" };
        let finding = finding(Engine::Podman, state, true, false).unwrap();
        assert_eq!(finding.severity, vf::Severity::Failure);
        assert_eq!(
            (finding.evidence.as_str(), finding.remedy.as_deref()),
            ("reads others", Some("x"))
        );
    }
}
