//! What a container needs in its spec to drive a VF by vfio-pci: device nodes, the right to open
//! them, and the VF's PCI address in the environment, as the SR-IOV device plugin of Kubernetes gives
//! it (`PCIDEVICE_SENSORS=0000:01:10.0`).

use std::collections::BTreeMap;

use libcontainer::oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Spec};
use vf::VfioVf;

/// Adds the VFs to a spec. The engine's file is not changed.
pub(crate) fn add(spec: &mut Spec, vfs: &[VfioVf]) {
    if vfs.is_empty() {
        return;
    }
    add_devices(spec, vfs);
    let Some(mut process) = spec.process().clone() else { return };
    let mut environment = process.env().clone().unwrap_or_default();
    for (name, addresses) in variables(vfs) {
        let start = format!("{name}=");
        environment.retain(|variable| !variable.starts_with(&start));
        environment.push(start + &addresses);
    }
    process.set_env(Some(environment));
    spec.set_process(Some(process));
}

fn add_devices(spec: &mut Spec, vfs: &[VfioVf]) {
    let Some(mut linux) = spec.linux().clone() else { return };
    // Only the container's user may open the nodes.
    let user = spec.process().as_ref().map(|process| process.user());
    let (uid, gid) = user.map_or((0, 0), |user| (user.uid(), user.gid()));
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut devices = linux.devices().clone().unwrap_or_default();
    let mut rules = resources.devices().clone().unwrap_or_default();
    for node in vfs.iter().flat_map(|vf| &vf.nodes) {
        let mut device = LinuxDevice::default();
        device
            .set_path((&node.path).into())
            .set_typ(LinuxDeviceType::C)
            .set_major(node.major.into())
            .set_minor(node.minor.into())
            .set_file_mode(Some(0o600))
            .set_uid(Some(uid))
            .set_gid(Some(gid));
        let mut rule = LinuxDeviceCgroup::from(&device);
        rule.set_access(Some("rw".to_owned()));
        // The engine may have added the node of VFIO itself, which all VFs share.
        if !devices.iter().any(|present| present.path() == device.path()) {
            devices.push(device);
        }
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    resources.set_devices(Some(rules));
    linux.set_devices(Some(devices)).set_resources(Some(resources));
    spec.set_linux(Some(linux));
}

/// The name and the value of each variable. VFs of one pool are in one variable.
fn variables(vfs: &[VfioVf]) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for vf in vfs {
        let addresses = variables.entry(variable(&vf.pool)).or_default();
        if !addresses.is_empty() {
            addresses.push(',');
        }
        addresses.push_str(&vf.vf);
    }
    variables
}

/// A pool's name may have characters that a shell does not accept in the name of a variable.
fn variable(pool: &str) -> String {
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_uppercase(),
        false => '_',
    };
    format!("PCIDEVICE_{}", pool.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vf::DeviceNode;

    use super::*;

    fn vf(address: &str, group: u32, pool: &str) -> VfioVf {
        let node = |path: String, major, minor| DeviceNode { path, major, minor };
        let nodes = [
            node(format!("/dev/vfio/{group}"), 243, group),
            node("/dev/vfio/vfio".to_owned(), 10, 196),
        ];
        VfioVf { vf: address.to_owned(), pool: pool.to_owned(), nodes }
    }

    fn spec(linux: Value) -> Spec {
        let process = json!({
            "cwd": "/", "args": ["x"], "user": { "uid": 999, "gid": 998 },
            "env": ["PATH=/bin", "PCIDEVICE_SENSORS=other"],
        });
        let spec = json!({ "ociVersion": "1.0.2", "process": process, "linux": linux });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn each_vf_adds_its_group_and_all_share_one_node() {
        let present = json!({ "path": "/dev/vfio/vfio", "type": "c", "major": 10, "minor": 196 });
        let denied = json!({ "allow": false, "access": "rwm" });
        let mut spec = spec(json!({ "devices": [present], "resources": { "devices": [denied] } }));
        let vfs = [vf("0000:01:10.0", 7, "sensors"), vf("0000:01:10.2", 8, "sensors")];
        add(&mut spec, &vfs);
        let linux = serde_json::to_value(spec.linux()).unwrap();
        let devices = linux["devices"].as_array().unwrap();
        let paths: Vec<&Value> = devices.iter().map(|device| &device["path"]).collect();
        assert_eq!(paths, ["/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/8"]);
        let group = &devices[1];
        assert_eq!(
            (&group["uid"], &group["gid"], &group["fileMode"]),
            (&999.into(), &998.into(), &0o600.into())
        );
        let rules = linux["resources"]["devices"].as_array().unwrap();
        let allowed: Vec<&Value> = rules[1..].iter().map(|rule| &rule["minor"]).collect();
        assert_eq!(allowed, [7, 196, 8]);
        let environment = spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(environment, ["PATH=/bin", "PCIDEVICE_SENSORS=0000:01:10.0,0000:01:10.2"]);
    }

    #[test]
    fn a_container_without_resources_gets_rules_and_one_without_vfs_stays_as_it_is() {
        let mut with_vf = spec(json!({}));
        add(&mut with_vf, &[vf("0000:01:10.0", 7, "a.b-c")]);
        let linux = serde_json::to_value(with_vf.linux()).unwrap();
        assert_eq!(linux["resources"]["devices"].as_array().unwrap().len(), 2);
        let environment = with_vf.process().as_ref().unwrap().env().clone().unwrap();
        assert!(environment.contains(&"PCIDEVICE_A_B_C=0000:01:10.0".to_owned()));
        let mut without = spec(json!({}));
        add(&mut without, &[]);
        assert_eq!(without, spec(json!({})));
    }
}
