//! The name that an engine gave to a container.
//!
//! It is read for each output, because a container may be renamed, and from the engines' own files,
//! because an engine may not answer. The name is for display only: if it is not found, the table
//! shows `-`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vf::PidStat;

/// `init`: the pid of the container's init process. `None`: it is unknown, because the VF belongs to
/// the network namespace.
pub(super) fn name(root: &Path, id: &str, init: Option<i32>) -> Option<String> {
    // The id becomes part of a path.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(is_allowed) {
        return None;
    }
    docker(root, id).or_else(|| conmon(root, id, init)).or_else(|| containerd(root, id))
}

/// dockerd stores it in the container's configuration file (moby, `container/container.go`).
fn docker(root: &Path, id: &str) -> Option<String> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let daemon = json(&at("/etc/docker/daemon.json"));
    let dir = daemon.as_ref().and_then(|daemon| daemon["data-root"].as_str());
    let dir = at(dir.unwrap_or("/var/lib/docker"));
    let known = json(&dir.join("containers").join(id).join("config.v2.json"))?;
    Some(known["Name"].as_str()?.trim_start_matches('/').to_owned())
}

/// Podman and CRI-O pass it to conmon, the parent of the init process (conmon(8): `-c ID -n NAME`).
/// Without an init process, all processes are searched for the conmon.
fn conmon(root: &Path, id: &str, init: Option<i32>) -> Option<String> {
    let proc = root.join("proc");
    let Some(init) = init else {
        let processes = fs::read_dir(&proc).ok()?.filter_map(Result::ok);
        return processes.map(|process| process.path()).find_map(|process| of_conmon(&process, id));
    };
    let stat = fs::read_to_string(proc.join(init.to_string()).join("stat")).ok()?;
    let parent = PidStat::parse(&stat)?.parent()?;
    of_conmon(&proc.join(parent.to_string()), id)
}

/// The container's name, if the process is its conmon.
fn of_conmon(process: &Path, id: &str) -> Option<String> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let line = String::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split('\0').collect();
    let after = |option: &str| {
        words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1)).copied()
    };
    let is_conmon = Path::new(words.first()?).file_name()? == "conmon";
    (is_conmon && after("-c") == Some(id)).then(|| after("-n").map(str::to_owned))?
}

/// nerdctl and Kubernetes write it to the annotations of the bundle. There is one directory of
/// bundles for each containerd namespace.
fn containerd(root: &Path, id: &str) -> Option<String> {
    let dir = root.join("run/containerd/io.containerd.runtime.v2.task");
    let namespaces = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let bundles: Vec<PathBuf> = namespaces.map(|namespace| namespace.path().join(id)).collect();
    let bundle = bundles.iter().find_map(|bundle| json(&bundle.join("config.json")))?;
    let named = |key: &str| bundle["annotations"][key].as_str().map(str::to_owned);
    named("nerdctl/name").or_else(|| named("io.kubernetes.cri.container-name"))
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "af1c";

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> Option<String> {
        name(host(files).path(), ID, Some(7))
    }

    #[test]
    fn name_is_found_for_each_engine() {
        let docker = ("var/lib/docker/containers/af1c/config.v2.json", "{\"Name\": \"/sensor\"}");
        assert_eq!(found(&[docker]).as_deref(), Some("sensor"));
        let elsewhere = [
            ("etc/docker/daemon.json", "{\"data-root\": \"/srv/docker\"}"),
            ("srv/docker/containers/af1c/config.v2.json", "{\"Name\": \"/sensor\"}"),
        ];
        assert_eq!(found(&elsewhere).as_deref(), Some("sensor"));
        let stat = ("proc/7/stat", "7 (a) b) S 9 7 7 0");
        let line = "/usr/bin/conmon\0--api-version\0one\0-c\0af1c\0-u\0af1c\0-n\0sensor\0";
        assert_eq!(found(&[stat, ("proc/9/cmdline", line)]).as_deref(), Some("sensor"));
        let of_netns = host(&[("proc/9/cmdline", line), ("proc/self/x", "")]);
        assert_eq!(name(of_netns.path(), ID, None).as_deref(), Some("sensor"));
        let bundle = "run/containerd/io.containerd.runtime.v2.task/default/af1c/config.json";
        let nerdctl = "{\"annotations\": {\"nerdctl/name\": \"sensor\"}}";
        assert_eq!(found(&[(bundle, nerdctl)]).as_deref(), Some("sensor"));
    }

    #[test]
    fn missing_name_is_not_an_error() {
        let stat = ("proc/7/stat", "7 (a) S 9 7 7 0");
        for files in [
            vec![],
            vec![("var/lib/docker/containers/af1c/config.v2.json", "{")],
            vec![("var/lib/docker/containers/af1c/config.v2.json", "{\"Name\": 1}")],
            vec![stat],
            vec![("proc/7/stat", "7")],
            vec![stat, ("proc/9/cmdline", "/usr/bin/conmon\0-c\0another\0-n\0sensor\0")],
            vec![stat, ("proc/9/cmdline", "/usr/bin/conmon\0-c\0af1c\0-n")],
            vec![stat, ("proc/9/cmdline", "bash\0-c\0af1c\0-n\0sensor")],
            vec![("run/containerd/io.containerd.runtime.v2.task/default/af1c/config.json", "[]")],
        ] {
            assert_eq!(found(&files), None, "{files:?}");
        }
        let secret = host(&[("var/lib/docker/x/config.v2.json", "{\"Name\": \"/x\"}")]);
        assert_eq!(name(secret.path(), "../x", Some(7)), None);
    }
}
