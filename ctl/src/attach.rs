//! `runvfctl attach`: gives a VF to a network namespace by hand, for containers without an engine
//! that knows runvf (systemd-nspawn, `ip netns`, LXC).

use std::path::{Component, Path, PathBuf};

use clap::Args;
use serde_json::json;
use vf::{AttachedVf, Host, MacAddress, NetnsContainer, Request};

use crate::error::Error;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The VLAN
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: u16,
    /// The network namespace: a path, or a name of `ip netns`
    #[arg(long, value_name = "PATH")]
    netns: PathBuf,
    /// The interface's name in the namespace
    #[arg(long, default_value = vf::DEFAULT_INTERFACE)]
    name: String,
    /// The tenant that the VLAN must belong to
    #[arg(long)]
    tenant: Option<String>,
    /// The pool that the VF comes from
    #[arg(long)]
    pool: Option<String>,
    /// The interface's MTU in bytes
    #[arg(long)]
    mtu: Option<u32>,
    /// The interface's MAC address
    #[arg(long)]
    mac: Option<MacAddress>,
    /// The 802.1p priority of the VLAN
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=7))]
    qos: Option<u8>,
    /// The VLAN protocol: 802.1q or 802.1ad
    #[arg(long)]
    proto: Option<String>,
    /// Whether the container may send: drop or allow
    #[arg(long)]
    transmit: Option<String>,
    /// The container's id in `status`, `release` and the audit log; the name of the namespace if
    /// omitted
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(host: &Host, options: &Options) -> Result<String, Error> {
    let netns = netns_path(&options.netns);
    let id = match &options.container {
        Some(id) => valid_id(id).then(|| id.clone()),
        None => default_id(&netns),
    };
    let no_id = || Error::Conflict {
        problem: "the container needs an id of 1 to 64 letters, digits, `-`, `_` or `.`".to_owned(),
        hint: "give one with --container".to_owned(),
    };
    let id = id.ok_or_else(no_id)?;
    let request = options.request()?;
    let grant = vf::authorize(host, request, &id).map_err(Error::of_options)?;
    let container = NetnsContainer { id, netns, network: None };
    let attached = grant.attach_to_netns(&container).map_err(Error::of_options)?;
    Ok(show(&attached, options.vlan, &container.id, options.json))
}

impl Options {
    fn request(&self) -> Result<Request, Error> {
        let of_interface = |key: &str| format!("{}{key}.{}", vf::PREFIX, self.name);
        let mut annotations = vec![(of_interface("vlan"), self.vlan.to_string())];
        let mtu = self.mtu.map(|mtu| mtu.to_string());
        let mac = self.mac.map(|mac| mac.to_string());
        let qos = self.qos.map(|qos| qos.to_string());
        let of_option = [
            ("pool", self.pool.clone()),
            ("mtu", mtu),
            ("mac", mac),
            ("qos", qos),
            ("proto", self.proto.clone()),
            ("transmit", self.transmit.clone()),
        ];
        for (key, value) in of_option {
            annotations.extend(value.map(|value| (of_interface(key), value)));
        }
        let tenant = self.tenant.clone().map(|tenant| (format!("{}tenant", vf::PREFIX), tenant));
        annotations.extend(tenant);
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let request = Request::from_annotations(pairs).map_err(Error::of_options)?;
        request.ok_or_else(|| Error::NoClaim { target: self.name.clone() })
    }
}

/// A name without a slash is one of `ip netns`.
fn netns_path(given: &Path) -> PathBuf {
    let mut components = given.components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) => Path::new("/run/netns").join(name),
        _ => given.to_owned(),
    }
}

/// The last component of the path, and `pid-7` for `/proc/7/ns/net`.
fn default_id(netns: &Path) -> Option<String> {
    let text = netns.to_str()?;
    let pid = text.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/ns/net"));
    let id = match pid {
        Some(pid) => format!("pid-{pid}"),
        None => netns.file_name()?.to_str()?.to_owned(),
    };
    valid_id(&id).then_some(id)
}

/// The characters are restricted because the id is printed to terminals.
fn valid_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(is_allowed)
}

fn show(attached: &[AttachedVf], vlan: u16, container: &str, json: bool) -> String {
    let lines = attached.iter().map(|AttachedVf { vf, interface, mac }| match json {
        true => {
            let vf = json!({
                "vf": vf, "vlan": vlan, "container": container, "interface": interface, "mac": mac.to_string(),
            });
            format!("{vf:#}\n")
        }
        false => {
            format!("{vf} attached: {interface} of {container}, VLAN {vlan}, MAC {mac}\n")
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Result<Options, clap::Error> {
        let fixed = ["attach", "--vlan", "100", "--netns", "mon"];
        let words = fixed.iter().chain(words);
        Command::try_parse_from(words).map(|command| command.options)
    }

    #[test]
    fn options_become_a_request() {
        let words = [
            "--name",
            "x0",
            "--tenant",
            "acme",
            "--pool",
            "p",
            "--mtu",
            "9000",
            "--mac",
            "02:00:00:00:01:00",
        ];
        let request = options(&words).unwrap().request().unwrap();
        let [one] = &request.interfaces[..] else { panic!("{request:?}") };
        assert_eq!((request.tenant.as_deref(), one.pool.as_deref()), (Some("acme"), Some("p")));
        assert_eq!((one.name.as_str(), one.vlan, one.mtu), ("x0", 100, Some(9000)));
        assert_eq!(one.mac.map(|mac| mac.to_string()).as_deref(), Some("02:00:00:00:01:00"));
        let words = ["--qos", "3", "--proto", "802.1ad", "--transmit", "drop"];
        let request = options(&words).unwrap().request().unwrap();
        let one = &request.interfaces[0];
        assert_eq!((one.qos, one.proto), (3, vf::VlanProto::Dot1Ad));
        assert_eq!(one.transmit, Some(vf::Transmit::Drop));
        assert_eq!(options(&[]).unwrap().request().unwrap().interfaces[0].name, "mon0");
        for wrong in [&["--mac", "x"][..], &["--vlan", "4095"], &["--mtu", "x"]] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_name_is_refused_in_the_words_of_the_options() {
        let line = options(&["--name", "a/b"]).unwrap().request().unwrap_err().line();
        let expected = "--name a/b has an interface name with a character that is not allowed; ";
        assert!(line.starts_with(expected), "{line}");
        let line = options(&["--pool", "a b"]).unwrap().request().unwrap_err().line();
        assert!(line.starts_with("--pool a b is not the name of a pool; "), "{line}");
    }

    #[test]
    fn the_id_comes_from_the_path_unless_it_would_be_strange() {
        let id = |path: &str| default_id(&netns_path(Path::new(path)));
        assert_eq!(netns_path(Path::new("mon")), Path::new("/run/netns/mon"));
        assert_eq!(netns_path(Path::new("./mon")), Path::new("./mon"));
        assert_eq!(id("mon").as_deref(), Some("mon"));
        assert_eq!(id("/run/docker/netns/af1c").as_deref(), Some("af1c"));
        assert_eq!(id("/proc/7/ns/net").as_deref(), Some("pid-7"));
        for path in ["/", "", "/x/a b", "/x/(probe)"] {
            assert_eq!(id(path), None, "{path}");
        }
    }

    #[test]
    fn output_has_the_interface_and_its_address() {
        let mac = "02:00:00:00:01:00".parse().unwrap();
        let attached = [AttachedVf { vf: "0000:01:10.0".into(), interface: "mon0".into(), mac }];
        assert_eq!(
            show(&attached, 100, "c", false),
            "0000:01:10.0 attached: mon0 of c, VLAN 100, MAC 02:00:00:00:01:00\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&show(&attached, 100, "c", true)).unwrap();
        assert_eq!(
            (&json["vf"], &json["mac"]),
            (&json!("0000:01:10.0"), &json!("02:00:00:00:01:00"))
        );
    }
}
