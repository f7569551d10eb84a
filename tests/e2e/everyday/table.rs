//! The operations. Their scripts are beside this file.

/// A script. All that it prints is compared, so it must not print names, ids, times or other values
/// that differ between runs.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    /// Lines that the transcript of runc must contain.
    lines: &'static [&'static str],
    only: Option<&'static str>,
    /// The engine under which another runtime behind runvf runs it, too.
    pub(crate) delegated: Option<&'static str>,
}

const fn operation(
    name: &'static str,
    script: &'static str,
    lines: &'static [&'static str],
) -> Operation {
    Operation { name, script, lines, only: None, delegated: None }
}

impl Operation {
    const fn with_only(self, engine: &'static str) -> Self {
        Self { only: Some(engine), ..self }
    }

    const fn and_delegated(self) -> Self {
        self.and_delegated_under("docker")
    }

    const fn and_delegated_under(self, engine: &'static str) -> Self {
        Self { delegated: Some(engine), ..self }
    }

    pub(super) fn is_for(&self, engine: &str) -> bool {
        self.only.is_none_or(|only| only == engine)
    }

    pub(super) fn missing_in<'a>(&self, text: &'a str) -> impl Iterator<Item = &'static str> + 'a
    where
        'static: 'a,
    {
        let lines = self.lines;
        lines.iter().copied().filter(move |line| !text.lines().any(|there| there == *line))
    }
}

pub(crate) const TABLE: &[Operation] = &[
    operation(
        "output, input and exit codes",
        include_str!("output_and_exit_codes.sh"),
        &["out", "= 3", "err", "hello", "= 0", "= 127", "= 126", "= 125"],
    )
    .and_delegated(),
    operation(
        "a terminal, its size, and a change of its size",
        include_str!("terminal.sh"),
        &["/dev/pts/0", "terminal", "sized"],
    ),
    operation(
        "the confinement of a container, by default",
        include_str!("default_confinement.sh"),
        &[
            "uid=0(root) gid=0(root) groups=0(root)",
            "NoNewPrivs: 0",
            "Seccomp: 2",
            "SigIgn: 0000000000000000",
            "refused",
        ],
    ),
    operation(
        "the confinement of a container, by options",
        include_str!("confinement_by_options.sh"),
        &[
            "Groups: 77 4321",
            "everyday",
            "from-file b",
            "NoNewPrivs: 1",
            "yes",
            "42",
            "memory.max 134217728",
            "pids.max 55",
        ],
    )
    .and_delegated(),
    operation(
        "a privileged container",
        include_str!("privileged.sh"),
        &["Seccomp: 0", "16", "written"],
    ),
    operation(
        "namespaces of the host and of other containers",
        include_str!("shared_namespaces.sh"),
        &["net is the same", "pid is another"],
    ),
    operation(
        "a network of its own",
        include_str!("network.sh"),
        &["eth0", "lo", "Connection refused"],
    ),
    operation(
        "processes that exec adds",
        include_str!("exec.sh"),
        &["inside", "= 4", "hello", "uid=5 gid=6 groups=6", "/usr", "a b", "detached"],
    )
    .and_delegated(),
    operation(
        "logs, pause, files, statistics and limits of a running container",
        include_str!("running_container.sh"),
        &[
            "started",
            "paused",
            "running",
            "everyday 1",
            "268435456",
            "50000 100000",
            "66",
            "copied",
        ],
    ),
    operation(
        "stopping, signals, starting again",
        include_str!("stop_and_start.sh"),
        &["ready", "usr1", "term", "5", "137", "true", "false", "again"],
    )
    .and_delegated(),
    operation(
        "restart policy, and a health check",
        include_str!("restart_and_health.sh"),
        &["1 9", "unhealthy", "healthy"],
    ),
    operation(
        "limits that are exceeded",
        include_str!("limits.sh"),
        &["= 137", "= 153, 1000", "= 2"],
    ),
    operation(
        "limits from options of Docker",
        concat!(include_str!("resources.sh"), "options_and_weight"),
        &["67108864", "33554432", "25000 50000", "= 0"],
    )
    .with_only("docker"),
    operation(
        "limits from options of Podman",
        concat!(include_str!("resources.sh"), "options_and_weight"),
        &["67108864", "33554432", "25000 50000", "= 0"],
    )
    .with_only("podman"),
    operation(
        "limits from options of Podman with cgroupfs",
        concat!(include_str!("resources.sh"), "with_cgroupfs options_and_weight"),
        &["67108864", "33554432", "25000 50000", "= 0"],
    )
    .with_only("podman"),
    operation(
        "limits by the names of files",
        concat!(include_str!("resources.sh"), "by_name"),
        &["1", "50000 100000", "max 100000", "= 0"],
    )
    .with_only("podman"),
    operation(
        "limits by the names of files with cgroupfs",
        concat!(include_str!("resources.sh"), "with_cgroupfs by_name"),
        &["1", "50000 100000", "max 100000", "= 0"],
    )
    .with_only("podman"),
    operation(
        "a container that has divided its cgroup",
        concat!(include_str!("resources.sh"), "divided $engine"),
        &["0::/i", "66", "77", "67108864", "= 0"],
    ),
    operation(
        "a container that has divided its cgroup with cgroupfs",
        concat!(
            include_str!("resources.sh"),
            "with_cgroupfs divided 'podman --cgroup-manager cgroupfs'"
        ),
        &["66", "77", "67108864", "= 0"],
    )
    .with_only("podman"),
    operation(
        "volumes",
        include_str!("volumes.sh"),
        &["kept", "everyday", "from-inside", "/proc refused"],
    ),
    operation(
        "mounts that are refused, and flags of mounts",
        include_str!("mount_flags.sh"),
        &["/proc/sys refused", "emulated", "executed", "kept"],
    ),
    operation(
        "seccomp and AppArmor profiles",
        include_str!("security_profiles.sh"),
        &[
            "mkdir: cannot create directory '/tmp/x': Permission denied",
            "mkdir: cannot create directory '/tmp/a': Permission denied",
            "/tmp/b",
            "added",
            "listed",
            "listed too",
            "NoNewPrivs:\t1",
            "Seccomp: 0",
        ],
    ),
    operation(
        "a large environment, and many arguments",
        include_str!("large_environment.sh"),
        &["all of it", "2000"],
    ),
    operation("an init process", include_str!("init.sh"), &["reaped"]).with_only("docker"),
    operation(
        "a user namespace of its own",
        include_str!("user_namespace.sh"),
        &["uid=0(root) gid=0(root) groups=0(root)", "0 70000", "inside", "below", "new", "0"],
    )
    .with_only("podman")
    .and_delegated_under("podman"),
    operation(
        "volumes, and later mounts of the host in them",
        include_str!("mount_propagation.sh"),
        &[": ", ":rslave: late"],
    )
    .with_only("docker"),
    operation(
        "devices at existing paths",
        include_str!("existing_devices.sh"),
        &["there", "/dev/twice"],
    ),
    operation(
        "the standard streams of other users than root",
        include_str!("standard_streams.sh"),
        &["out", "err", "1000", "1000 5", "written", "to all", "typed", "= 0"],
    ),
    operation(
        "exec in a user namespace",
        include_str!("exec_in_user_namespace.sh"),
        &[
            "uid=0(root) gid=0(root) groups=0(root)",
            "0 70000",
            "reached",
            "= 127",
            "= 126",
            "/dev/pts/0",
            "1000",
            "written",
        ],
    )
    .with_only("podman"),
    operation("a pod", include_str!("pod.sh"), &["in the pod", "exited"]).with_only("podman"),
];
