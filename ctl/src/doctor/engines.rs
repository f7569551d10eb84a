//! The engines, and runvf's own programs.

use std::path::Path;

use vf::Finding;

use crate::install::{Engine, Standing, docker_api, missing_programs, runtime_problem, standing};

/// The first that passes `--annotation` on.
const API: (u32, u32) = (1, 43);

pub(super) fn findings(root: &Path) -> Vec<Finding> {
    let mut all = vec![programs(root)];
    if root == Path::new("/") {
        all.push(runtime());
    }
    let engines: Vec<_> =
        Engine::ALL.into_iter().map(|engine| (engine, standing(engine, root))).collect();
    let there = |engine: &(Engine, Standing)| !matches!(engine.1, Standing::Absent);
    let docker = engines.iter().any(|one| one.0 == Engine::Docker && there(one));
    if !engines.iter().any(there) {
        all.push(Finding::failure("engine", "none is installed", "install Docker or Podman"));
    }
    all.extend(engines.into_iter().filter_map(|(engine, now)| told(engine, now, docker)));
    if docker {
        all.push(api(root));
    }
    all
}

fn programs(root: &Path) -> Finding {
    const CHECK: &str = "programs";
    let missing = missing_programs(root);
    match missing.is_empty() {
        true => Finding::ok(CHECK, "runvf and its hook are installed"),
        false => Finding::failure(
            CHECK,
            format!("{} is not there", missing.join(", ")),
            "`make install`",
        ),
    }
}

fn runtime() -> Finding {
    const CHECK: &str = "runtime-config";
    match runtime_problem() {
        Ok(None) => Finding::ok(CHECK, "/etc/runvf/runtime.toml is fine, or not there"),
        Ok(Some(problem)) => match problem.split_once("; ") {
            Some((problem, mend)) => Finding::failure(CHECK, problem, mend),
            None => Finding::failure(CHECK, problem, vf::MANUAL),
        },
        Err(error) => Finding::unknown(CHECK, error.line()),
    }
}

/// `None`: it is not here, or it is Docker's containerd, which need know nothing.
fn told(engine: Engine, now: Standing, docker: bool) -> Option<Finding> {
    let check = engine.name();
    let untold = |evidence: String| Finding::warning(check, evidence, engine.install_command());
    Some(match now {
        Standing::Absent => return None,
        Standing::Ready => Finding::ok(check, "knows runvf"),
        Standing::Untold(_) | Standing::Blocked(_) if docker && engine == Engine::Containerd => {
            return None;
        }
        Standing::Untold(files) => {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            untold(format!("does not know runvf: {}", files.join(", ")))
        }
        Standing::Unheard => Finding::warning(
            check,
            "is configured and does not know runvf yet",
            "`systemctl reload docker`",
        ),
        Standing::Unhooked { problem, mend } => Finding::failure(check, problem, mend),
        Standing::Blocked(error) => untold(error.line()),
    })
}

/// An older one drops annotations without a word, and the sensor starts without its VF.
fn api(root: &Path) -> Finding {
    const CHECK: &str = "docker-api";
    match docker_api(root) {
        Some((major, minor)) if (major, minor) >= API => {
            Finding::ok(CHECK, format!("{major}.{minor}"))
        }
        Some((major, minor)) => Finding::failure(
            CHECK,
            format!("{major}.{minor} knows no annotations: sensors would start without a VF"),
            "use Docker 24 or newer, or `require_annotation = true` in /etc/runvf/runtime.toml",
        ),
        None => Finding::unknown(CHECK, "dockerd does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_machine_without_any_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let all = findings(folder.path());
        let failed: Vec<_> = all.iter().map(|one| (one.check, one.evidence.as_str())).collect();
        assert_eq!(
            failed,
            [
                ("programs", "/usr/bin/runvf, /usr/libexec/runvf/runvf-hook is not there"),
                ("engine", "none is installed")
            ]
        );
    }

    #[test]
    fn dockers_containerd_need_know_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["dockerd", "containerd"] {
            fs::create_dir_all(folder.path().join("usr/bin")).unwrap();
            fs::write(folder.path().join("usr/bin").join(program), "").unwrap();
        }
        let checks = || findings(folder.path()).iter().map(|one| one.check).collect::<Vec<_>>();
        assert_eq!(checks(), ["programs", "docker", "docker-api"]);
        // As docker-ce ships it, into which runvf would not be written.
        let config = folder.path().join("etc/containerd/config.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, "disabled_plugins = [\"cri\"]\n").unwrap();
        assert_eq!(checks(), ["programs", "docker", "docker-api"]);
        fs::remove_file(config).unwrap();
        fs::remove_file(folder.path().join("usr/bin/dockerd")).unwrap();
        assert_eq!(checks(), ["programs", "containerd"]);
    }

    #[test]
    fn an_engine_that_would_start_sensors_without_a_vf_fails() {
        let unhooked = Standing::Unhooked { problem: "reads others".to_owned(), mend: "x" };
        let finding = told(Engine::Podman, unhooked, true).unwrap();
        assert_eq!(finding.severity, vf::Severity::Failure);
        assert_eq!(
            (finding.evidence.as_str(), finding.remedy.as_deref()),
            ("reads others", Some("x"))
        );
    }
}
