//! The doors: each way to ask for a VF, as a user of that door asks. The commands are functions of
//! `scripts/doors.sh`. `soak::doors` and `trial::doors` have the tests.

use std::time::Duration;

use lab::{HostKind, Lab, Output, Programs};

use crate::host::configure;
use crate::pods_cri::make_node;
use crate::script::script;
use crate::switch::assert_switch_is_clean;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `docker run --runtime runvf`
    Docker,
    /// `podman --runtime runvf run`
    Podman,
    /// `podman run`, by `hooks.d`
    Hooks,
    /// `docker run --device`
    DockerCdi,
    /// `podman run --device`
    PodmanCdi,
    /// `podman run --network`
    Network,
    /// A pod of containerd, over CRI
    Pod,
    /// `runvfctl attach`
    Hand,
}

use Door::{Docker, DockerCdi, Hand, Hooks, Network, Pod, Podman, PodmanCdi};

pub(crate) const ALL: [Door; 8] = [Docker, Podman, Hooks, DockerCdi, PodmanCdi, Network, Pod, Hand];

/// How long an engine may take to settle after a command, or after its restart.
pub(crate) const SETTLED: Duration = Duration::from_secs(120);

const FUNCTIONS: &str = include_str!("scripts/doors.sh");
/// Survives a boot.
const PATH: &str = "/var/tmp/doors.sh";

/// What a container of the tenant acme sees of its VF: alias and carrier.
pub(crate) const SEEN: &str = "vlan=100 tenant=acme\n1";

pub(crate) const ACME: &str =
    "[[tenant]]\nname = \"acme\"\nvlans = [100]\nnamespaces = [\"acme\"]\n";

/// A pool of `pfs` with `vfs` VFs each.
pub(crate) fn pool(pfs: &str, vfs: usize) -> String {
    format!("[[pool]]\nname = \"sensors\"\npfs = [{pfs}]\nvfs = {vfs}\n")
}

impl Door {
    /// The name in `scripts/doors.sh`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Docker => "docker",
            Podman => "podman",
            Hooks => "hooks",
            DockerCdi => "docker-cdi",
            PodmanCdi => "podman-cdi",
            Network => "network",
            Pod => "pod",
            Hand => "hand",
        }
    }

    /// The words that the command line has when the door attaches a VF, and when it releases one.
    pub(crate) fn verbs(self) -> [&'static str; 2] {
        match self {
            Docker | Podman | Pod => ["create", "delete"],
            Hooks | DockerCdi | PodmanCdi => ["attach", "detach"],
            Network => ["setup", "teardown"],
            Hand => ["attach", "release"],
        }
    }

    /// Whether the door has containers that their engine starts again after a boot.
    pub(crate) fn restarts(self) -> bool {
        // kubelet makes new pods after a boot, and Docker before 28.2 starts no container with a CDI
        // device (moby#49989).
        !matches!(self, Pod | Hand | DockerCdi)
    }
}

/// A host of the programs of the last build, on which every door is open.
pub(crate) fn host(kind: impl Into<HostKind>, programs: Programs, config: &str) -> Lab {
    let lab = Lab::with_runvf_on(kind, programs).unwrap();
    configure(&lab, config);
    open_all(&lab);
    lab
}

/// Opens every door of a host with runvf, and creates the VFs.
pub(crate) fn open_all(lab: &Lab) {
    lab.ok("runvfctl setup").unwrap();
    make_node(lab);
    lab.write(PATH, FUNCTIONS).unwrap();
    call(lab, "open_doors").unwrap();
}

/// Runs a function of `scripts/doors.sh`.
fn call(lab: &Lab, function: &str) -> lab::Result<Output> {
    lab.ok_within(Duration::from_secs(300), &with(function))
}

pub(crate) fn with(script: &str) -> String {
    format!("source {PATH}; {script}")
}

/// Starts a container, and returns how its command has ended.
pub(crate) fn try_start(lab: &Lab, door: Door, name: &str, vlan: u16) -> Output {
    let start = with(&format!("start {} {name} {vlan}", door.name()));
    lab.sh_within(Duration::from_secs(300), &start).unwrap()
}

/// Starts a container on VLAN 100.
pub(crate) fn start(lab: &Lab, door: Door, name: &str, options: &str) {
    call(lab, &format!("start {} {name} 100 {options}", door.name())).unwrap();
}

/// Calls a function with door and name of a container.
pub(crate) fn of_container(lab: &Lab, function: &str, door: Door, name: &str) {
    call(lab, &format!("{function} {} {name}", door.name())).unwrap();
}

pub(crate) fn start_again(lab: &Lab, door: Door, name: &str) {
    call(lab, &format!("again {} {name} 100", door.name())).unwrap();
}

/// Asserts that a container sees its VF on VLAN 100, and that `gc` has nothing to do.
pub(crate) fn assert_sees(lab: &Lab, door: Door, name: &str) {
    let seen = call(lab, &format!("see {} {name}", door.name())).unwrap();
    assert_eq!(seen.text(), SEEN, "{door:?}");
    let done = lab.ok("timeout 60 runvfctl gc --json").unwrap();
    assert_eq!(done.text(), "[]", "{door:?}");
}

/// Waits until a container sees its VF.
pub(crate) fn wait_for_vf(lab: &Lab, door: Door, name: &str) {
    let sees = format!("[ \"$(see {} {name})\" = $'{}' ]", door.name(), SEEN.replace('\n', "\\n"));
    if let Err(error) = lab.wait_until(SETTLED, &with(&sees)) {
        panic!(
            "{door:?}: {error}\n{}",
            lab.sh("runvfctl status; docker ps -a; podman ps -a").unwrap()
        );
    }
}

/// Removes a container, also the remains of a failed start.
pub(crate) fn remove(lab: &Lab, door: Door, name: &str) {
    let remove = with(&format!("remove {} {name}", door.name()));
    lab.wait_until(SETTLED, &remove).unwrap_or_else(|error| panic!("{door:?}: {error}"));
}

/// Asserts that each VF is free and clean, once the engines have finished.
pub(crate) fn assert_free(lab: &Lab, case: &str) {
    let free = with("[ -z \"$(not_free)\" ]");
    if lab.wait_until(SETTLED, &free).is_err() {
        panic!("{case}:\n{}", lab.sh(&with("not_free; runvfctl status")).unwrap());
    }
    assert_switch_is_clean(lab);
}

/// As [`assert_free`], after the cleanup of an operator.
pub(crate) fn assert_free_after_gc(lab: &Lab, case: &str) {
    lab.ok(&with("no_free_vf_is_dirty")).unwrap_or_else(|error| panic!("{case}: {error}"));
    let gc = lab.sh("timeout 100 runvfctl gc").unwrap();
    assert_eq!(gc.status, 0, "{case}: {gc}");
    assert_free(lab, case);
}

/// The reasons of all refusals in the audit log.
pub(crate) fn refusals(lab: &Lab) -> Vec<String> {
    let all = lab.json("runvfctl audit --json").unwrap();
    let refused = all.as_array().unwrap().iter().filter(|entry| entry["event"] == "refused");
    refused.map(|entry| entry["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Installs the wrappers that [`prepare_fault`] needs.
pub(crate) fn make_faulty(lab: &Lab) {
    lab.ok(include_str!("scripts/faulty_programs.sh")).unwrap();
}

/// The next call of one of runvf's programs with `verb` on its command line gets the environment
/// variable.
pub(crate) fn prepare_fault(lab: &Lab, verb: &str, setting: &str) {
    lab.ok(&with(&script(
        "prepare_fault \"$verb\" \"$setting\"",
        &[("verb", verb), ("setting", setting)],
    )))
    .unwrap();
}

/// Asserts that a call had the fault.
pub(crate) fn assert_fault_met(lab: &Lab, case: &str) {
    assert!(lab.sh("[ -e /run/fault.met ]").unwrap().success(), "{case}: no call had the fault");
}
