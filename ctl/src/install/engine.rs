//! The container engines that runvf can be registered with, and CDI, which several engines read.

use clap::ValueEnum;

/// The runtime's name in the configuration of every engine.
pub(super) const NAME: &str = "runvf";
pub(super) const RUNTIME: &str = "/usr/bin/runvf";
/// The program that the hooks of Podman and of CDI devices run.
pub(super) const HOOK: &str = "/usr/libexec/runvf/runvf-hook";
/// The plugin for Podman's networks: a symlink to [`HOOK`].
pub(super) const PLUGIN: &str = "/usr/libexec/netavark/runvf";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Docker,
    Podman,
    Containerd,
    Crio,
    /// Not an engine of its own: devices for Docker, Podman and containerd.
    Cdi,
}

impl Engine {
    /// The engines proper.
    pub(crate) const ALL: [Self; 4] = [Self::Docker, Self::Podman, Self::Containerd, Self::Crio];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Cdi => "cdi",
        }
    }

    /// The program of the engine; the engine is installed if this program exists.
    pub(super) fn daemon(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            other => other.name(),
        }
    }

    /// The programs of runvf that the engine runs.
    pub(super) fn runvf_programs(self) -> &'static [&'static str] {
        match self {
            Self::Podman => &[RUNTIME, HOOK, PLUGIN],
            Self::Cdi => &[HOOK],
            _ => &[RUNTIME],
        }
    }

    /// The command that registers runvf with this engine, as a hint shows it.
    pub(crate) fn install_command(self) -> String {
        format!("`runvfctl install {}`", self.name())
    }
}
