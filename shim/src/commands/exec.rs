//! `exec`: runs a new process in a running container. libcontainer gets a file with the complete
//! process object. This is the file of `--process`, or the process of the container's spec, changed
//! by the options as in runc (`exec.go`, `getProcess`).

use std::process::ExitCode;

use libcontainer::container::ContainerStatus;
use libcontainer::oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, User};

use crate::cli::{self, Global};
use crate::container::{self, Container};
use crate::error::Error;
use crate::libcontainer::{process_defaults, spec_fields, tenant};
use crate::log::Log;
use crate::tty::foreground;
use crate::tty::streams::Streams;
use crate::tty::terminal::Console;

/// Runs the process and returns its exit code, or success at once with `--detach`.
pub(crate) fn exec(global: &Global, options: &cli::Exec, log: &Log) -> Result<ExitCode, Error> {
    let container = Container::load(global, &options.id)?;
    check_status(&container, options.ignore_paused)?;
    let spec = &container::load_spec(container.library.bundle())?;
    let process = match &options.process {
        Some(path) => {
            let (process, document) = container::load_process(path)?;
            spec_fields::check(&document, "process", path, log)?;
            process
        }
        None => process_from_options(spec, options)?,
    };
    let wants_terminal = process.terminal().unwrap_or(false);
    let console = Console::new(wants_terminal, options.detach, options.console_socket.as_deref())?;
    let (streams, ends) = Streams::if_wanted(!wants_terminal && !options.detach)?;
    let (process, executor) = tenant::adapt(&container, spec, process, ends.as_ref())?;
    let keyring = container.record.keyring.then_some(options.id.as_str());
    crate::libcontainer::prepare_fork(spec, keyring, Some(&process))?;
    let socket = console.socket();
    let console_socket = socket.as_deref();
    let parts = tenant::Parts { process: &process, executor, console_socket, ends };
    let pid = tenant::build(options, &container, spec, parts)?;
    if let Some(path) = &options.pid_file {
        container::write_atomically(path, pid.to_string().as_bytes())?;
    }
    if options.detach {
        return Ok(ExitCode::SUCCESS);
    }
    foreground::wait(pid, console.terminal()?, streams)
}

fn check_status(container: &Container, ignore_paused: bool) -> Result<(), Error> {
    let reason = match container.library.status() {
        ContainerStatus::Running => return Ok(()),
        ContainerStatus::Paused if ignore_paused => return Ok(()),
        ContainerStatus::Paused => "the container is paused (use --ignore-paused to override)",
        ContainerStatus::Stopped => "the container has stopped",
        // runc allows this; libcontainer does not.
        ContainerStatus::Created | ContainerStatus::Creating => "the container has not started",
    };
    Err(Error::CannotExec { id: container.id().to_owned(), reason })
}

fn process_from_options(spec: &Spec, options: &cli::Exec) -> Result<Process, Error> {
    if options.command.is_empty() {
        return Err(Error::Usage { problem: "exec requires a command or --process".to_owned() });
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(options.command.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    if !options.env.is_empty() {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(options.env.iter().cloned());
        process.set_env(Some(env));
    }
    if let Some(typed) = &options.user {
        process.set_user(with_user(process.user().clone(), typed)?);
    }
    if !options.additional_gids.is_empty() {
        let mut user = process.user().clone();
        let mut gids = user.additional_gids().clone().unwrap_or_default();
        gids.extend(&options.additional_gids);
        user.set_additional_gids(Some(gids));
        process.set_user(user);
    }
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if !options.cap.is_empty() {
        process.set_capabilities(Some(with_capabilities(process.capabilities(), &options.cap)?));
    }
    Ok(process)
}

fn with_user(mut user: User, typed: &str) -> Result<User, Error> {
    let (uid, gid) = match typed.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (typed, None),
    };
    let number = |text: &str| {
        let problem = format!("invalid --user {typed}: expected UID or UID:GID in numbers");
        text.parse::<u32>().map_err(|_| Error::Usage { problem })
    };
    user.set_uid(number(uid)?);
    if let Some(gid) = gid {
        user.set_gid(number(gid)?);
    }
    Ok(user)
}

/// Adds capabilities to the bounding, effective and permitted sets, as runc does. The inheritable
/// set stays unchanged, because an inheritable capability would survive a change of the user
/// (CVE-2022-29162).
fn with_capabilities(
    old: &Option<LinuxCapabilities>,
    typed: &[String],
) -> Result<LinuxCapabilities, Error> {
    let mut capabilities = old.clone().unwrap_or_else(process_defaults::no_capabilities);
    for name in typed {
        let upper = name.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let capability: Capability = serde_json::from_value(name.clone().into())
            .map_err(|_| Error::Usage { problem: format!("unknown capability `{name}`") })?;
        let with = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) = (
            with(capabilities.bounding()),
            with(capabilities.effective()),
            with(capabilities.permitted()),
        );
        capabilities.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_given_in_numbers() {
        let user = with_user(User::default(), "1000:7").unwrap();
        assert_eq!((user.uid(), user.gid()), (1000, 7));
        assert_eq!(with_user(User::default(), "5").unwrap().uid(), 5);
        assert!(with_user(User::default(), "bob").is_err());
        assert!(with_user(User::default(), "5:").is_err());
    }

    #[test]
    fn added_capabilities_are_not_inheritable() {
        let added = with_capabilities(&None, &["net_admin".to_owned(), "CAP_KILL".to_owned()]);
        let added = added.unwrap();
        assert_eq!(added.bounding().as_ref().unwrap().len(), 2);
        assert!(
            [added.inheritable(), added.ambient()]
                .iter()
                .all(|set| set.as_ref().unwrap().is_empty())
        );
        assert!(with_capabilities(&None, &["nonsense".to_owned()]).is_err());
    }
}
