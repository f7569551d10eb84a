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
