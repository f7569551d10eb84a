//! Denies AF_XDP sockets to the processes of a container that must not send. Their frames pass by
//! the nftables chain of `vf`, which drops all others (`__dev_direct_xmit`, `net/core/dev.c`).
//!
//! The filter is one of its own, loaded before the engine's profile. The kernel applies the stricter
//! answer of all filters (seccomp(2)), whereas rules for the same system call within one profile
//! could contradict each other. It also applies to a container without a profile.
//!
//! io_uring creates sockets without a system call (`IORING_OP_SOCKET`), so it is denied as well, as
//! in Docker's default profile. The answer is that of a kernel without the feature, so that programs
//! use another one.

use libcontainer::oci_spec::runtime::LinuxSeccomp;
use nix::errno::Errno;
use nix::libc;
use serde_json::json;

use super::seccomp::SeccompFilter;
use crate::error::Error;

/// The architectures of the programs that the kernel runs. libseccomp kills a program of another
/// one. On 32-bit x86, it denies all sockets by socketcall(2), because a filter cannot read the
/// arguments of that call.
const ARCHITECTURES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
} else if cfg!(target_arch = "aarch64") {
    &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
} else {
    &[]
};

/// Compiles the filter.
pub(crate) fn filter() -> Result<SeccompFilter, Error> {
    // The kernel takes the lower half of the register as the family (`int`), so a program could set a
    // bit above it. The first value is the mask.
    let mask = u32::MAX;
    let is_xdp = json!([{
        "index": 0, "value": mask, "valueTwo": libc::AF_XDP, "op": "SCMP_CMP_MASKED_EQ",
    }]);
    let deny = |call: &str, errno: Errno, args: serde_json::Value| {
        let action = "SCMP_ACT_ERRNO";
        json!({ "names": [call], "action": action, "errnoRet": errno as i32, "args": args })
    };
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ARCHITECTURES,
        "syscalls": [
            deny("socket", Errno::EAFNOSUPPORT, is_xdp),
            deny("io_uring_setup", Errno::ENOSYS, json!([])),
        ],
    });
    let profile: LinuxSeccomp = serde_json::from_value(profile)
        .map_err(|error| Error::Seccomp { problem: error.to_string() })?;
    SeccompFilter::compile(&profile)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    /// What a Perl program prints under the filter. Perl is on every Debian host.
    fn printed(program: &str) -> String {
        let filter = filter().unwrap();
        let load = move || -> std::io::Result<()> {
            nix::sys::prctl::set_no_new_privs()?;
            Ok(filter.load()?)
        };
        let mut command = Command::new("perl");
        command.args(["-e", program]);
        // SAFETY: the closure makes two system calls, and uses memory that exists before the fork.
        unsafe { command.pre_exec(load) };
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn socket(family: i32) -> String {
        printed(&format!("print socket(my $s, {family}, 3, 0) ? 'open' : 0 + $!"))
    }

    #[test]
    fn an_af_xdp_socket_is_denied_and_others_are_not() {
        assert_eq!(socket(libc::AF_XDP), (Errno::EAFNOSUPPORT as i32).to_string());
        assert_eq!(socket(libc::AF_PACKET), "open");
        // The upper half of the register is not part of the argument.
        let high = printed("print syscall(41, 44 | 1 << 32, 3, 0), ' ', 0 + $!");
        assert!(high.starts_with("-1 "), "{high}");
    }

    #[test]
    fn io_uring_looks_like_a_missing_feature() {
        let result = printed("print syscall(425, 1, 0), ' ', 0 + $!");
        assert_eq!(result, format!("-1 {}", Errno::ENOSYS as i32));
    }
}
