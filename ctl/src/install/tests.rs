use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const DAEMON_JSON: &str = "/etc/docker/daemon.json";

fn options(root: &Path) -> Options {
    let root = root.to_owned();
    Options { dry_run: false, json: false, force: false, restart: false, root, default: false }
}

/// Every file below a directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => drop(all.insert(path.clone(), fs::read_to_string(path).unwrap())),
        }
    }
    all
}

fn with(path: &str, text: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if let Some(text) = text {
        let path = Root::new(dir.path()).resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Installs twice and uninstalls twice.
fn install_and_uninstall_twice(engine: Engine, path: &str, text: Option<&str>, default: bool) {
    let dir = with(path, text);
    let before = files(dir.path());
    let options = options(dir.path()).with_default(default);
    let install = || run(Action::Install, engine, &options).unwrap();
    install();
    let installed = files(dir.path());
    assert_ne!(installed, before);
    assert!(install().ends_with("already installed: nothing to change\n"));
    assert_eq!(files(dir.path()), installed);
    run(Action::Uninstall, engine, &options).unwrap();
    assert_eq!(files(dir.path()), before);
    let again = run(Action::Uninstall, engine, &options).unwrap();
    assert!(again.ends_with("not installed: nothing to change\n"), "{again}");
}

#[test]
fn uninstall_restores_every_byte_for_every_engine() {
    let json = [None, Some(""), Some("{ }"), Some("{\n}\n"), Some("{\"runtimes\": {\n}}")];
    let written = daemon_json::tests::WRITTEN.into_iter().map(Some);
    for text in json.into_iter().chain(written) {
        install_and_uninstall_twice(Engine::Docker, DAEMON_JSON, text, false);
        install_and_uninstall_twice(Engine::Docker, DAEMON_JSON, text, true);
    }
    let toml = [None, Some(""), Some("version = 2"), Some("version = 3\nimports = [ ]\n")];
    let written = containerd_toml::tests::WRITTEN.into_iter().map(Some);
    for text in toml.into_iter().chain(written) {
        install_and_uninstall_twice(Engine::Containerd, "/etc/containerd/config.toml", text, false);
    }
    install_and_uninstall_twice(Engine::Podman, "/etc/none", None, false);
    install_and_uninstall_twice(Engine::Crio, "/etc/none", None, false);
}

#[test]
fn edit_between_two_installs_is_not_overwritten_by_the_backup() {
    let dir = with(DAEMON_JSON, Some("{}\n"));
    let options = options(dir.path());
    run(Action::Install, Engine::Docker, &options).unwrap();
    let path = Root::new(dir.path()).resolve(DAEMON_JSON).unwrap();
    let edited = fs::read_to_string(&path).unwrap().replacen('{', "{\n  \"debug\": true,", 1);
    fs::write(&path, edited).unwrap();
    run(Action::Install, Engine::Docker, &options.clone().with_default(true)).unwrap();
    run(Action::Uninstall, Engine::Docker, &options).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"debug\": true\n}\n");
}

#[test]
fn containerd_file_edited_after_install_keeps_the_edit() {
    const CONFIG: &str = "/etc/containerd/config.toml";
    for original in ["# imports = []\nversion = 2\n", "# imports = []\nversion = 3\n"] {
        let dir = with(CONFIG, Some(original));
        let options = options(dir.path());
        run(Action::Install, Engine::Containerd, &options).unwrap();
        let path = Root::new(dir.path()).resolve(CONFIG).unwrap();
        let edited = fs::read_to_string(&path).unwrap() + "\n# mine\n[debug]\n";
        fs::write(&path, edited).unwrap();
        run(Action::Uninstall, Engine::Containerd, &options).unwrap();
        let expected = format!("{original}\n# mine\n[debug]\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

#[test]
fn dry_run_prints_a_diff_and_changes_nothing() {
    let dir = with(DAEMON_JSON, Some("{\n  \"debug\": true\n}\n"));
    let before = files(dir.path());
    let options = Options { dry_run: true, ..options(dir.path()) };
    assert_eq!(
        run(Action::Install, Engine::Docker, &options).unwrap(),
        "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,3 +1,8 @@\n {\n-  \"debug\": true\n\
         +  \"debug\": true,\n+  \"runtimes\": {\n+    \"runvf\": {\n+      \"path\": \"/usr/bin/runvf\"\n+    }\n+  }\n }\n"
    );
    assert_eq!(files(dir.path()), before);
}

#[test]
fn file_edited_after_install_keeps_the_edit_and_the_backup() {
    let dir = with(DAEMON_JSON, Some("{\n  \"default-runtime\": \"crun\"\n}"));
    let options = options(dir.path()).with_default(true);
    let output = run(Action::Install, Engine::Docker, &options).unwrap();
    assert_eq!(
        output,
        "docker: added runtime runvf to /etc/docker/daemon.json (backup /etc/docker/daemon.json.runvf-backup)\n\
         docker: set default runtime to runvf in /etc/docker/daemon.json (was \"crun\")\n"
    );
    let path = Root::new(dir.path()).resolve(DAEMON_JSON).unwrap();
    let edited = fs::read_to_string(&path).unwrap().replacen('{', "{\n  \"debug\": true,", 1);
    fs::write(&path, edited).unwrap();
    let output = run(Action::Uninstall, Engine::Docker, &options).unwrap();
    assert!(output.contains("was edited since the install"), "{output}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\n  \"debug\": true,\n  \"default-runtime\": \"crun\"\n}"
    );
    assert!(path.with_extension("json.runvf-backup").exists());
}

/// A running dockerd first gets the explicit form of the file; uninstall may be interrupted then.
#[test]
fn interrupted_uninstall_is_finished_by_the_next() {
    for (text, default) in [(Some("{}"), false), (None, true), (Some("{\"debug\": true}\n"), true)]
    {
        let dir = with(DAEMON_JSON, text);
        let before = files(dir.path());
        let options = options(dir.path()).with_default(default);
        run(Action::Install, Engine::Docker, &options).unwrap();
        let path = Root::new(dir.path()).resolve(DAEMON_JSON).unwrap();
        let original = daemon_json::DaemonJson { path: &path, text };
        fs::write(&path, original.explicit(default).unwrap()).unwrap();
        run(Action::Uninstall, Engine::Docker, &options).unwrap();
        assert_eq!(files(dir.path()), before);

        // Interrupted after the file was restored, with the record still there.
        run(Action::Install, Engine::Docker, &options).unwrap();
        text.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
        let output = run(Action::Uninstall, Engine::Docker, &options).unwrap();
        assert_eq!(output, "docker: /etc/docker/daemon.json is already restored\n");
        assert_eq!(files(dir.path()), before);
    }
}

/// The files of an engine as an earlier version of runvf left them: the original, the installed
/// file, and a record without `written`.
fn installed_by_earlier_version(
    engine: &str,
    path: &str,
    original: Option<&str>,
    installed: &str,
    default_before: Option<&str>,
) -> tempfile::TempDir {
    let dir = with(path, Some(installed));
    let backup = format!("{path}.runvf-backup");
    let record = serde_json::json!({
        "file": path,
        "backup": original.map(|_| &backup),
        "default": default_before.is_some(),
        "default_before": default_before,
    });
    let write = |path: &str, text: &str| {
        let path = Root::new(dir.path()).resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(&format!("/var/lib/runvf/install/{engine}.json"), &format!("{record:#}\n"));
    if let Some(original) = original {
        write(&backup, original);
    }
    dir
}

#[test]
fn docker_install_of_an_earlier_version_is_undone_to_the_byte() {
    let created = "{\n    \"runtimes\": {\n        \"runvf\": {\n            \"path\": \"/usr/bin/runvf\"\n        }\n    }\n}\n";
    let one_line = "{\"debug\":true, \"runtimes\": {\"runvf\": {\"path\": \"/usr/bin/runvf\"}}}";
    let crun = "{ \"default-runtime\" : \"crun\" }";
    let runvf = "{ \"default-runtime\" : \"runvf\", \"runtimes\": {\"runvf\": {\"path\": \"/usr/bin/runvf\"}} }";
    let explicit = "{\"debug\":true, \"runtimes\": {}}";
    for (original, installed, default) in [
        (None, created, None),
        (Some(""), created, None),
        (Some("{\"debug\":true}"), one_line, None),
        (Some("{\"debug\":true}"), explicit, None),
        (Some(crun), runvf, Some("\"crun\"")),
    ] {
        let dir = installed_by_earlier_version("docker", DAEMON_JSON, original, installed, default);
        run(Action::Uninstall, Engine::Docker, &options(dir.path())).unwrap();
        let path = Root::new(dir.path()).resolve(DAEMON_JSON).unwrap();
        let expected = original.map(|text| (path, text.to_owned()));
        assert_eq!(files(dir.path()), expected.into_iter().collect());
    }
    let edited = one_line.replace("true", "false");
    let original = Some("{\"debug\":true}");
    let dir = installed_by_earlier_version("docker", DAEMON_JSON, original, &edited, None);
    let output = run(Action::Uninstall, Engine::Docker, &options(dir.path())).unwrap();
    assert!(output.contains("was edited since the install"), "{output}");
}

#[test]
fn containerd_install_of_an_earlier_version_is_undone_to_the_byte() {
    const CONFIG: &str = "/etc/containerd/config.toml";
    const DROP_IN: &str = "/etc/containerd/conf.d/50-runvf.toml";
    let earlier = "# runvf, by `runvfctl install containerd`";
    let runvf = |plugin: &str| {
        let table = format!("plugins.\"{plugin}\".containerd.runtimes.runvf");
        format!(
            "[{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n  pod_annotations = [\"io.runvf.*\"]\n  \
             container_annotations = [\"io.runvf.*\"]\n  [{table}.options]\n    BinaryName = \"/usr/bin/runvf\"\n"
        )
    };
    let tables = format!(
        "\n{earlier}; the rest of this file is not its\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  \
         runtime_type = \"io.containerd.runc.v2\"\n\n{}",
        runvf("io.containerd.grpc.v1.cri")
    );
    for original in [None, Some(""), Some("version = 2"), Some("version = 2\n# mine\n")] {
        let start = original.filter(|text| !text.is_empty()).unwrap_or("version = 2\n");
        let installed = format!("{}\n{tables}", start.trim_end());
        let dir = installed_by_earlier_version("containerd", CONFIG, original, &installed, None);
        run(Action::Uninstall, Engine::Containerd, &options(dir.path())).unwrap();
        let path = Root::new(dir.path()).resolve(CONFIG).unwrap();
        let expected = original.map(|text| (path, text.to_owned()));
        assert_eq!(files(dir.path()), expected.into_iter().collect());
    }

    let original = "version = 3\nimports = [\n  'a.toml', # why\n]\n";
    let installed = original.replace("'a.toml'", &format!("'a.toml', \"{DROP_IN}\""));
    let drop_in = format!("{earlier}\nversion = 3\n\n{}", runvf("io.containerd.cri.v1.runtime"));
    let set_up = || {
        let dir =
            installed_by_earlier_version("containerd", CONFIG, Some(original), &installed, None);
        let path = Root::new(dir.path()).resolve(DROP_IN).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &drop_in).unwrap();
        (dir, path)
    };
    let (dir, path) = set_up();
    run(Action::Uninstall, Engine::Containerd, &options(dir.path())).unwrap();
    let config = Root::new(dir.path()).resolve(CONFIG).unwrap();
    assert_eq!(files(dir.path()), BTreeMap::from([(config, original.to_owned())]));
    assert!(!path.exists());

    let (dir, path) = set_up();
    fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
    fs::write(dir.path().join("usr/bin/containerd"), "").unwrap();
    assert!(matches!(state(Engine::Containerd, dir.path()), State::Ready));
    run(Action::Install, Engine::Containerd, &options(dir.path())).unwrap();
    assert!(fs::read_to_string(path).unwrap().starts_with("# runvf, added by"));
}

#[test]
fn own_files_of_an_earlier_version_are_accepted_replaced_and_removed() {
    for (engine, program, file) in [
        (Engine::Crio, "crio", "/etc/crio/crio.conf.d/50-runvf.conf"),
        (Engine::Podman, "podman", "/etc/containers/containers.conf.d/50-runvf.conf"),
    ] {
        let dir = with(&format!("/usr/bin/{program}"), Some(""));
        let options = options(dir.path());
        run(Action::Install, engine, &options).unwrap();
        let path = Root::new(dir.path()).resolve(file).unwrap();
        let current = fs::read_to_string(&path).unwrap();
        let lines = current.lines().filter(|line| !line.starts_with('#'));
        let earlier: String = lines.map(|line| format!("{line}\n\n")).collect();
        let earlier = format!("# other words\n{earlier}");
        fs::write(&path, &earlier).unwrap();
        assert!(matches!(state(engine, dir.path()), State::Ready));
        run(Action::Install, engine, &options).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), current);
        fs::write(&path, &earlier).unwrap();
        run(Action::Uninstall, engine, &options).unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn uninstall_ignores_an_invalid_file_without_runvf() {
    for (engine, path, text) in [
        (Engine::Docker, DAEMON_JSON, "{,}"),
        (Engine::Containerd, "/etc/containerd/config.toml", "[plugins\n"),
        (Engine::Containerd, "/etc/containerd/config.toml", "disabled_plugins = [\"cri\"]\n"),
    ] {
        let dir = with(path, Some(text));
        let before = files(dir.path());
        let output = run(Action::Uninstall, engine, &options(dir.path())).unwrap();
        assert!(output.ends_with("not installed: nothing to change\n"), "{output}");
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn edited_drop_in_is_neither_replaced_nor_removed() {
    const FILE: &str = "/etc/crio/crio.conf.d/50-runvf.conf";
    let dir = with(FILE, Some("# mine\n"));
    let options = options(dir.path());
    let error = run(Action::Install, Engine::Crio, &options).unwrap_err();
    assert_eq!(
        error.line(),
        format!("{FILE} exists with other content; use --force to replace it")
    );
    let output = run(Action::Uninstall, Engine::Crio, &options).unwrap();
    assert!(output.contains("it was edited"), "{output}");
    assert_eq!(files(dir.path()).len(), 1);
}
