//! The netavark plugin: Podman's networks of the driver `runvf`.
//!
//! Podman finds the program by the driver's name in its plugin folders, so the package installs a
//! symlink `/usr/libexec/netavark/runvf`. Podman calls `create`, netavark calls `setup NETNS` and
//! `teardown NETNS`; each with JSON on stdin. The answer is JSON on stdout, and after a failure
//! `{"error": "…"}`, which Podman shows to its user (netavark, `src/plugin.rs`).
//!
//! `setup` runs before the container has a process, so the network namespace becomes the owner of
//! the VF's claim.

mod input;
mod interface;
mod options;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use vf::{Host, NetnsContainer, Outcome, Released};

use self::input::{Exec, Network};
use crate::error::Error;

/// The plugin API that this program speaks (netavark, `src/plugin.rs`).
const API_VERSION: &str = "1.0.0";

/// The name that Podman calls the plugin by.
const DRIVER: &str = "runvf";

/// Whether the program was called as the plugin.
pub(crate) fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(DRIVER))
}

/// Runs a verb of the plugin, with the command line after the program's name.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let verb = arguments.next().unwrap_or_else(|| "info".into());
    match run(&verb.to_string_lossy(), arguments.next().as_deref()) {
        Ok(answer) => {
            let _ = answer.map(|answer| write!(std::io::stdout(), "{answer}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(&error.line());
            ExitCode::FAILURE
        }
    }
}

/// Reports an error to the user of Podman.
pub(crate) fn report(line: &str) {
    let _ = write!(std::io::stdout(), "{}", json!({ "error": line }));
}

fn run(verb: &str, netns: Option<&OsStr>) -> Result<Option<Value>, Error> {
    let netns = || netns.map(Path::new).ok_or(Error::NoNetns);
    let host = Host::default();
    match verb {
        "info" => Ok(Some(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "api_version": API_VERSION,
        }))),
        "create" => create(&host, input::read(std::io::stdin().lock())?).map(Some),
        "setup" => setup(&host, netns()?, input::read(std::io::stdin().lock())?).map(Some),
        "teardown" => {
            teardown(&host, netns()?, &input::read(std::io::stdin().lock())?).map(|()| None)
        }
        other => Err(Error::UnknownVerb(other.to_owned())),
    }
}

/// Checks a new network and asks the policy, so that a mistake shows at once. Returns the network
/// as Podman stores it.
fn create(host: &Host, mut stored: Value) -> Result<Value, Error> {
    let network = Network::of(&stored)?;
    options::check_network(&network)?;
    let interface = network.option("interface").unwrap_or(vf::DEFAULT_INTERFACE);
    let request = options::request(&network, interface, None)?;
    // Engines never use parentheses in a container id.
    let container = format!("(network {})", network.name);
    vf::authorize(host, request, &container).map_err(Error::of_network)?;
    // A VF has no address, so Podman must neither assign one nor start a name server.
    stored["ipam_options"] = json!({ "driver": "none" });
    stored["dns_enabled"] = json!(false);
    Ok(stored)
}

/// Attaches a VF. The policy is asked again, because it may have changed since `create`, and the
/// file of the network may have been edited.
fn setup(host: &Host, netns: &Path, input: Value) -> Result<Value, Error> {
    let exec = Exec::of(&input)?;
    options::check_network(&exec.network)?;
    options::check_container(&exec.network_options)?;
    let interface = interface::choose(&exec, netns)?;
    let mac = exec.network_options.static_mac.as_deref();
    let request = options::request(&exec.network, &interface, mac)?;
    let grant = vf::authorize(host, request, &exec.container_id).map_err(Error::of_network)?;
    let attached = grant
        .attach_to_netns(&NetnsContainer {
            id: exec.container_id.clone(),
            netns: netns.to_owned(),
            network: Some(exec.network.name.clone()),
        })
        .map_err(Error::of_network)?;
    let interfaces = attached.into_iter().map(|vf| {
        let settings = json!({ "mac_address": vf.mac.to_string(), "subnets": [] });
        (vf.interface, settings)
    });
    Ok(json!({ "interfaces": interfaces.collect::<serde_json::Map<_, _>>() }))
}

/// Releases the VF. A VF that cannot be cleaned is quarantined and reported, but the plugin
/// succeeds, because a failure would keep Podman from removing the container.
///
/// # Errors
/// [`Error::StillInUse`]: the container runs and keeps its VF, so Podman must not say that it is
/// disconnected.
fn teardown(host: &Host, netns: &Path, input: &Value) -> Result<(), Error> {
    let released = Exec::of(input).and_then(|exec| {
        let (id, network) = (&exec.container_id, &exec.network.name);
        Ok(vf::release_network(host, id, network, netns)?)
    });
    let (complaints, result) = match released {
        Ok(released) => {
            // A namespace that cannot be searched does not keep Podman from removing the container.
            let is_in_use =
                |one: &Released| vf::is_in_use(host, &one.vf, &one.container).unwrap_or(false);
            let complaints = released.iter().filter_map(Released::complaint).collect();
            (complaints, check_released(&released, is_in_use))
        }
        Err(error) => (vec![format!("cannot release the VF: {}", error.line())], Ok(())),
    };
    for complaint in complaints {
        // netavark passes stderr on to Podman's.
        let _ = writeln!(std::io::stderr(), "runvf: {complaint}");
    }
    result
}

fn check_released(
    released: &[Released],
    is_in_use: impl Fn(&Released) -> bool,
) -> Result<(), Error> {
    let is_kept = |one: &&Released| matches!(one.outcome, Outcome::Left(_)) && is_in_use(one);
    match released.iter().find(is_kept) {
        Some(kept) => Err(Error::StillInUse(kept.complaint().unwrap_or_default())),
        None => Ok(()),
    }
}

/// Runs all verbs that read from stdin with this input, and returns the error lines.
#[cfg(test)]
pub(crate) fn try_all(host: &Host, text: &[u8]) -> Vec<String> {
    let netns = Path::new("/proc/self/ns/net");
    let input = match input::read(text) {
        Ok(input) => input,
        Err(error) => return vec![error.line()],
    };
    let torn_down = teardown(host, netns, &input).map(|()| Value::Null);
    let results = [torn_down, create(host, input.clone()), setup(host, netns, input)];
    results.into_iter().filter_map(|result| result.err().map(|error| error.line())).collect()
}

#[cfg(test)]
mod tests;
