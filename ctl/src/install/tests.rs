use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const CONFIG_TOML: &str = "/etc/containerd/config.toml";
const DROP_IN: &str = "/etc/containerd/conf.d/50-runvf.toml";

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
        write(dir.path(), path, text);
    }
    dir
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = Root::new(dir).resolve(path).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(dir: &Path, path: &str) -> Option<String> {
    Root::new(dir).read(path).unwrap()
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
        install_and_uninstall_twice(Engine::Containerd, CONFIG_TOML, text, false);
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
    for original in ["# imports = []\nversion = 2\n", "# imports = []\nversion = 3\n"] {
        let dir = with(CONFIG_TOML, Some(original));
        let options = options(dir.path());
        run(Action::Install, Engine::Containerd, &options).unwrap();
        let path = Root::new(dir.path()).resolve(CONFIG_TOML).unwrap();
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
        let dir =
            installed_by_earlier_version("containerd", CONFIG_TOML, original, &installed, None);
        run(Action::Uninstall, Engine::Containerd, &options(dir.path())).unwrap();
        let path = Root::new(dir.path()).resolve(CONFIG_TOML).unwrap();
        let expected = original.map(|text| (path, text.to_owned()));
        assert_eq!(files(dir.path()), expected.into_iter().collect());
    }

    let original = "version = 3\nimports = [\n  'a.toml', # why\n]\n";
    let installed = original.replace("'a.toml'", &format!("'a.toml', \"{DROP_IN}\""));
    let drop_in = format!("{earlier}\nversion = 3\n\n{}", runvf("io.containerd.cri.v1.runtime"));
    let set_up = || {
        let dir = installed_by_earlier_version(
            "containerd",
            CONFIG_TOML,
            Some(original),
            &installed,
            None,
        );
        let path = Root::new(dir.path()).resolve(DROP_IN).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &drop_in).unwrap();
        (dir, path)
    };
    let (dir, path) = set_up();
    run(Action::Uninstall, Engine::Containerd, &options(dir.path())).unwrap();
    let config = Root::new(dir.path()).resolve(CONFIG_TOML).unwrap();
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
        (Engine::Containerd, CONFIG_TOML, "[plugins\n"),
        (Engine::Containerd, CONFIG_TOML, "disabled_plugins = [\"cri\"]\n"),
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

/// The state of a host that was killed while dockerd reloaded the file.
fn interrupt(dir: &Path, text: &str, then: Option<&str>) {
    let record = serde_json::json!({ "file": DAEMON_JSON, "text": text, "then": then });
    write(dir, "/var/lib/runvf/install/docker.reload", &record.to_string());
    write(dir, DAEMON_JSON, text);
}

#[test]
fn install_after_an_interrupted_uninstall_keeps_the_original() {
    const EXPLICIT: &str = "{\"runtimes\": {}, \"default-runtime\": \"runc\"}";
    for text in [None, Some("{}"), Some("{\"debug\": true}\n")] {
        let dir = with(DAEMON_JSON, text);
        let before = files(dir.path());
        let options = options(dir.path()).with_default(true);
        run(Action::Install, Engine::Docker, &options).unwrap();
        let installed = files(dir.path());
        interrupt(dir.path(), EXPLICIT, text);
        run(Action::Install, Engine::Docker, &options).unwrap();
        fs::remove_file(dir.path().join("var/lib/runvf/install/docker.reload")).unwrap();
        assert_eq!(files(dir.path()), installed);
        run(Action::Uninstall, Engine::Docker, &options).unwrap();
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn interrupted_uninstall_of_an_edited_file_leaves_no_temporary_key() {
    let dir = with(DAEMON_JSON, Some("{}\n"));
    let options = options(dir.path());
    run(Action::Install, Engine::Docker, &options).unwrap();
    let edited = "{\n  \"debug\": true\n}\n";
    interrupt(dir.path(), "{\n  \"debug\": true,\n  \"runtimes\": {}\n}\n", Some(edited));
    let output = run(Action::Uninstall, Engine::Docker, &options).unwrap();
    assert!(output.contains("was edited since the install"), "{output}");
    assert_eq!(read(dir.path(), DAEMON_JSON).as_deref(), Some(edited));
    // A temporary text that the user has edited belongs to the user.
    interrupt(dir.path(), "{\"runtimes\": {}}", Some("{}"));
    write(dir.path(), DAEMON_JSON, "{\"runtimes\": {}, \"debug\": true}");
    run(Action::Uninstall, Engine::Docker, &options).unwrap();
    let kept = read(dir.path(), DAEMON_JSON).unwrap();
    assert_eq!(kept, "{\"runtimes\": {}, \"debug\": true}");
}

#[test]
fn uninstall_also_changes_the_file_that_install_changed() {
    for (engine, name, earlier, current, original) in [
        (Engine::Docker, "docker", "/srv/d.json", DAEMON_JSON, "{}\n"),
        (Engine::Containerd, "containerd", "/srv/c.toml", CONFIG_TOML, "version = 3\n"),
    ] {
        let dir = with(current, Some(original));
        let options = options(dir.path());
        run(Action::Install, engine, &options).unwrap();
        // The engine used another file then.
        let record = format!("/var/lib/runvf/install/{name}.json");
        let backup = format!("{current}.runvf-backup");
        let moved = read(dir.path(), &record).unwrap().replace(current, earlier);
        write(dir.path(), &record, &moved);
        write(dir.path(), earlier, &read(dir.path(), current).unwrap());
        write(dir.path(), &format!("{earlier}.runvf-backup"), original);
        fs::remove_file(dir.path().join(&backup[1..])).unwrap();
        write(dir.path(), current, original);

        let line = run(Action::Install, engine, &options).unwrap_err().line();
        let expected =
            format!("runvf is registered in {earlier}, and the engine now uses {current}");
        assert!(line.starts_with(&expected), "{line}");
        run(Action::Uninstall, engine, &options).unwrap();
        let left =
            [current, earlier].map(|path| (dir.path().join(&path[1..]), original.to_owned()));
        assert_eq!(files(dir.path()), BTreeMap::from(left));
    }
}

#[test]
fn default_runtime_that_was_chosen_between_two_installs_is_restored() {
    let dir = with(DAEMON_JSON, Some("{\n  \"default-runtime\": \"crun\"\n}\n"));
    let options = options(dir.path()).with_default(true);
    run(Action::Install, Engine::Docker, &options).unwrap();
    let chosen = read(dir.path(), DAEMON_JSON).unwrap();
    let chosen = chosen.replace("\"default-runtime\": \"runvf\"", "\"default-runtime\": \"kata\"");
    write(dir.path(), DAEMON_JSON, &chosen);
    run(Action::Install, Engine::Docker, &options).unwrap();
    run(Action::Uninstall, Engine::Docker, &options).unwrap();
    let kept = read(dir.path(), DAEMON_JSON).unwrap();
    assert_eq!(kept, "{\n  \"default-runtime\": \"kata\"\n}\n");

    // runvf itself is never the earlier default.
    let dir = with(DAEMON_JSON, Some("{\n  \"default-runtime\": \"runvf\"\n}\n"));
    let options = Options { root: dir.path().to_owned(), ..options };
    run(Action::Install, Engine::Docker, &options).unwrap();
    let edited = read(dir.path(), DAEMON_JSON).unwrap().replacen('{', "{\n  \"debug\": true,", 1);
    write(dir.path(), DAEMON_JSON, &edited);
    run(Action::Uninstall, Engine::Docker, &options).unwrap();
    let kept = read(dir.path(), DAEMON_JSON).unwrap();
    assert_eq!(kept, "{\n  \"debug\": true\n}\n");
}

#[test]
fn without_the_backup_only_the_keys_of_runvf_are_removed() {
    let dir = with(DAEMON_JSON, Some("{\n  \"default-runtime\": \"crun\"\n}\n"));
    let options = options(dir.path()).with_default(true);
    run(Action::Install, Engine::Docker, &options).unwrap();
    fs::remove_file(dir.path().join("etc/docker/daemon.json.runvf-backup")).unwrap();
    let output = run(Action::Uninstall, Engine::Docker, &options).unwrap();
    assert!(
        output.contains("daemon.json.runvf-backup of /etc/docker/daemon.json is missing"),
        "{output}"
    );
    let kept = "{\n  \"default-runtime\": \"crun\"\n}\n".to_owned();
    let expected = [(dir.path().join("etc/docker/daemon.json"), kept)];
    assert_eq!(files(dir.path()), BTreeMap::from(expected));
}

#[test]
fn drop_in_of_another_version_of_the_configuration_is_replaced_and_removed() {
    let dir = with(CONFIG_TOML, Some("version = 4\n"));
    let options = options(dir.path());
    run(Action::Install, Engine::Containerd, &options).unwrap();
    let current = read(dir.path(), DROP_IN).unwrap();
    assert!(current.contains("version = 4"), "{current}");
    for other in [3, 5] {
        write(dir.path(), DROP_IN, &current.replace("version = 4", &format!("version = {other}")));
        run(Action::Install, Engine::Containerd, &options).unwrap();
        assert_eq!(read(dir.path(), DROP_IN).as_deref(), Some(&*current));
    }
    write(dir.path(), DROP_IN, &current.replace("version = 4", "version = 5"));
    run(Action::Uninstall, Engine::Containerd, &options).unwrap();
    assert_eq!(read(dir.path(), DROP_IN), None);
}

#[test]
fn edited_drop_in_that_stays_active_is_an_error() {
    for (engine, file) in [
        (Engine::Crio, "/etc/crio/crio.conf.d/50-runvf.conf"),
        (Engine::Podman, "/etc/containers/containers.conf.d/50-runvf.conf"),
        (Engine::Podman, "/usr/share/containers/oci/hooks.d/runvf-attach.json"),
        (Engine::Containerd, DROP_IN),
    ] {
        let dir = with(CONFIG_TOML, Some("version = 3\n"));
        let options = options(dir.path());
        run(Action::Install, engine, &options).unwrap();
        let edited = read(dir.path(), file).unwrap().replace("bin/runvf", "local/bin/runvf");
        write(dir.path(), file, &edited.replace("240", "300"));
        let before = files(dir.path());
        let line = run(Action::Uninstall, engine, &options).unwrap_err().line();
        let expected = format!("{file} was edited, and the engine still reads it; ");
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(files(dir.path()), before);
        run(Action::Uninstall, engine, &Options { force: true, ..options }).unwrap();
        assert_eq!(files(dir.path()).len(), 1, "{engine:?}");
    }
}
