//! `runvfctl install ENGINE` and `uninstall`: an engine is told of runvf, and told to forget it.
//!
//! Everything is looked at first, and what is to be done becomes a value ([`Plan`]). Nothing is written if anything is in the
//! way. What is written is taken back whole if the engine does not take it.

mod change;
mod command;
mod containerd;
mod containerd_dump;
mod containerd_imports;
mod containerd_toml;
mod crio;
mod daemon_commands;
mod daemon_json;
mod docker;
mod dockerd;
#[cfg(test)]
mod hostile;
mod json;
mod podman;
mod podman_hooks;
mod record;
mod report;
mod root;
mod state;
mod transaction;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nix::unistd::geteuid;

use change::Change;
use root::Root;

pub(crate) use state::{Standing, docker_api, missing_programs, runtime_problem, standing};

use crate::error::Error;

/// The runtime's name in every engine.
const NAME: &str = "runvf";
const RUNTIME: &str = "/usr/bin/runvf";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Docker,
    Podman,
    Containerd,
    Crio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Install,
    Uninstall,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Show what would change, as a unified diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write its configuration even if the engine is not on this machine, or over a file of runvf's name that has something else in it
    #[arg(long)]
    force: bool,
    /// Restart containerd or CRI-O, which read their configuration only at their start
    #[arg(long)]
    restart: bool,
    /// A system that does not run, below this folder: only files are changed
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Docker: make runvf the default runtime
    #[arg(skip)]
    default: bool,
}

impl Options {
    pub(crate) fn with_default(self, default: bool) -> Self {
        Self { default, ..self }
    }
}

/// What is to be done, and what there is to say of it.
#[derive(Debug, Default)]
struct Plan {
    changes: Vec<Change>,
    /// One line for each thing done.
    lines: Vec<String>,
    /// What the user should know besides.
    notes: Vec<String>,
}

pub(crate) fn run(verb: Verb, engine: Engine, options: &Options) -> Result<String, Error> {
    if options.default && engine != Engine::Docker {
        return Err(Error::Conflict {
            problem: format!("--default is for docker, and this is {}", engine.name()),
            hint: "name the runtime where the pod or the container is started".to_owned(),
        });
    }
    let root = Root::new(&options.root);
    if verb == Verb::Install && root.is_host() {
        engine.programs().iter().try_for_each(|program| there(&root, program))?;
    }
    let mut plan = engine.plan(&root, verb, options)?;
    if options.dry_run {
        return Ok(report::dry_run(engine, &plan, options.json));
    }
    if plan.changes.is_empty() {
        let known = if verb == Verb::Install { "already installed" } else { "not installed" };
        plan.lines.push(format!("{known}: nothing to change"));
        if root.is_host() && geteuid().is_root() {
            engine.confirm(&root, verb, options, &mut plan)?;
        }
    } else {
        act(&root, verb, engine, options, &mut plan)?;
    }
    Ok(report::done(engine, &plan, options.json))
}

fn act(
    root: &Root,
    verb: Verb,
    engine: Engine,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    if root.is_host() && !geteuid().is_root() {
        return Err(Error::NotRoot { engine: engine.name() });
    }
    if root.is_host() {
        engine.validate(root, plan)?;
    }
    // What it takes to do this once more goes last: an engine takes its time, and whoever waits may lose patience.
    let (remembered, changes): (Vec<_>, Vec<_>) =
        plan.changes.iter().cloned().partition(Change::forgets);
    let undo = transaction::apply(root, &changes)?;
    if root.is_host()
        && let Err(error) = engine.settle(root, verb, options, plan)
    {
        drop(undo);
        engine.revert(root);
        return Err(error);
    }
    undo.keep();
    transaction::apply(root, &remembered)?.keep();
    Ok(())
}

/// Podman refuses every container when a hook's program is missing, and Docker every one with that runtime.
fn there(root: &Root, program: &str) -> Result<(), Error> {
    match root.has(program) {
        true => Ok(()),
        false => Err(Error::Missing {
            what: program.to_owned(),
            hint: "`make install` puts it there".to_owned(),
        }),
    }
}

/// What each engine does at each step. They have no more in common than these names.
impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Podman => &[RUNTIME, podman::HOOK],
            _ => &[RUNTIME],
        }
    }

    fn plan(self, root: &Root, verb: Verb, options: &Options) -> Result<Plan, Error> {
        match self {
            Self::Docker => docker::plan(root, verb, options),
            Self::Podman => podman::plan(root, verb, options),
            Self::Containerd => containerd::plan(root, verb, options),
            Self::Crio => crio::plan(root, verb, options),
        }
    }

    /// Asks the engine what it thinks of the new files, before they are in place.
    fn validate(self, root: &Root, plan: &Plan) -> Result<(), Error> {
        match self {
            Self::Docker => docker::validate(root, plan),
            Self::Podman | Self::Containerd | Self::Crio => Ok(()),
        }
    }

    /// Tells the engine of the new files, and makes sure that it has taken them.
    fn settle(
        self,
        root: &Root,
        verb: Verb,
        options: &Options,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        match self {
            Self::Docker => docker::settle(root, verb, plan),
            Self::Podman => podman::settle(root, verb),
            Self::Containerd => containerd::settle(root, verb, options, plan),
            Self::Crio => crio::settle(options, plan),
        }
    }

    /// Its files say what they should: makes sure that it has taken them.
    fn confirm(
        self,
        root: &Root,
        verb: Verb,
        options: &Options,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        match self {
            Self::Docker => docker::confirm(root, verb, plan),
            Self::Podman => podman::settle(root, verb),
            Self::Containerd if options.restart => containerd::settle(root, verb, options, plan),
            Self::Crio if options.restart => crio::settle(options, plan),
            Self::Containerd | Self::Crio => Ok(()),
        }
    }

    /// Tells it of the old ones again.
    fn revert(self, root: &Root) {
        match self {
            Self::Docker => docker::revert(root),
            Self::Podman | Self::Containerd | Self::Crio => {}
        }
    }
}

/// The first of the usual folders that has this program.
fn installed(root: &Root, program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| root.has(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    const DAEMON_JSON: &str = "/etc/docker/daemon.json";

    fn options(root: &Path) -> Options {
        let root = root.to_owned();
        Options { dry_run: false, json: false, force: false, restart: false, root, default: false }
    }

    /// Every file below a folder.
    fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => all.extend(files(&path)),
                false => drop(all.insert(path.clone(), fs::read_to_string(path).unwrap())),
            }
        }
        all
    }

    fn with(path: &str, text: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            let path = Root::new(folder.path()).at(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// Installs twice and uninstalls twice.
    fn there_and_back(engine: Engine, path: &str, text: Option<&str>, default: bool) {
        let folder = with(path, text);
        let before = files(folder.path());
        let options = options(folder.path()).with_default(default);
        let install = || run(Verb::Install, engine, &options).unwrap();
        install();
        let installed = files(folder.path());
        assert_ne!(installed, before);
        assert!(install().ends_with("already installed: nothing to change\n"));
        assert_eq!(files(folder.path()), installed);
        run(Verb::Uninstall, engine, &options).unwrap();
        assert_eq!(files(folder.path()), before);
        let again = run(Verb::Uninstall, engine, &options).unwrap();
        assert!(again.ends_with("not installed: nothing to change\n"), "{again}");
    }

    #[test]
    fn every_engine_gets_everything_back_to_the_byte() {
        let json = [None, Some(""), Some("{ }"), Some("{\n}\n"), Some("{\"runtimes\": {\n}}")];
        for text in json {
            there_and_back(Engine::Docker, DAEMON_JSON, text, false);
            there_and_back(Engine::Docker, DAEMON_JSON, text, true);
        }
        for text in [None, Some(""), Some("version = 2"), Some("version = 3\nimports = [ ]\n")] {
            there_and_back(Engine::Containerd, "/etc/containerd/config.toml", text, false);
        }
        there_and_back(Engine::Podman, "/etc/none", None, false);
        there_and_back(Engine::Crio, "/etc/none", None, false);
    }

    #[test]
    fn a_dry_run_shows_the_difference_and_makes_none() {
        let folder = with(DAEMON_JSON, Some("{\n  \"debug\": true\n}\n"));
        let before = files(folder.path());
        let options = Options { dry_run: true, ..options(folder.path()) };
        assert_eq!(
            run(Verb::Install, Engine::Docker, &options).unwrap(),
            "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,3 +1,8 @@\n {\n-  \"debug\": true\n\
             +  \"debug\": true,\n+  \"runtimes\": {\n+    \"runvf\": {\n+      \"path\": \"/usr/bin/runvf\"\n+    }\n+  }\n }\n"
        );
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn what_was_edited_since_keeps_the_edit_and_its_backup() {
        let folder = with(DAEMON_JSON, Some("{\"default-runtime\": \"crun\"}"));
        let options = options(folder.path()).with_default(true);
        let said = run(Verb::Install, Engine::Docker, &options).unwrap();
        assert_eq!(
            said,
            "docker: added runtime runvf to /etc/docker/daemon.json (backup /etc/docker/daemon.json.runvf-backup)\n\
             docker: made runvf the default runtime in /etc/docker/daemon.json (it was \"crun\")\n"
        );
        let path = Root::new(folder.path()).at(DAEMON_JSON).unwrap();
        let edited = fs::read_to_string(&path).unwrap().replacen('{', "{\"debug\": true, ", 1);
        fs::write(&path, edited).unwrap();
        let said = run(Verb::Uninstall, Engine::Docker, &options).unwrap();
        assert!(said.contains("has been edited since"), "{said}");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"debug\": true, \"default-runtime\": \"crun\"}"
        );
        assert!(path.with_extension("json.runvf-backup").exists());
    }

    /// `uninstall` tells a dockerd that runs `"runtimes": {}` first, and may be interrupted then.
    #[test]
    fn an_uninstallation_that_was_interrupted_is_done_again() {
        for (text, default) in
            [(Some("{}"), false), (None, true), (Some("{\"debug\": true}\n"), true)]
        {
            let folder = with(DAEMON_JSON, text);
            let before = files(folder.path());
            let options = options(folder.path()).with_default(default);
            run(Verb::Install, Engine::Docker, &options).unwrap();
            let path = Root::new(folder.path()).at(DAEMON_JSON).unwrap();
            let was = daemon_json::DaemonJson { path: &path, text };
            fs::write(&path, was.explicit(default).unwrap()).unwrap();
            run(Verb::Uninstall, Engine::Docker, &options).unwrap();
            assert_eq!(files(folder.path()), before);

            // Or before it, when the file is what it was.
            run(Verb::Install, Engine::Docker, &options).unwrap();
            text.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
            let said = run(Verb::Uninstall, Engine::Docker, &options).unwrap();
            assert_eq!(said, "docker: /etc/docker/daemon.json is as it was before\n");
            assert_eq!(files(folder.path()), before);
        }
    }

    #[test]
    fn a_file_of_ours_that_is_not_as_we_wrote_it_is_left() {
        const FILE: &str = "/etc/crio/crio.conf.d/50-runvf.conf";
        let folder = with(FILE, Some("# mine\n"));
        let options = options(folder.path());
        let error = run(Verb::Install, Engine::Crio, &options).unwrap_err();
        assert_eq!(
            error.line(),
            format!("{FILE} is there already, with something else in it; --force replaces it")
        );
        let said = run(Verb::Uninstall, Engine::Crio, &options).unwrap();
        assert!(said.contains("it is not what runvf wrote"), "{said}");
        assert_eq!(files(folder.path()).len(), 1);
    }
}
