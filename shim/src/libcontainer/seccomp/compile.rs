//! Compiles a seccomp profile to the program that the kernel runs. libcontainer can only compile and
//! load a profile in one step (`seccomp/mod.rs`). It also exchanges the two values of
//! SCMP_CMP_MASKED_EQ. With Docker's default profile, clone(2) would then be allowed with all flags.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::str::FromStr as _;

use libcontainer::oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator,
};
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use nix::errno::Errno;
use nix::libc::sock_filter;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MAX_INSTRUCTIONS: usize = 4096;

pub(super) fn compile(profile: &LinuxSeccomp) -> Result<Vec<sock_filter>, String> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    if default == ScmpAction::Notify {
        return Err("SCMP_ACT_NOTIFY cannot be the default action".to_owned());
    }
    let mut filter = ScmpFilterContext::new(default).map_err(text)?;
    for arch in profile.architectures().iter().flatten() {
        filter.add_arch(ScmpArch::from_str(&arch.to_string()).map_err(text)?).map_err(text)?;
    }
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        // libseccomp refuses such a rule, which would change nothing.
        if action == default {
            continue;
        }
        for name in rule.names() {
            // libseccomp does not know the system calls of a newer kernel. runc ignores them, too.
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            let arguments = rule.args().as_deref().unwrap_or_default();
            add_rule(&mut filter, action, call, arguments)
                .map_err(|problem| format!("{name}: {problem}"))?;
        }
    }
    export(&filter)
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<ScmpAction, String> {
    let number = errno.map_or(Ok(Errno::EPERM as i32), i32::try_from);
    let number = number.map_err(|_| format!("errnoRet {errno:?} is too large"))?;
    ScmpAction::from_str(&action.to_string(), Some(number)).map_err(text)
}

/// Adds a rule that applies if all arguments match. If several comparisons are of the same argument,
/// one match is enough, as in runc (`seccomp_linux.go`, `matchCall`).
fn add_rule(
    filter: &mut ScmpFilterContext,
    action: ScmpAction,
    call: ScmpSyscall,
    arguments: &[LinuxSeccompArg],
) -> Result<(), String> {
    let comparisons = arguments.iter().map(compare).collect::<Result<Vec<_>, _>>()?;
    let indices: HashSet<_> = arguments.iter().map(LinuxSeccompArg::index).collect();
    let rules = match indices.len() == comparisons.len() {
        true => vec![comparisons.as_slice()],
        false => comparisons.chunks(1).collect(),
    };
    for rule in rules {
        filter.add_rule_conditional(action, call, rule).map_err(text)?;
    }
    Ok(())
}

fn compare(argument: &LinuxSeccompArg) -> Result<ScmpArgCompare, String> {
    let index = u32::try_from(argument.index()).map_err(|_| "an index is too large")?;
    let (operator, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let mask = ScmpCompareOp::MaskedEqual(argument.value());
            (mask, argument.value_two().unwrap_or_default())
        }
        other => (ScmpCompareOp::from_str(&other.to_string()).map_err(text)?, argument.value()),
    };
    Ok(ScmpArgCompare::new(index, operator, value))
}

/// Returns the program of a filter. libseccomp writes it to a file, in the layout of the kernel's
/// `struct sock_filter`.
fn export(filter: &ScmpFilterContext) -> Result<Vec<sock_filter>, String> {
    let failed = |errno: Errno| errno.desc().to_owned();
    let mut file =
        File::from(memfd_create(c"runvf-seccomp", MFdFlags::MFD_CLOEXEC).map_err(failed)?);
    filter.export_bpf(&file).map_err(text)?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(text)?;
    let instructions = bytes.chunks_exact(size_of::<sock_filter>());
    let program: Vec<_> = instructions.filter_map(instruction).collect();
    match program.len() {
        1..=MAX_INSTRUCTIONS => Ok(program),
        length => Err(format!("the filter has {length} instructions; the kernel's limit is 4096")),
    }
}

fn instruction(bytes: &[u8]) -> Option<sock_filter> {
    let &[code0, code1, jt, jf, k0, k1, k2, k3] = bytes else { return None };
    let (code, k) = (u16::from_ne_bytes([code0, code1]), u32::from_ne_bytes([k0, k1, k2, k3]));
    Some(sock_filter { code, jt, jf, k })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn compiled(profile: Value) -> Result<usize, String> {
        compile(&serde_json::from_value(profile).unwrap()).map(|program| program.len())
    }

    #[test]
    fn all_names_of_a_profile_are_known_to_libseccomp() {
        let architectures = [
            "NATIVE",
            "X86",
            "X86_64",
            "X32",
            "ARM",
            "AARCH64",
            "MIPS",
            "MIPS64",
            "MIPS64N32",
            "MIPSEL",
            "MIPSEL64",
            "MIPSEL64N32",
            "PPC",
            "PPC64",
            "PPC64LE",
            "S390",
            "S390X",
            "RISCV64",
            "PARISC",
            "PARISC64",
        ];
        for name in architectures {
            let arch = serde_json::from_value(json!(format!("SCMP_ARCH_{name}"))).unwrap();
            let arch: libcontainer::oci_spec::runtime::Arch = arch;
            assert!(ScmpArch::from_str(&arch.to_string()).is_ok(), "{name}");
        }
        for name in ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG"] {
            let rule = json!({ "names": ["mkdir"], "action": format!("SCMP_ACT_{name}") });
            compiled(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })).unwrap();
        }
        for name in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
            let argument = json!({ "index": 0, "value": 1, "op": format!("SCMP_CMP_{name}") });
            let rule = json!({ "names": ["close"], "action": "SCMP_ACT_TRAP", "args": [argument] });
            compiled(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })).unwrap();
        }
    }

    #[test]
    fn unknown_calls_and_the_default_action_change_nothing() {
        let length = |syscalls: Value| {
            compiled(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls })).unwrap()
        };
        let none = length(json!([]));
        assert_eq!(none, length(json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ALLOW" }])));
        assert_eq!(none, length(json!([{ "names": ["no_such"], "action": "SCMP_ACT_TRAP" }])));
        assert!(none < length(json!([{ "names": ["mkdir"], "action": "SCMP_ACT_TRAP" }])));
    }

    #[test]
    fn an_invalid_rule_is_an_error() {
        let argument = json!({ "index": 9, "value": 1, "op": "SCMP_CMP_EQ" });
        let rule = json!({ "names": ["close"], "action": "SCMP_ACT_TRAP", "args": [argument] });
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        assert!(compiled(profile).unwrap_err().starts_with("close: "));
        assert!(compiled(json!({ "defaultAction": "SCMP_ACT_NOTIFY" })).is_err());
    }
}
