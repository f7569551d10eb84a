//! The engines, and how each of them calls runvf.

use lab::{Lab, Output};

use crate::script::quoted;

/// An engine, and how it calls runvf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `docker run --runtime runvf`
    Docker,
    /// `podman run` with its stock runtime, crun, and runvf's `hooks.d` files
    PodmanHooks,
    /// `podman --runtime runvf run`, where the hooks must do nothing
    PodmanRuntime,
}

pub(crate) const ALL: [Engine; 3] = [Engine::Docker, Engine::PodmanHooks, Engine::PodmanRuntime];

pub(crate) const IMAGE: &str = "runvf/tcpdump";

impl Engine {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::PodmanHooks | Self::PodmanRuntime => "podman",
        }
    }

    /// `ENGINE run …`, up to the options.
    pub(crate) fn run(self) -> &'static str {
        match self {
            Self::Docker => "docker run --runtime runvf",
            Self::PodmanHooks => "podman run",
            Self::PodmanRuntime => "podman --runtime /usr/bin/runvf run",
        }
    }

    /// The exit status of the engine's command if its runtime refuses to create a container.
    pub(crate) fn refusal(self) -> i32 {
        match self {
            Self::Docker => 125,
            Self::PodmanHooks | Self::PodmanRuntime => 126,
        }
    }
}

/// Adds `--network none`, unless the options name a network: a sensor needs no network but its VF,
/// and the network of an engine takes a third of the time of a container on an emulated CPU.
fn without_network(options: &str) -> String {
    let network = if options.contains("--network") { "" } else { "--network none " };
    format!("{network}{options}")
}

/// Runs `sh -c SCRIPT` in a container that is removed afterwards.
pub(crate) fn run(lab: &Lab, engine: Engine, options: &str, script: &str) -> Output {
    let options = without_network(options);
    let script = quoted(script);
    lab.sh(&format!("{} --rm {options} {IMAGE} sh -c {script}", engine.run())).unwrap()
}

/// Starts a container that runs until it is stopped; SIGTERM ends it.
pub(crate) fn start(lab: &Lab, engine: Engine, name: &str, options: &str) {
    let sleep = "trap \"exit 0\" TERM; while :; do sleep 1 & wait; done";
    let options = without_network(options);
    lab.ok(&format!("{} -d --name {name} {options} {IMAGE} sh -c '{sleep}'", engine.run()))
        .unwrap();
}
