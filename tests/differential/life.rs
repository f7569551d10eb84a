//! One life: a runtime creates the container of a case, gets the commands, and everything that
//! happens is written down.
//!
//! A life has a process of its own, in namespaces of its own, so that a fault of a runtime (a
//! mount or a hostname in the wrong namespace) ends with it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::after;
use crate::bundle::Bundle;
use crate::case::{Case, Driver, Step};
use crate::host::{self, Snapshot};
use crate::outcome::{Class, Line, Outcome, StepOutcome};
use crate::outside;
use crate::patch::{self, Patch};
use crate::reaper::{self, Reaper};
use crate::report;
use crate::runtime::{Ended, Runtime, Session};

/// A process ends much faster than a command; a process that does not end is an observation, too.
const EXIT_SHARE: u32 = 10;

/// What the process of a life is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) case: Case,
    pub(crate) base: Value,
    pub(crate) driver: Driver,
    pub(crate) runtime: Runtime,
    pub(crate) folder: PathBuf,
    /// The longest time that a command may take.
    pub(crate) timeout: Duration,
}

/// The container while it lives.
struct Life<'a> {
    job: &'a Job,
    session: Session<'a>,
    bundle: Bundle,
    /// The document after the mutations.
    document: Value,
    /// The standard output of the init process.
    output: File,
    steps: Vec<StepOutcome>,
    pid: Option<i32>,
    /// The exit of the init process, once it is known.
    exit: Option<String>,
}

pub(crate) fn run(job: &Job) -> io::Result<Outcome> {
    leave_host_namespaces()?;
    set_child_subreaper(true)?;
    // A runtime may have left state that it cannot remove.
    let _ = fs::remove_dir_all(job.folder.join("state"));
    for name in ["state", "control"] {
        fs::create_dir_all(job.folder.join(name))?;
    }
    let bundle = Bundle::create(&job.folder.join("bundle"))?;
    let mut document = job.base.clone();
    patch::apply(&mut document, &job.case.patches);
    bundle.write("config.json", &patch::text(&document, &job.case.patches))?;
    host::remove_cgroups();
    let before = Snapshot::take(&job.folder);

    let (reader, writer) = io::pipe()?;
    let reaper = Reaper::default();
    let session = Session {
        reaper: &reaper,
        runtime: &job.runtime,
        driver: job.driver,
        folder: &job.folder,
        timeout: job.timeout,
    };
    let output = File::from(OwnedFd::from(reader));
    let mut life =
        Life { job, session, bundle, document, output, steps: vec![], pid: None, exit: None };
    life.create(writer)?;
    if life.steps[0].class == Class::Done {
        for step in &job.case.steps {
            life.step(step)?;
        }
    }
    life.clean_up()?;
    life.leftovers();
    Ok(Outcome { steps: life.steps, host: after::changes_since(&before, &job.folder, &reaper) })
}

fn leave_host_namespaces() -> io::Result<()> {
    let kinds = [
        CloneFlags::CLONE_NEWNS,
        CloneFlags::CLONE_NEWUTS,
        CloneFlags::CLONE_NEWIPC,
        CloneFlags::CLONE_NEWNET,
    ];
    unshare(kinds.into_iter().collect())?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

impl Life<'_> {
    fn control(&self, name: &str) -> PathBuf {
        self.job.folder.join("control").join(name)
    }

    fn exit_of(&self, pid: i32, timeout: Duration) -> Option<String> {
        self.session.reaper.wait(pid, timeout).map(reaper::shown)
    }

    fn exit_timeout(&self) -> Duration {
        self.job.timeout / EXIT_SHARE
    }

    fn record(&mut self, command: &str, ended: Ended, lines: Vec<Line>) {
        let (class, message) = (ended.class, ended.message);
        self.steps.push(StepOutcome { command: command.into(), class, lines, message });
    }

    fn create(&mut self, writer: io::PipeWriter) -> io::Result<()> {
        let pid_file = self.control("pid");
        let bundle = self.bundle.folder.to_string_lossy().into_owned();
        let arguments = ["create", "--bundle", &bundle, "--pid-file", &pid_file.to_string_lossy()]
            .map(String::from);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = self.session.run_into(OwnedFd::from(writer).into(), &arguments, &[])?;
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        self.pid = pid.filter(|_| ended.class == Class::Done);
        let mut lines = Vec::new();
        if ended.class == Class::Done {
            lines
                .push(Line::new("pid file", if self.pid.is_some() { "a number" } else { "wrong" }));
        }
        self.record("create", ended, lines);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        let (ended, lines) = match step {
            Step::Start => {
                let ended = self.session.run(&["start"])?;
                let lines = if ended.class == Class::Done { self.started()? } else { vec![] };
                (ended, lines)
            }
            Step::State => {
                let ended = self.session.run(&["state"])?;
                let lines = report::of_state(&ended.stdout);
                (ended, lines)
            }
            Step::Exec { detach, patches } => self.exec(*detach, patches)?,
            Step::Update { resources } => {
                let file =
                    self.bundle.write("../control/resources.json", &resources.to_string())?;
                let ended =
                    self.session.run(&["update", "--resources", &file.to_string_lossy()])?;
                (ended, self.pid.map(outside::cgroup).unwrap_or_default())
            }
            Step::Kill { signal } => {
                // runc takes the signal after the id.
                let ended = self.session.run_with(&["kill"], &[signal])?;
                let ends = ended.class == Class::Done && signal != "0";
                let lines = if ends { self.wait_for_exit() } else { vec![] };
                (ended, lines)
            }
            Step::Delete { force } => {
                let arguments: &[&str] = if *force { &["delete", "--force"] } else { &["delete"] };
                (self.session.run(arguments)?, vec![])
            }
        };
        self.record(step.name(), ended, lines);
        Ok(())
    }

    fn exec(&self, detach: bool, patches: &[Patch]) -> io::Result<(Ended, Vec<Line>)> {
        let mut process = self.document["process"].clone();
        process["args"] = json!(["/probe", "exec"]);
        patch::apply(&mut process, patches);
        let file = self.bundle.write("../control/process.json", &process.to_string())?;
        let mut arguments = vec!["exec", "--process"];
        let file = file.to_string_lossy();
        arguments.push(&file);
        if !detach {
            let mut ended = self.session.run(&arguments)?;
            let code = ended.code.map_or_else(|| "none".into(), |code| code.to_string());
            // The exit code is the process's; a process that prints a report has run.
            if ended.class == Class::Refused && ended.stdout.ends_with("end\n") {
                ended.class = Class::Done;
            }
            let mut lines = vec![Line::new("exit code", code)];
            lines.extend(report::of_probe(&ended.stdout));
            return Ok((ended, lines));
        }
        let pid_file = self.control("exec-pid");
        let pid_file = pid_file.to_string_lossy();
        arguments.extend(["--detach", "--pid-file", &pid_file]);
        let (reader, writer) = io::pipe()?;
        let ended = self.session.run_into(OwnedFd::from(writer).into(), &arguments, &[])?;
        let mut output = File::from(OwnedFd::from(reader));
        let text = read_report(&mut output, self.job.timeout)?;
        let mut lines = report::of_probe(&text);
        // Until the process is reaped, the init process cannot end: it waits for the namespace.
        let pid = fs::read_to_string(&*pid_file).ok().and_then(|text| text.trim().parse().ok());
        let exit = pid.and_then(|pid| self.exit_of(pid, self.exit_timeout()));
        lines.push(Line::new("exit", exit.unwrap_or_else(|| "unknown".into())));
        let _ = fs::remove_file(&*pid_file);
        Ok((ended, lines))
    }

    /// The report of the init process, and what the host sees of it.
    fn started(&mut self) -> io::Result<Vec<Line>> {
        let text = read_report(&mut self.output, self.job.timeout)?;
        let mut lines = report::of_probe(&text);
        let is_complete = text.ends_with("end\n");
        lines.push(Line::new("report", if is_complete { "complete" } else { "incomplete" }));
        let waits = is_complete && text.contains("\nargument 1: init\n");
        match self.pid {
            Some(pid) if waits => {
                lines.extend(outside::namespaces(pid));
                lines.extend(outside::cgroup(pid));
            }
            _ => lines.extend(self.wait_for_exit()),
        }
        lines.extend(self.hooks());
        Ok(lines)
    }

    /// Waits for the end of the init process, which became a child of this process when the
    /// runtime ended.
    fn wait_for_exit(&mut self) -> Vec<Line> {
        if let (None, Some(pid)) = (&self.exit, self.pid) {
            self.exit = self.exit_of(pid, self.exit_timeout());
        }
        let exit = self.exit.as_deref().unwrap_or(match self.pid {
            Some(pid) if Path::new(&format!("/proc/{pid}")).exists() => "still runs",
            _ => "unknown",
        });
        vec![Line::new("init process", exit)]
    }

    fn hooks(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.bundle.folder.join("hooks.log")).unwrap_or_default();
        report::of_hooks(&text, &outside::name_of_namespace)
    }

    /// Removes a container that the case has not removed, so that the next life finds none.
    fn clean_up(&mut self) -> io::Result<()> {
        let left = fs::read_dir(self.job.folder.join("state"))?.next().is_some();
        if left {
            self.session.run(&["delete", "--force"])?;
        }
        let running = self.pid.filter(|_| self.exit.is_none());
        if let Some(pid) = running.filter(|pid| self.exit_of(*pid, Duration::ZERO).is_none()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            self.exit_of(pid, self.job.timeout);
        }
        Ok(())
    }

    /// What the container left in its root file system and with its hooks.
    fn leftovers(&mut self) {
        let mut lines = self.hooks();
        after::list(&self.bundle.folder.join("rootfs"), &self.bundle.folder, &mut lines);
        let (command, class) = ("after".to_owned(), Class::Done);
        self.steps.push(StepOutcome { command, class, lines, message: String::new() });
    }
}

/// Reads until the report is complete or every process has closed the pipe.
fn read_report(output: &mut File, timeout: Duration) -> io::Result<String> {
    let deadline = Instant::now() + timeout;
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 << 10];
    while !bytes.ends_with(b"\nend\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(&*output), PollFlags::POLLIN)];
        if poll(&mut ready, timeout)? == 0 {
            break;
        }
        match output.read(&mut chunk)? {
            0 => break,
            count => bytes.extend(&chunk[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
