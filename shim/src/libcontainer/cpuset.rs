//! The CPUs and memory nodes of a container in a scope of systemd's. libcgroups asks systemd for them with numbers of 64 bits
//! where systemd wants bytes (`systemd/cpuset.rs`; systemd.resource-control(5), `AllowedCPUs`), which systemd refuses together
//! with all other limits of that message. So libcgroups is not told of them, and systemd by its own client. Writing to
//! the cgroup's files would not do: the controller need not be on there, and what systemd does not know of it may undo.

use std::path::Path;
use std::process::Command;

use libcontainer::oci_spec::runtime::{LinuxCpu, LinuxResources};

use crate::error::Error;

pub(crate) fn without_cpuset(resources: &LinuxResources) -> LinuxResources {
    let mut rest = resources.clone();
    if let Some(mut cpu) = rest.cpu().clone() {
        cpu.set_cpus(None).set_mems(None);
        rest.set_cpu(Some(cpu));
    }
    rest
}

/// The properties, none of which is empty: Go writes empty texts for what nobody set.
fn properties(cpu: &LinuxCpu) -> Vec<String> {
    let named = [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())];
    let set = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    set.filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// `cgroup`: below the root of cgroup v2; its last part is the scope. systemd answers within the 25 s of sd-bus, or its client
/// gives up.
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
        // An id, and so a scope, may begin with a dash.
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
    fn only_what_is_set_is_asked_for() {
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
