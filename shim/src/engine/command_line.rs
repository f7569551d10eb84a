//! Command lines for an engine. Where it can be it is the one that runvf was given, word by word: an engine has options that
//! runvf does not know.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::ValueEnum as _;

use crate::cli::{self, Global};

/// Global options of runc and crun that take a value.
const WITH_VALUE: [&str; 7] =
    ["--root", "--log", "--log-format", "--log-level", "--rootless", "--criu", "--cgroup-manager"];

/// What runvf was called with.
pub(super) fn typed() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

/// The command of a line that runvf cannot parse.
pub(super) fn command(line: &[OsString]) -> Option<&str> {
    let mut words = line.iter().map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return Some(word);
        }
        if WITH_VALUE.contains(&word) {
            words.next();
        }
    }
    None
}

/// `create`, for a `run` that was typed.
pub(super) fn create(
    global: &Global,
    options: &cli::Create,
    socket: Option<&Path>,
) -> Vec<OsString> {
    let mut line = globals(global);
    line.extend(["create", "--bundle"].map(OsString::from));
    line.push(options.bundle.clone().into());
    if let Some(path) = &options.pid_file {
        line.extend([OsString::from("--pid-file"), path.into()]);
    }
    if let Some(path) = socket {
        line.extend([OsString::from("--console-socket"), path.into()]);
    }
    if options.no_pivot {
        line.push("--no-pivot".into());
    }
    if options.no_new_keyring {
        line.push("--no-new-keyring".into());
    }
    if options.preserve_fds > 0 {
        line.extend(["--preserve-fds".into(), options.preserve_fds.to_string().into()]);
    }
    line.push(options.id.clone().into());
    line
}

pub(super) fn start(global: &Global, id: &str) -> Vec<OsString> {
    let mut line = globals(global);
    line.extend(["start", id].map(OsString::from));
    line
}

fn globals(global: &Global) -> Vec<OsString> {
    let mut line = Vec::new();
    let mut add = |name: &str, value: &OsStr| line.extend([name.into(), value.to_owned()]);
    if let Some(root) = &global.root {
        add("--root", root.as_os_str());
    }
    if let Some(log) = &global.log {
        add("--log", log.as_os_str());
        let format = global.log_format.to_possible_value();
        add("--log-format", OsStr::new(format.as_ref().map_or("text", |one| one.get_name())));
    }
    if global.debug {
        line.push("--debug".into());
    }
    if global.systemd_cgroup {
        line.push("--systemd-cgroup".into());
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_command_is_found_in_a_line_of_another_runtime() {
        let command = |line: &str| {
            let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            command(&line).map(str::to_owned)
        };
        assert_eq!(command("--root create --cgroup-manager run list -q"), Some("list".into()));
        assert_eq!(command("--root=/r --new-flag create x"), Some("create".into()));
        assert_eq!(command("--root"), None);
    }

    #[test]
    fn a_run_becomes_a_create() {
        let typed = "runvf --root /r --log /l --log-format json --systemd-cgroup run -b /b --preserve-fds 2 --no-pivot c";
        let arguments = cli::Arguments::parse_from(typed.split(' '));
        let cli::Command::Run(run) = &arguments.command else { panic!("must be run") };
        let line = create(&arguments.global, &run.create, Some(Path::new("/s")));
        let line = line.join(OsStr::new(" "));
        assert_eq!(
            line,
            "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --console-socket /s \
             --no-pivot --preserve-fds 2 c"
        );
    }
}
