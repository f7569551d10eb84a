//! The seccomp filter of a container's processes, for `create` and for `exec`.
//!
//! libcontainer loads the filter too early: before it drops the privileges, or before it waits for
//! `start`. Its own system calls would then need the profile's permission. For `exec` it loads none
//! (`tenant_builder.rs` builds a new linux section). So runvf takes the profile out of the spec, and
//! loads the filter itself, right before execve(2). A profile must therefore allow execve(2) and
//! the program's own system calls, and no others.
//!
//! Without no_new_privs, the kernel requires CAP_SYS_ADMIN to load a filter (seccomp(2)). So the
//! process keeps this capability until execve(2), in the effective and permitted sets. execve(2)
//! takes it away, because it computes the new sets from the bounding, inheritable and ambient sets
//! (capabilities(7), "Transformation of capabilities during execve").
//! Until then, the process is not dumpable: only a process with CAP_SYS_PTRACE could trace it, and such
//! a process could also trace libcontainer's earlier steps.
//!
//! Two kinds of profiles stay in the spec: with a notifier, because libcontainer sends the notifier's
//! descriptor to the listener; and of a container with startContainer hooks, because these run in the
//! container after `start`, under the filter. libcontainer exchanges the two values of
//! SCMP_CMP_MASKED_EQ, so they are exchanged before.

mod compile;

use std::collections::HashSet;

use libcontainer::oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag as Flag, LinuxSeccompOperator, Process, Spec,
};
use libcontainer::seccomp::is_notify;
use nix::errno::Errno;
use nix::libc;

use crate::error::Error;

/// A compiled filter. Loading it needs no memory and no other system call.
#[derive(Clone)]
pub(crate) struct SeccompFilter {
    program: Vec<libc::sock_filter>,
    flags: libc::c_ulong,
}

impl SeccompFilter {
    /// Compiles the filter that runvf must load for the init process of a container. Returns `None`
    /// if the container has no profile, or if libcontainer loads it.
    pub(crate) fn for_init(spec: &Spec) -> Result<Option<Self>, Error> {
        match profile_of(spec) {
            Some(profile) if !stays_in(spec, profile) => Self::compile(profile).map(Some),
            _ => Ok(None),
        }
    }

    /// Compiles the filter for a process that `exec` adds, and lets the process keep the capability to
    /// load it.
    pub(crate) fn for_exec(spec: &Spec, process: &mut Process) -> Result<Option<Self>, Error> {
        let Some(profile) = profile_of(spec) else { return Ok(None) };
        if is_notify(profile) {
            let what = "runvf does not support exec in a container with a seccomp notifier";
            return Err(Error::Unsupported { what });
        }
        keep_sys_admin(process);
        Self::compile(profile).map(Some)
    }

    pub(super) fn compile(profile: &LinuxSeccomp) -> Result<Self, Error> {
        let program = compile::compile(profile).map_err(|problem| Error::Seccomp { problem })?;
        Ok(Self { program, flags: flags(profile) })
    }

    /// Loads the filter for the calling process.
    pub(crate) fn load(&self) -> Result<(), Errno> {
        let program = libc::sock_fprog {
            len: self.program.len() as libc::c_ushort,
            filter: self.program.as_ptr().cast_mut(),
        };
        let operation = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
        // SAFETY: the kernel reads `len` instructions at `filter` and does not write to them. Both
        // live longer than the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, self.flags, &program) };
        Errno::result(result).map(drop)
    }
}

impl std::fmt::Debug for SeccompFilter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SeccompFilter({} instructions)", self.program.len())
    }
}

fn profile_of(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref())
}

/// Whether libcontainer loads the filter of an init process.
fn stays_in(spec: &Spec, profile: &LinuxSeccomp) -> bool {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
    is_notify(profile) || hooks.is_some_and(|hooks| !hooks.is_empty())
}

/// Takes the profile that runvf loads out of a spec for libcontainer, and lets the process keep the
/// capability to load it.
pub(crate) fn take_from(spec: &mut Spec) {
    let Some(mut linux) = spec.linux().clone() else { return };
    let Some(profile) = linux.seccomp().clone() else { return };
    if stays_in(spec, &profile) {
        linux.set_seccomp(Some(exchange_masks(profile)));
        spec.set_linux(Some(linux));
        return;
    }
    linux.set_seccomp(None);
    spec.set_linux(Some(linux));
    keep_capability_to_load(spec);
}

/// Lets the process of a spec keep the capability to load a filter.
pub(super) fn keep_capability_to_load(spec: &mut Spec) {
    if let Some(mut process) = spec.process().clone() {
        keep_sys_admin(&mut process);
        spec.set_process(Some(process));
    }
}

/// Exchanges mask and value of all masked comparisons.
fn exchange_masks(mut profile: LinuxSeccomp) -> LinuxSeccomp {
    let exchange = |argument: &LinuxSeccompArg| match argument.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => LinuxSeccompArgBuilder::default()
            .index(argument.index())
            .value(argument.value_two().unwrap_or_default())
            .value_two(argument.value())
            .op(argument.op())
            .build(),
        _ => Ok(*argument),
    };
    let rules = profile.syscalls().iter().flatten().map(|rule| {
        let mut rule = rule.clone();
        let arguments = rule.args().as_ref().map(|all| all.iter().flat_map(exchange).collect());
        rule.set_args(arguments);
        rule
    });
    let rules = rules.collect();
    profile.set_syscalls(Some(rules));
    profile
}

/// Adds CAP_SYS_ADMIN to the effective and permitted sets, unless the process has no_new_privs. A
/// process without a capabilities object keeps all capabilities of root.
pub(super) fn keep_sys_admin(process: &mut Process) {
    if process.no_new_privileges() == Some(true) {
        return;
    }
    let Some(mut capabilities) = process.capabilities().clone() else { return };
    let with = |set: &Option<HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(Capability::SysAdmin);
        Some(set)
    };
    let (effective, permitted) = (with(capabilities.effective()), with(capabilities.permitted()));
    capabilities.set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(capabilities));
}

/// The flags of seccomp(2). Like runc, allows speculative execution if the profile has no flags. The
/// other flags concern threads and notifiers, and the process has neither.
fn flags(profile: &LinuxSeccomp) -> libc::c_ulong {
    let default = [Flag::SeccompFilterFlagSpecAllow];
    let flags = profile.flags().as_deref().unwrap_or(&default);
    flags.iter().fold(0, |bits, flag| match flag {
        Flag::SeccompFilterFlagLog => bits | libc::SECCOMP_FILTER_FLAG_LOG,
        Flag::SeccompFilterFlagSpecAllow => bits | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        Flag::SeccompFilterFlagTsync | Flag::SeccompFilterFlagWaitKillableRecv => bits,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, ExitStatus};

    use serde_json::{Value, json};

    use super::*;

    fn spec(seccomp: Value, no_new_privileges: bool) -> Spec {
        let process = json!({
            "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 },
            "noNewPrivileges": no_new_privileges, "capabilities": { "bounding": ["CAP_KILL"] },
        });
        let linux = json!({ "seccomp": seccomp });
        let spec = json!({ "ociVersion": "1.0.2", "process": process, "linux": linux });
        serde_json::from_value(spec).unwrap()
    }

    /// Runs a program under a profile.
    fn run(profile: Value, program: &[&str]) -> ExitStatus {
        let filter = SeccompFilter::for_init(&spec(profile, true)).unwrap().unwrap();
        let load = move || -> std::io::Result<()> {
            nix::sys::prctl::set_no_new_privs()?;
            Ok(filter.load()?)
        };
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        // SAFETY: the closure makes two system calls, and uses memory that exists before the fork.
        unsafe { command.pre_exec(load) };
        command.status().unwrap()
    }

    #[test]
    fn a_profile_must_allow_only_execve_and_the_programs_own_calls() {
        // The system calls of /bin/true and of its loader.
        let own = "access arch_prctl brk close exit_group faccessat fstat getrandom mmap mprotect \
                   munmap newfstatat openat pread64 prlimit64 read readlinkat rseq set_robust_list \
                   set_tid_address";
        let names: Vec<&str> = own.split_whitespace().chain(["execve"]).collect();
        let profile = json!({
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
        });
        assert!(run(profile, &["/bin/true"]).success());
    }

    #[test]
    fn a_masked_comparison_has_the_mask_first() {
        let call = |name: &str, index: u32| {
            json!({
                "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
                "args": [{ "index": index, "value": 0o777, "valueTwo": 0o700, "op": "SCMP_CMP_MASKED_EQ" }],
            })
        };
        let syscalls = json!([call("mkdir", 1), call("mkdirat", 2)]);
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls });
        let folder = tempfile::tempdir().unwrap();
        for (mode, succeeds) in [("700", false), ("755", true)] {
            let path = folder.path().join(mode);
            let made = run(profile.clone(), &["mkdir", "-m", mode, path.to_str().unwrap()]);
            assert_eq!((made.success(), path.exists()), (succeeds, succeeds), "{mode}");
        }
    }

    #[test]
    fn a_profile_with_a_notifier_or_under_hooks_stays_in_the_spec() {
        let has_sys_admin = |spec: &Spec| {
            let process = spec.process().as_ref().unwrap();
            let capabilities = process.capabilities().clone().unwrap();
            let has = |set: &Option<HashSet<Capability>>| {
                set.as_ref().is_some_and(|set| set.contains(&Capability::SysAdmin))
            };
            assert!(!has(capabilities.bounding()) && !has(capabilities.inheritable()));
            assert!(!has(capabilities.ambient()));
            assert_eq!(has(capabilities.effective()), has(capabilities.permitted()));
            has(capabilities.effective())
        };
        let taken = |action: &str, no_new_privileges, hooks: Value| {
            let rule = json!({ "names": ["mkdir"], "action": action });
            let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
            let mut spec = spec(profile, no_new_privileges);
            spec.set_hooks(serde_json::from_value(hooks).unwrap());
            let loaded_by_runvf = SeccompFilter::for_init(&spec).unwrap().is_some();
            take_from(&mut spec);
            assert_eq!(profile_of(&spec).is_none(), loaded_by_runvf);
            (loaded_by_runvf, has_sys_admin(&spec))
        };
        let hook = json!([{ "path": "/bin/true" }]);
        let (none, start) = (json!({ "poststart": hook }), json!({ "startContainer": hook }));
        assert_eq!(taken("SCMP_ACT_ERRNO", false, none.clone()), (true, true));
        assert_eq!(taken("SCMP_ACT_ERRNO", true, none.clone()), (true, false));
        assert_eq!(taken("SCMP_ACT_NOTIFY", false, none), (false, false));
        assert_eq!(taken("SCMP_ACT_ERRNO", false, start), (false, false));
    }

    #[test]
    fn a_profile_for_libcontainer_has_the_mask_second() {
        let argument = json!({ "index": 0, "value": 7, "op": "SCMP_CMP_MASKED_EQ" });
        let plain = json!({ "index": 1, "value": 7, "valueTwo": 8, "op": "SCMP_CMP_EQ" });
        let rule = json!({
            "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY", "args": [argument, plain],
        });
        let mut spec = spec(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }), true);
        take_from(&mut spec);
        let profile = spec.linux().as_ref().unwrap().seccomp().clone().unwrap();
        let rule = profile.syscalls().clone().unwrap().remove(0);
        let values = rule.args().iter().flatten().map(|arg| (arg.value(), arg.value_two()));
        assert_eq!(values.collect::<Vec<_>>(), [(0, Some(7)), (7, Some(8))]);
    }

    #[test]
    fn the_flags_are_those_of_the_profile() {
        let flags = |flags: Value| {
            let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": flags });
            flags_of(profile)
        };
        let spec_allow = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        assert_eq!(flags(Value::Null), spec_allow);
        assert_eq!(flags(json!([])), 0);
        let log = json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]);
        assert_eq!(flags(log), libc::SECCOMP_FILTER_FLAG_LOG);
    }

    fn flags_of(profile: Value) -> libc::c_ulong {
        SeccompFilter::for_init(&spec(profile, true)).unwrap().unwrap().flags
    }
}
