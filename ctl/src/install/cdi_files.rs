//! The CDI files: one for the VLANs and one for the tenants, because a CDI file has one kind
//! (github.com/cncf-tags/container-device-interface, `SPEC.md`).
//!
//! The request is in the arguments of the hook: engines do not pass the annotations of a CDI device
//! on to the runtime.

use serde_json::json;
use vf::{Config, Device, VlanProto};

use super::engine::HOOK;

/// Older than the newest version, because Docker 26 and Podman 5.4 must read it. Unknown fields
/// make them drop the whole file.
const VERSION: &str = "0.6.0";
/// In seconds, as in `packaging/hooks.d`.
const HOOK_TIMEOUT: u32 = 240;

/// The paths of all files, and the kinds of their devices.
pub(super) const VLANS: (&str, &str) = ("/etc/cdi/runvf-vlan.json", "runvf.io/vlan");
pub(super) const TENANTS: (&str, &str) = ("/etc/cdi/runvf-tenant.json", "runvf.io/tenant");

/// A CDI file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CdiFile {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    /// The names of its devices.
    pub(super) names: Vec<String>,
    /// `None`: without a device a file is not valid, so there must be no file.
    pub(super) text: Option<String>,
}

/// The files that the configuration asks for.
pub(super) fn files(config: &Config) -> [CdiFile; 2] {
    let vlans = config.vlan_devices().into_iter();
    let tenants = config.tenant_devices().into_iter();
    let by_tenant = |device: Device| device.tenant.clone().map(|tenant| (tenant, device));
    [
        file(VLANS, vlans.map(|device| (device.vlan.to_string(), device)).collect()),
        file(TENANTS, tenants.filter_map(by_tenant).filter(|(name, _)| is_name(name)).collect()),
    ]
}

/// Whether CDI allows this name of a device. A name that it does not allow would make the engines
/// drop the whole file. The other characters of a tenant's name are allowed.
fn is_name(tenant: &str) -> bool {
    let ends = [tenant.bytes().next(), tenant.bytes().last()];
    ends.iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

fn file((path, kind): (&'static str, &'static str), devices: Vec<(String, Device)>) -> CdiFile {
    let lines: Vec<String> = devices.iter().map(|(name, device)| line(name, device)).collect();
    // One line for each device: there may be 4094.
    let text = (!lines.is_empty()).then(|| {
        format!(
            "{{\n\"cdiVersion\": \"{VERSION}\",\n\"kind\": \"{kind}\",\n\"containerEdits\": {},\n\"devices\": [\n{}\n]\n}}\n",
            hook("poststop", &["detach"]),
            lines.join(",\n"),
        )
    });
    CdiFile { path, kind, names: devices.into_iter().map(|(name, _)| name).collect(), text }
}

fn line(name: &str, device: &Device) -> String {
    let (vlan, proto) = (device.vlan.to_string(), device.proto.to_string());
    let mut arguments = vec!["attach", "--vlan", &vlan];
    if device.proto != VlanProto::default() {
        arguments.extend(["--proto", &proto]);
    }
    if let Some(tenant) = &device.tenant {
        arguments.extend(["--tenant", tenant]);
    }
    json!({ "name": name, "containerEdits": hook("createRuntime", &arguments) }).to_string()
}

fn hook(stage: &str, arguments: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = ["runvf-hook"].iter().chain(arguments).copied().collect();
    json!({ "hooks": [{
        "hookName": stage,
        "path": HOOK,
        "args": args,
        "timeout": HOOK_TIMEOUT,
    }] })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;

    fn made(tenants: &str) -> [CdiFile; 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, format!("[[pool]]\nname = \"a\"\npfs = [\"x\"]\n{tenants}")).unwrap();
        files(&Config::load(&vf::Host { config: path, ..vf::Host::default() }).unwrap())
    }

    fn json(file: &CdiFile) -> Value {
        serde_json::from_str(file.text.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn without_tenants_there_is_one_file_with_all_vlans() {
        let [vlans, tenants] = made("");
        assert_eq!((tenants.text, tenants.names.len()), (None, 0));
        let json = json(&vlans);
        assert_eq!(
            (&json["cdiVersion"], &json["kind"]),
            (&"0.6.0".into(), &"runvf.io/vlan".into())
        );
        assert_eq!(json["containerEdits"]["hooks"][0]["hookName"], "poststop");
        let devices = json["devices"].as_array().unwrap();
        assert_eq!((devices.len(), &devices[4093]["name"]), (4094, &"4094".into()));
        let hook = &devices[99]["containerEdits"]["hooks"][0];
        assert_eq!(hook["args"], json!(["runvf-hook", "attach", "--vlan", "100"]));
        assert_eq!((&hook["hookName"], &hook["path"]), (&"createRuntime".into(), &HOOK.into()));
    }

    #[test]
    fn a_tenant_with_one_vlan_is_a_device() {
        let [vlans, tenants] = made(
            "[[tenant]]\nname = \"acme\"\nvlans = [100]\nproto = \"802.1ad\"\n\
             [[tenant]]\nname = \"bravo\"\nvlans = [\"200-201\"]\n\
             [[tenant]]\nname = \"-x\"\nvlans = [300]\n",
        );
        assert_eq!(vlans.names, ["100", "200", "201", "300"]);
        // CDI allows no device `-x`.
        assert_eq!(tenants.names, ["acme"]);
        let json = json(&tenants);
        let args = &json["devices"][0]["containerEdits"]["hooks"][0]["args"];
        let expected =
            ["runvf-hook", "attach", "--vlan", "100", "--proto", "802.1ad", "--tenant", "acme"];
        assert_eq!(args, &json!(expected));
    }
}
