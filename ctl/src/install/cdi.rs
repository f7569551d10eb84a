//! CDI: files below `/etc/cdi`, from which Docker, Podman and containerd learn which devices exist.
//!
//! The configuration decides which devices there are, so the files are written again after each
//! change: by `runvfctl setup`, and by `runvf-cdi.path`, which watches the configuration. The
//! record of the install says whether they are wanted.

use serde_json::Value;
use vf::{Config, Host};

use super::cdi_files::{CdiFile, TENANTS, VLANS, files};
use super::change::Change;
use super::command::{self, COMMAND_TIMEOUT};
use super::options::Action;
use super::plan::Plan;
use super::root::Root;
use super::transaction;
use crate::error::Error;

const RECORD: &str = "/var/lib/runvf/install/cdi.json";
const UNIT: &str = "runvf-cdi.path";
/// Engines read them in this order. A device in a later folder replaces its namesake.
const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

pub(super) fn plan(root: &Root, action: Action) -> Result<Plan, Error> {
    let (mut plan, record) = (Plan::default(), root.read(RECORD)?);
    match action {
        Action::Install => {
            let record = Change::between(RECORD, record, Some("{}\n".to_owned()));
            plan.changes.extend(record.map(Change::internal));
            write(root, &mut plan)?;
        }
        Action::Uninstall => {
            for (path, _) in [VLANS, TENANTS] {
                change(root, &mut plan, path, None)?;
            }
            let record = Change::between(RECORD, record, None);
            plan.changes.extend(record.map(Change::internal));
        }
    }
    Ok(plan)
}

/// Plans the files that the configuration asks for.
fn write(root: &Root, plan: &mut Plan) -> Result<(), Error> {
    for CdiFile { path, kind, names, text } in wanted(root)? {
        if text.is_none() {
            plan.notes.push(format!("no device {kind}: {}", why_none(kind)));
        } else {
            plan.notes.push(format!("devices {kind}={}", join(&names)));
        }
        change(root, plan, path, text)?;
    }
    Ok(())
}

fn wanted(root: &Root) -> Result<[CdiFile; 2], Error> {
    let config = root.resolve("/etc/runvf/config.toml")?;
    Ok(files(&Config::load(&Host { config, ..Host::default() })?))
}

fn change(root: &Root, plan: &mut Plan, path: &str, text: Option<String>) -> Result<(), Error> {
    let step = if text.is_some() { "wrote" } else { "removed" };
    if let Some(change) = Change::between(path, root.read(path)?, text) {
        plan.done.push(format!("{step} {path}"));
        plan.changes.push(change);
    }
    Ok(())
}

fn why_none(kind: &str) -> &'static str {
    match kind == TENANTS.1 {
        true => "no tenant has exactly one VLAN and one pool",
        false => "a device names no pool, and there are several",
    }
}

/// The first names and the last one.
fn join(names: &[String]) -> String {
    match names {
        [first, second, _, .., last] => format!("{first}, {second}, … {last}"),
        few => few.join(", "),
    }
}

/// Writes the files again if they are installed. Returns one line for each file that has changed.
pub(crate) fn refresh() -> Result<Vec<String>, Error> {
    let root = Root::new("/".as_ref());
    let mut plan = Plan::default();
    if is_installed(&root) {
        write(&root, &mut plan)?;
        transaction::apply(&root, &plan.changes)?.keep();
    }
    Ok(plan.done)
}

pub(super) fn is_installed(root: &Root) -> bool {
    root.exists(RECORD)
}

/// Lets systemd write the files again after each change of the configuration, or no longer. A
/// failure is only a note, because the files are complete without the unit.
pub(super) fn watch(action: Action, plan: &mut Plan) {
    let (verb, done) = match action {
        Action::Install => ("enable", "watches"),
        Action::Uninstall => ("disable", "no longer watches"),
    };
    if action == Action::Uninstall && !Root::new("/".as_ref()).exists(unit_file()) {
        return;
    }
    let output = command::stdout(&["systemctl", verb, "--now", "--quiet", UNIT], COMMAND_TIMEOUT);
    match output {
        Ok(_) => plan.done.push(format!("{UNIT} {done} /etc/runvf/config.toml")),
        Err(error) => plan.notes.push(format!(
            "{}; run `runvfctl install cdi` after each change of /etc/runvf/config.toml",
            error.line()
        )),
    }
}

fn unit_file() -> String {
    format!("/usr/lib/systemd/system/{UNIT}")
}

/// What `runvfctl doctor` tells about the CDI files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CdiState {
    NotInstalled,
    /// The number of VLANs and of tenants with a device.
    Current(usize, usize),
    /// These files differ from what the configuration asks for.
    Stale(Vec<String>),
    /// Another file has a device of the same name. Engines then use the other one, or neither.
    Duplicate {
        device: String,
        file: String,
    },
}

pub(crate) fn cdi_state(root: &std::path::Path) -> Result<CdiState, Error> {
    let root = Root::new(root);
    if !is_installed(&root) {
        return Ok(CdiState::NotInstalled);
    }
    let wanted = wanted(&root)?;
    if let Some(duplicate) = duplicate(&root, &wanted) {
        return Ok(duplicate);
    }
    let mut stale = Vec::new();
    for file in &wanted {
        if root.read(file.path)? != file.text {
            stale.push(file.path.to_owned());
        }
    }
    Ok(match stale.is_empty() {
        true => CdiState::Current(wanted[0].names.len(), wanted[1].names.len()),
        false => CdiState::Stale(stale),
    })
}

/// The first device of another JSON file that has kind and name of a device of runvf. CDI also
/// reads YAML files; those are not searched.
fn duplicate(root: &Root, wanted: &[CdiFile]) -> Option<CdiState> {
    let paths = FOLDERS.iter().flat_map(|folder| {
        let names = root.entries(folder).filter_map(|entry| entry.file_name().into_string().ok());
        names.map(move |name| format!("{folder}/{name}"))
    });
    let others = paths.filter(|path| {
        path.ends_with(".json") && !wanted.iter().any(|file| file.path == path.as_str())
    });
    for path in others {
        let text = root.read(&path).ok().flatten();
        let json = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let Some(json) = json else { continue };
        let Some(ours) = wanted.iter().find(|file| json["kind"] == file.kind) else { continue };
        let devices = json["devices"].as_array().into_iter().flatten();
        let mut names = devices.filter_map(|device| device["name"].as_str());
        if let Some(name) = names.find(|name| ours.names.iter().any(|own| own == name)) {
            let device = format!("{}={name}", ours.kind);
            return Some(CdiState::Duplicate { device, file: path });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write_file(dir: &Path, path: &str, text: &str) {
        let path = Root::new(dir).resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn configured(tenants: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let pool = "[[pool]]\nname = \"a\"\npfs = [\"x\"]\n";
        write_file(dir.path(), "/etc/runvf/config.toml", &format!("{pool}{tenants}"));
        dir
    }

    fn apply(dir: &Path, action: Action) {
        let root = Root::new(dir);
        let plan = plan(&root, action).unwrap();
        transaction::apply(&root, &plan.changes).unwrap().keep();
    }

    const ACME: &str = "[[tenant]]\nname = \"acme\"\nvlans = [100]\n";

    #[test]
    fn files_follow_the_configuration_and_are_removed() {
        let dir = configured(ACME);
        let state = || cdi_state(dir.path()).unwrap();
        assert_eq!(state(), CdiState::NotInstalled);
        apply(dir.path(), Action::Install);
        assert_eq!(state(), CdiState::Current(1, 1));
        let written = plan(&Root::new(dir.path()), Action::Install).unwrap();
        assert!(written.changes.is_empty(), "{written:?}");

        let both = VLANS.0.to_owned();
        write_file(
            dir.path(),
            "/etc/runvf/config.toml",
            "pool = [{ name = \"a\", pfs = [\"x\"] }]",
        );
        assert_eq!(state(), CdiState::Stale(vec![both, TENANTS.0.to_owned()]));
        apply(dir.path(), Action::Install);
        // Without a device there is no file, because engines report an empty one.
        assert_eq!(state(), CdiState::Current(4094, 0));
        assert!(!Root::new(dir.path()).exists(TENANTS.0));

        apply(dir.path(), Action::Uninstall);
        assert_eq!(state(), CdiState::NotInstalled);
        assert_eq!(fs::read_dir(dir.path().join("etc/cdi")).unwrap().count(), 0);
    }

    #[test]
    fn a_name_in_two_files_is_found() {
        let dir = configured(ACME);
        apply(dir.path(), Action::Install);
        let other = |kind: &str, name: &str| {
            format!("{{\"kind\": \"{kind}\", \"devices\": [{{\"name\": \"{name}\"}}]}}")
        };
        write_file(dir.path(), "/etc/cdi/a.json", &other("runvf.io/vlan", "7"));
        write_file(dir.path(), "/etc/cdi/b.json", &other("other.io/vlan", "100"));
        write_file(dir.path(), "/etc/cdi/c.json", "{");
        assert_eq!(cdi_state(dir.path()).unwrap(), CdiState::Current(1, 1));
        write_file(dir.path(), "/var/run/cdi/d.json", &other("runvf.io/vlan", "100"));
        let device = "runvf.io/vlan=100".to_owned();
        let file = "/var/run/cdi/d.json".to_owned();
        assert_eq!(cdi_state(dir.path()).unwrap(), CdiState::Duplicate { device, file });
    }
}
