//! `exec`: one more process in a running container. Whether it comes as `--process` or as flags, libcontainer gets it as a
//! file with the whole process object, made as runc makes it (`exec.go`, `getProcess`): the container's own process,
//! changed by the flags.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use libcontainer::container::ContainerStatus;
use libcontainer::oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, User};

use crate::cli::{self, Global};
use crate::container::{self, Container};
use crate::error::Error;
use crate::libcontainer::{process_defaults, tenant};
use crate::tty::foreground;
use crate::tty::terminal::Console;

pub(crate) fn exec(global: &Global, options: &cli::Exec) -> Result<ExitCode, Error> {
    let container = Container::load(global, &options.id)?;
    may_exec(&container, options.ignore_paused)?;
    let spec = container::load_spec(container.library.bundle())?;
    let process = match &options.process {
        Some(path) => read_process(path)?,
        None => process_from_flags(&spec, options)?,
    };
    let wants_terminal = process.terminal().unwrap_or(false);
    let console = Console::new(wants_terminal, options.detach, options.console_socket.as_deref())?;
    let (process, executor) = tenant::adapt(&container, &spec, process)?;
    let keyring = container.record.keyring.then_some(options.id.as_str());
    crate::libcontainer::prepare_fork(keyring, Some(&process))?;
    let socket = console.socket();
    let pid = tenant::build(global, options, &container, &process, socket.as_deref(), executor)?;
    if let Some(path) = &options.pid_file {
        container::write_atomically(path, pid.to_string().as_bytes())?;
    }
    if options.detach {
        return Ok(ExitCode::SUCCESS);
    }
    foreground::wait(pid, console.terminal()?)
}

fn may_exec(container: &Container, ignore_paused: bool) -> Result<(), Error> {
    let why = match container.library.status() {
        ContainerStatus::Running => return Ok(()),
        ContainerStatus::Paused if ignore_paused => return Ok(()),
        ContainerStatus::Paused => "a paused",
        ContainerStatus::Stopped => "a stopped",
        // runc allows it; libcontainer does not.
        ContainerStatus::Created | ContainerStatus::Creating => "a not yet started",
    };
    Err(Error::CannotExec { id: container.id().to_owned(), why })
}

pub(crate) fn read_process(path: &Path) -> Result<Process, Error> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    serde_json::from_reader(BufReader::new(file))
        .map_err(|source| Error::Json { path: path.to_owned(), source })
}

fn process_from_flags(spec: &Spec, options: &cli::Exec) -> Result<Process, Error> {
    if options.command.is_empty() {
        return Err(Error::Usage { problem: "exec needs a command or --process".to_owned() });
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(options.command.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
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
        let problem = format!("--user {typed}: not UID or UID:GID in numbers");
        text.parse::<u32>().map_err(|_| Error::Usage { problem })
    };
    user.set_uid(number(uid)?);
    if let Some(gid) = gid {
        user.set_gid(number(gid)?);
    }
    Ok(user)
}

/// Bounding, effective and permitted, as runc: an inheritable one would outlive a change of user (CVE-2022-29162).
fn with_capabilities(
    old: &Option<LinuxCapabilities>,
    typed: &[String],
) -> Result<LinuxCapabilities, Error> {
    let mut capabilities = old.clone().unwrap_or_else(process_defaults::no_capabilities);
    for name in typed {
        let upper = name.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let one: Capability = serde_json::from_value(name.clone().into())
            .map_err(|_| Error::Usage { problem: format!("`{name}` is not a capability") })?;
        let with = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(one);
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
    fn users_are_numbers() {
        let user = with_user(User::default(), "1000:7").unwrap();
        assert_eq!((user.uid(), user.gid()), (1000, 7));
        assert_eq!(with_user(User::default(), "5").unwrap().uid(), 5);
        assert!(with_user(User::default(), "bob").is_err());
        assert!(with_user(User::default(), "5:").is_err());
    }

    #[test]
    fn capabilities_are_added_and_none_is_made_inheritable() {
        let added = with_capabilities(&None, &["net_admin".to_owned(), "CAP_KILL".to_owned()]);
        let added = added.unwrap();
        assert_eq!(added.bounding().as_ref().unwrap().len(), 2);
        assert!(added.inheritable().is_none() && added.ambient().is_none());
        assert!(with_capabilities(&None, &["nonsense".to_owned()]).is_err());
    }
}
