//! The ways in which a container gets its VF.

use lab::{Lab, Output};

/// An engine and the way runvf comes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `docker run --runtime runvf`
    Docker,
    /// `podman run` with its stock runtime, crun, and runvf's `hooks.d` files
    PodmanHooks,
    /// `podman --runtime runvf run`, where the hooks must stay out of it
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

    /// What the engine's command exits with when its runtime refuses to create a container.
    pub(crate) fn refusal(self) -> i32 {
        match self {
            Self::Docker => 125,
            Self::PodmanHooks | Self::PodmanRuntime => 126,
        }
    }
}

/// The options of a container that has no network but its VF, as a sensor needs none, unless they name one. An engine's own
/// costs an emulated CPU a third of a container's life.
fn alone(options: &str) -> String {
    let network = if options.contains("--network") { "" } else { "--network none " };
    format!("{network}{options}")
}

/// Runs `sh -c SCRIPT` in a container that is gone afterwards.
pub(crate) fn run(lab: &Lab, engine: Engine, options: &str, script: &str) -> Output {
    let options = alone(options);
    lab.sh(&format!("{} --rm {options} {IMAGE} sh -c '{script}'", engine.run())).unwrap()
}

/// Starts a container that stays until it is stopped, and answers to SIGTERM.
pub(crate) fn start(lab: &Lab, engine: Engine, name: &str, options: &str) {
    let sleep = "trap \"exit 0\" TERM; while :; do sleep 1 & wait; done";
    let options = alone(options);
    lab.ok(&format!("{} -d --name {name} {options} {IMAGE} sh -c '{sleep}'", engine.run()))
        .unwrap();
}
