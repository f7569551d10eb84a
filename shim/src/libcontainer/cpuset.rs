//! The CPUs and memory nodes of a container in a systemd scope. libcgroups sends them to systemd as
//! 64-bit numbers, but systemd expects bytes (`systemd/cpuset.rs`; systemd.resource-control(5),
//! `AllowedCPUs`). systemd then refuses them and all other limits of that message. So runvf removes
//! them from the limits for libcgroups and sets them with systemctl(1). The cgroup's files are no
//! alternative: the controller may be disabled there, and systemd may undo settings that it does not
//! know.

use std::path::Path;
use std::process::Command;

use libcontainer::oci_spec::runtime::{LinuxCpu, LinuxResources};

use crate::error::Error;

/// Returns the limits without CPUs and memory nodes.
pub(crate) fn without_cpuset(resources: &LinuxResources) -> LinuxResources {
    let mut rest = resources.clone();
    if let Some(mut cpu) = rest.cpu().clone() {
        cpu.set_cpus(None).set_mems(None);
        rest.set_cpu(Some(cpu));
    }
    rest
}

/// The systemd properties. Empty values are omitted, because Go programs write an empty string for a
/// value that is not set.
fn properties(cpu: &LinuxCpu) -> Vec<String> {
    let named = [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())];
    let set = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    set.filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Sets the properties of the scope. `cgroup`: relative to the root of cgroup v2; its last component
/// is the scope. systemctl gives up if systemd does not answer within 25 s, the timeout of sd-bus.
pub(crate) fn apply(
    resources: Option<&LinuxResources>,
    id: &str,
    cgroup: &Path,
) -> Result<(), Error> {
    let properties = resources.and_then(|resources| resources.cpu().as_ref()).map(properties);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return Ok(());
    };
    let failed = |problem: String| Error::Cpuset { id: id.to_owned(), problem };
    let scope = cgroup.file_name().unwrap_or_default();
    let output = Command::new("systemctl")
        // `--`, because a container's id, and so its scope, may begin with a dash.
        .args(["set-property", "--runtime", "--"])
        .arg(scope)
        .args(&properties)
        .output()
        .map_err(|error| failed(format!("systemctl: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_omitted() {
        let of = |cpus: &str, mems: &str| {
            let mut cpu = LinuxCpu::default();
            cpu.set_cpus(Some(cpus.to_owned())).set_mems(Some(mems.to_owned()));
            properties(&cpu)
        };
        assert_eq!(of("0-2,5", "0"), ["AllowedCPUs=0-2,5", "AllowedMemoryNodes=0"]);
        assert_eq!(of("1", ""), ["AllowedCPUs=1"]);
        assert!(of("", "").is_empty() && properties(&LinuxCpu::default()).is_empty());
    }
}
