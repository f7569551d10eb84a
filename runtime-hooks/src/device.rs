//! The options of `attach` that name a CDI device. `runvfctl install cdi` writes them into the CDI
//! files, because an engine does not pass a CDI device's annotations on to hooks.

use clap::Args;
use vf::{Device, VlanProto};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct Options {
    /// Also attach a VF on this VLAN, under the next free name: mon0, mon1, …
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
    /// The protocol of the VLAN tag
    #[arg(long, requires = "vlan", value_parser = proto, default_value = "802.1q")]
    proto: VlanProto,
    /// The tenant that the VLAN must belong to
    #[arg(long, requires = "vlan")]
    tenant: Option<String>,
}

impl Options {
    pub(crate) fn device(&self) -> Option<Device> {
        let vlan = self.vlan?;
        Some(Device { vlan, proto: self.proto, tenant: self.tenant.clone() })
    }
}

fn proto(text: &str) -> Result<VlanProto, String> {
    match text {
        "802.1q" => Ok(VlanProto::Dot1Q),
        "802.1ad" => Ok(VlanProto::Dot1Ad),
        _ => Err("give 802.1q or 802.1ad".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn device(line: &str) -> Option<Option<Device>> {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).ok().map(|line| line.options.device())
    }

    #[test]
    fn a_device_has_a_vlan_and_may_have_a_tenant() {
        assert_eq!(device(""), Some(None));
        let plain = Device { vlan: 100, proto: VlanProto::Dot1Q, tenant: None };
        assert_eq!(device("--vlan 100"), Some(Some(plain.clone())));
        let all = Device { proto: VlanProto::Dot1Ad, tenant: Some("acme".to_owned()), ..plain };
        assert_eq!(device("--vlan 100 --proto 802.1ad --tenant acme"), Some(Some(all)));
        for wrong in ["--vlan 0", "--vlan 4095", "--vlan x", "--tenant acme", "--vlan 1 --proto q"]
        {
            assert_eq!(device(wrong), None, "{wrong}");
        }
    }
}
