//! `linux.netDevices` of a container's spec: the container runtime moves these netdevs of the host
//! into the container by itself.
//!
//! A VF that came into a container in this way would have no claim: no check of the policy, no
//! entry of the audit log, and no scrub. So a spec that names a netdev of runvf is refused.

use std::path::Path;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit::{Entry, Event, append_refusal};
use crate::lifecycle::error::LifecycleError;
use crate::nic::managed::{Managed, find_managed};
use crate::nic::pf::pci_named;
use crate::policy::config::Config;
use crate::policy::error::PolicyError;

/// An entry of `linux.netDevices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// The netdev's name on the host.
    pub host_name: String,
    /// Its name inside the container.
    pub name: String,
}

/// Refuses the netdevs of the PFs in the configuration and of their VFs. Changes nothing but the
/// audit log.
///
/// `init`: the container's init process, if the container exists. The runtime may have moved the
/// netdevs by then (runc and crun move them before the createRuntime hooks), so the container's
/// network namespace is searched for them, too.
///
/// # Errors
/// [`LifecycleError::ManagedNetdev`]. As [`Config::load`], except that a missing configuration
/// manages nothing.
pub fn refuse_managed_netdevs(
    host: &Host,
    container: &str,
    init: Option<i32>,
    devices: &[NetDevice],
) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    let config = match Config::load(host) {
        Err(Error::Policy(PolicyError::NoConfig { .. })) => return Ok(()),
        config => config?,
    };
    let sysfs = Sysfs(host.sysfs.clone());
    let links = init.map_or_else(|| Ok(Vec::new()), links_inside)?;
    let moved = |name: &str| links.iter().find(|link| link.name == name)?.parent.clone();
    for device in devices {
        let pci = pci_named(&sysfs, &device.host_name)?.or_else(|| moved(&device.name));
        let Some(pci) = pci else { continue };
        if let Some(managed) = find_managed(&sysfs, &config, &pci)? {
            let error = Error::Lifecycle(LifecycleError::ManagedNetdev {
                netdev: device.host_name.clone(),
                pf: managed.pf.clone(),
                vf: managed.vf.clone(),
            });
            record_refusal(host, container, init, device, managed, &error);
            return Err(error);
        }
    }
    Ok(())
}

fn links_inside(init: i32) -> Result<Vec<Link>, Error> {
    Netns::open(Path::new(&format!("/proc/{init}/ns/net")))?.inside(|| Netlink::open()?.links())
}

/// Writes the audit entry, with VLAN 0, because the container asked for no VLAN. Ignores a failure
/// to write, as for every refusal.
fn record_refusal(
    host: &Host,
    container: &str,
    pid: Option<i32>,
    device: &NetDevice,
    managed: Managed,
    error: &Error,
) {
    let entry = Entry {
        vf: managed.vf,
        pf: Some(managed.pf),
        container: container.to_owned(),
        interface: device.name.clone(),
        pid,
        reason: Some(error.line()),
        ..Entry::without_vf(Event::Refused)
    };
    append_refusal(host, &entry);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A host with the managed PF pf0 and its VF v0, and with pf1 in no pool and its VF v1.
    fn host(root: &Path) -> Host {
        let devices = root.join("sys/bus/pci/devices");
        for (pci, name, pf) in [
            ("10000:e1:00.0", "pf0", None),
            ("10000:e1:02.0", "v0", Some("10000:e1:00.0")),
            ("0000:41:00.0", "pf1", None),
            ("0000:41:02.0", "v1", Some("0000:41:00.0")),
        ] {
            let device = devices.join(pci);
            fs::create_dir_all(device.join("net").join(name)).unwrap();
            let class = root.join("sys/class/net").join(name);
            fs::create_dir_all(&class).unwrap();
            symlink(&device, class.join("device")).unwrap();
            if let Some(pf) = pf {
                symlink(format!("../{pf}"), device.join("physfn")).unwrap();
                symlink(format!("../{pci}"), devices.join(pf).join("virtfn0")).unwrap();
            }
        }
        let host = Host { config: root.join("config.toml"), ..Host::with_root(root) };
        fs::write(&host.config, "pool = [{ name = \"p\", pfs = [\"pf0\"] }]").unwrap();
        host
    }

    fn device(host_name: &str) -> NetDevice {
        NetDevice { host_name: host_name.to_owned(), name: "x0".to_owned() }
    }

    #[test]
    fn a_netdev_of_a_managed_pf_or_vf_is_refused_with_an_audit_entry() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let refused = |names: &[&str]| {
            let devices: Vec<NetDevice> = names.iter().copied().map(device).collect();
            let refused = refuse_managed_netdevs(&host, "c", None, &devices);
            refused.map_err(|error| error.line())
        };
        let hint = "remove it from linux.netDevices; a container gets a VF by the annotation \
                    `io.runvf.vlan=<1-4094>`";
        assert_eq!(refused(&["v1", "pf1", "none0"]), Ok(()));
        assert!(!host.audit.exists());
        let of_vf = format!(
            "cannot move `v0` into the container by linux.netDevices: it is VF 10000:e1:02.0 of \
             PF pf0, which runvf manages; {hint}"
        );
        assert_eq!(refused(&["v1", "v0"]), Err(of_vf.clone()));
        let of_pf = format!(
            "cannot move `pf0` into the container by linux.netDevices: it is PF pf0, which runvf \
             manages; {hint}"
        );
        assert_eq!(refused(&["pf0"]), Err(of_pf.clone()));

        let log = fs::read_to_string(&host.audit).unwrap();
        let entries: Vec<Entry> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &entries[..] else { panic!("{log}") };
        assert_eq!((first.event, first.vlan, first.container.as_str()), (Event::Refused, 0, "c"));
        assert_eq!((first.vf.as_deref(), first.interface.as_str()), (Some("10000:e1:02.0"), "x0"));
        assert_eq!((first.reason.as_ref(), second.reason.as_ref()), (Some(&of_vf), Some(&of_pf)));
        assert_eq!((second.vf.as_deref(), second.pf.as_deref()), (None, Some("pf0")));
        assert!(!host.run.join("claims").exists(), "the refusal wrote a claim");
    }

    #[test]
    fn without_a_configuration_every_netdev_may_be_moved() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        fs::remove_file(&host.config).unwrap();
        refuse_managed_netdevs(&host, "c", None, &[device("v0")]).unwrap();
        fs::write(&host.config, "[[pool").unwrap();
        assert!(refuse_managed_netdevs(&host, "c", None, &[device("v0")]).is_err());
        assert!(refuse_managed_netdevs(&host, "c", None, &[]).is_ok());
    }
}
