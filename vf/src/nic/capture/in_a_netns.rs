//! Tests of the settings on veths, which have channels and offloads, and no rings.

use super::*;
use crate::kernel::in_a_netns::{ip, with_veths};
use crate::policy::config::Interrupts;

fn sensor() -> Capture {
    Capture {
        channels: Figure::Number(1),
        rx_ring: Figure::Keep,
        rx_usecs: Figure::Number(125),
        offloads: Offloads::Frames,
        interrupts: Interrupts::Keep,
    }
}

fn apply_to(name: &str, want: &Capture) -> Result<(), Error> {
    let netlink = Netlink::open()?;
    let link = netlink.links()?.into_iter().find(|link| link.name == name);
    apply(&netlink, link.map_or(0, |link| link.ifindex), name, "v", want)
}

fn with_four_channels(test: impl FnOnce() + Send) {
    with_veths(|| {
        ip(
            "link add four0 numrxqueues 4 numtxqueues 4 type veth peer name four1 numrxqueues 4 numtxqueues 4",
        );
        test();
    });
}

#[test]
fn channels_and_offloads_are_set_and_read_back() {
    with_four_channels(|| {
        let before = CaptureState::read("four0").unwrap();
        assert_eq!(before.channels, Some(Channels { receiving: 4, max: 4 }));
        apply_to("four0", &sensor()).unwrap();
        let after = CaptureState::read("four0").unwrap();
        assert_eq!(after.channels.unwrap().receiving, 1);
        // The change of the channels has opened it for a moment.
        let flags = ip("link show four0")[0]["flags"].to_string();
        assert!(!flags.contains("\"UP\""), "it is down again: {flags}");
        assert_eq!(after.merging().count(), 0, "{:?}", after.offloads);
        let is_on = |name: &str| after.offloads.iter().any(|offload| offload == name);
        assert!(!is_on("tx-generic-segmentation") && !is_on("tx-tcp-segmentation"));
        assert!(is_on("tx-scatter-gather"), "{:?}", after.offloads);
        apply_to("four0", &sensor()).unwrap();
    });
}

/// The second opinion on the names and bits of offloads: sysfs has no such file, and `ip` shows the
/// software GRO only by its size, so an offload is turned on and off and read each time.
#[test]
fn an_offload_is_found_by_its_name() {
    with_four_channels(|| {
        let has = |name: &str| {
            let all = ethtool::offloads("four0").unwrap();
            all.iter().find(|offload| offload.name == name).map(|offload| offload.active)
        };
        assert_eq!(has("tx-scatter-gather"), Some(true));
        assert_eq!(has("none"), None);
        ethtool::turn_offloads_off("four0", &["tx-scatter-gather"]).unwrap();
        assert_eq!(has("tx-scatter-gather"), Some(false));
        assert_eq!(has("tx-generic-segmentation"), Some(false), "it needs scatter-gather");
        assert_eq!(has("tx-vlan-hw-insert"), Some(true), "others stay");
    });
}

#[test]
fn a_setting_beyond_the_driver_is_refused_with_a_remedy() {
    with_four_channels(|| {
        let line = |want: &Capture| apply_to("four0", want).unwrap_err().line();
        let many = Capture { channels: Figure::Number(8), ..sensor() };
        assert!(line(&many).starts_with("four0 (VF v): "), "{}", line(&many));
        assert!(line(&many).contains("\"keep\" leaves it as the driver sets it"));
        let missing = apply_to("none0", &sensor()).unwrap_err().line();
        assert_eq!(missing, "cannot read the settings of none0 (VF v): No such device");
    });
}
