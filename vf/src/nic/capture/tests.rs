use super::*;
use crate::policy::config::Interrupts;

fn sensor() -> Capture {
    Capture {
        channels: Figure::Number(1),
        rx_ring: Figure::Max,
        rx_usecs: Figure::Number(125),
        offloads: Offloads::Frames,
        interrupts: Interrupts::Cpuset,
    }
}

/// As iavf has its netdev after the bind.
fn iavf() -> CaptureState {
    CaptureState {
        channels: Some(Channels { receiving: 4, max: 4 }),
        symmetric: Some(false),
        rx_ring: Some(RxRing { size: 512, max: 4096 }),
        coalesce: Some(RxCoalesce { usecs: 50, adaptive: true }),
        offloads: ["rx-checksum", "rx-gro", "tx-tcp-segmentation"].map(str::to_owned).to_vec(),
    }
}

fn after() -> CaptureState {
    CaptureState {
        channels: Some(Channels { receiving: 1, max: 4 }),
        symmetric: Some(false),
        rx_ring: Some(RxRing { size: 4096, max: 4096 }),
        coalesce: Some(RxCoalesce { usecs: 126, adaptive: false }),
        offloads: vec!["rx-checksum".to_owned()],
    }
}

#[test]
fn a_sensor_gets_one_channel_a_full_ring_and_unmerged_frames_in_this_order() {
    let expected = [
        Change::Channels(1),
        Change::RxRing(4096),
        Change::RxUsecs(125),
        Change::OffloadsOff(vec!["rx-gro".to_owned(), "tx-tcp-segmentation".to_owned()]),
    ];
    assert_eq!(iavf().changes(&sensor()), expected);
    assert_eq!(iavf().unsupported(&sensor()), None);
}

#[test]
fn a_rounded_moderation_is_no_difference() {
    assert_eq!(after().difference(&sensor()), None);
    let far = RxCoalesce { usecs: 140, adaptive: false };
    let state = CaptureState { coalesce: Some(far), ..after() };
    assert_eq!(state.difference(&sensor()).as_deref(), Some("has 140 µs instead of 125"));
}

#[test]
fn a_setting_that_the_driver_did_not_apply_is_found() {
    for (state, problem) in [
        (CaptureState { channels: iavf().channels, ..after() }, "has 4 channels instead of 1"),
        (CaptureState { rx_ring: iavf().rx_ring, ..after() }, "has a ring of 512 instead of 4096"),
        (CaptureState { coalesce: iavf().coalesce, ..after() }, "has 50 µs instead of 125"),
        (CaptureState { offloads: iavf().offloads, ..after() }, "still has rx-gro"),
    ] {
        assert_eq!(state.difference(&sensor()).as_deref(), Some(problem));
    }
}

#[test]
fn a_driver_without_a_setting_is_left_alone() {
    // igbvf has no channels and no RSS key.
    let igbvf = CaptureState { channels: None, symmetric: None, ..after() };
    assert_eq!(igbvf.unsupported(&sensor()), None);
    assert_eq!(igbvf.difference(&sensor()), None);
    let bare = CaptureState::default();
    assert!(bare.changes(&sensor()).is_empty());
}

#[test]
fn several_channels_have_a_symmetric_key_or_are_refused() {
    let several = Capture { channels: Figure::Max, ..sensor() };
    assert_eq!(iavf().changes(&several)[0], Change::SymmetricKey);
    assert_eq!(iavf().difference(&several).as_deref(), Some("has no symmetric RSS key"));
    let symmetric = CaptureState { symmetric: Some(true), ..iavf() };
    assert!(!symmetric.changes(&several).contains(&Change::SymmetricKey));
    let without_key = CaptureState { symmetric: None, ..iavf() };
    let problem = without_key.unsupported(&several).unwrap();
    assert!(problem.contains("its driver has no key"), "{problem}");
    let fixed = CaptureState { channels: None, ..iavf() };
    let two = Capture { channels: Figure::Number(2), ..sensor() };
    assert!(fixed.unsupported(&two).unwrap().contains("fixed number of channels"));
    assert_eq!(fixed.unsupported(&several), None, "its maximum is what it has");
}

/// bnxt has larger rings once its hardware GRO is off.
#[test]
fn a_maximum_that_grows_with_another_change_is_no_difference() {
    let want = iavf().resolved(&sensor());
    let larger = after().rx_ring.map(|have| RxRing { max: 2 * have.max, ..have });
    let grown = CaptureState { rx_ring: larger, ..after() };
    assert_eq!(grown.difference(&want), None);
    assert!(grown.difference(&sensor()).is_some());
}

#[test]
fn a_figure_above_the_maximum_names_it() {
    let large = Capture { rx_ring: Figure::Number(8192), ..sensor() };
    let problem = iavf().unsupported(&large).unwrap();
    assert_eq!(problem, "`rx_ring` is 8192, and its driver supports at most 4096");
}

#[test]
fn offloads_can_all_be_turned_off_or_kept() {
    let off = Capture { offloads: Offloads::Off, ..sensor() };
    let all = iavf().changes(&off).pop().unwrap();
    assert_eq!(all, Change::OffloadsOff(iavf().offloads));
    // A checksum offload that stays on hides no frame.
    assert_eq!(after().difference(&off), None);
    let keep = Capture {
        channels: Figure::Keep,
        rx_ring: Figure::Keep,
        rx_usecs: Figure::Keep,
        offloads: Offloads::Keep,
        ..sensor()
    };
    assert!(iavf().changes(&keep).is_empty());
}

/// A driver that cannot report a setting does not matter to a container that asks for none.
#[test]
fn without_a_wanted_setting_the_driver_is_not_asked() {
    let netlink = Netlink::open().unwrap();
    let apply_to_missing = |want: Capture| apply(&netlink, 0, "none0", "v", &want);
    apply_to_missing(Capture { interrupts: Interrupts::Cpuset, ..Capture::KEEP }).unwrap();
    assert!(apply_to_missing(Capture { rx_ring: Figure::Number(64), ..Capture::KEEP }).is_err());
}
