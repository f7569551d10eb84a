use super::*;

fn parse(annotations: &[(&str, &str)]) -> Result<Option<Request>, String> {
    Request::from_annotations(annotations.iter().copied()).map_err(|error| error.line())
}

fn refused(annotations: &[(&str, &str)]) -> String {
    parse(annotations).expect_err("must be refused")
}

#[test]
fn annotations_of_other_tools_are_no_request() {
    assert_eq!(parse(&[("org.opencontainers.image.title", "x"), ("io.runv", "1")]), Ok(None));
}

#[test]
fn a_vlan_without_interface_name_requests_mon0() {
    let request = parse(&[("io.runvf.vlan", "100")]).unwrap().unwrap();
    assert_eq!(request.tenant, None);
    assert_eq!(
        request.interfaces,
        [Interface {
            name: "mon0".to_owned(),
            vlan: 100,
            pool: None,
            mtu: None,
            mac: None,
            qos: 0,
            proto: VlanProto::Dot1Q,
            transmit: None,
            vfio: false,
        }]
    );
}

#[test]
fn each_option_applies_to_its_interface() {
    let request = parse(&[
        ("io.runvf.vlan", "1"),
        ("io.runvf.vlan.tap1", "4094"),
        ("io.runvf.mtu.tap1", "9000"),
        ("io.runvf.mac.tap1", "02:00:00:00:00:0A"),
        ("io.runvf.qos.tap1", "7"),
        ("io.runvf.proto.tap1", "802.1AD"),
        ("io.runvf.pool.tap1", "west"),
        ("io.runvf.transmit.tap1", "allow"),
        ("io.runvf.driver", "vfio-pci"),
        ("io.runvf.tenant", "acme"),
    ]);
    let request = request.unwrap().unwrap();
    assert_eq!(request.tenant.as_deref(), Some("acme"));
    let names: Vec<_> =
        request.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["mon0", "tap1"]);
    let tap1 = &request.interfaces[1];
    assert_eq!((tap1.vlan, tap1.mtu, tap1.qos), (4094, Some(9000), 7));
    assert_eq!(tap1.mac.unwrap().to_string(), "02:00:00:00:00:0a");
    assert_eq!((tap1.proto, tap1.pool.as_deref()), (VlanProto::Dot1Ad, Some("west")));
    assert_eq!((tap1.transmit, tap1.vfio), (Some(Transmit::Allow), false));
    assert!(request.interfaces[0].vfio);
    assert_eq!((&request.interfaces[0].pool, request.interfaces[0].transmit), (&None, None));
}

#[test]
fn transmit_is_drop_or_allow() {
    for value in ["", "yes", "Allow"] {
        let line = refused(&[("io.runvf.vlan", "1"), ("io.runvf.transmit", value)]);
        assert_eq!(line, format!("io.runvf.transmit={value} is unknown; give drop or allow"));
    }
}

#[test]
fn a_vlan_is_a_number_from_1_to_4094() {
    for value in ["0", "4095", "5000", "abc", "", "+5", " 5", "5 ", "-1", "99999999999", "0x10"] {
        let shown: String = value.to_owned();
        assert_eq!(
            refused(&[("io.runvf.vlan", value)]),
            format!("io.runvf.vlan={shown} is not a VLAN; give a number from 1 to 4094")
        );
    }
}

#[test]
fn the_error_for_a_misspelt_key_suggests_the_nearest() {
    assert_eq!(
        refused(&[("io.runvf.vlna", "100")]),
        "io.runvf.vlna is not an annotation of runvf; did you mean `io.runvf.vlan`?"
    );
    assert!(refused(&[("io.runvf.tennant", "x")]).ends_with("did you mean `io.runvf.tenant`?"));
    assert!(refused(&[("io.runvf.", "x")]).contains("is not an annotation of runvf"));
}

#[test]
fn two_interfaces_with_one_name_are_refused() {
    assert_eq!(
        refused(&[("io.runvf.vlan", "100"), ("io.runvf.vlan.mon0", "200")]),
        "io.runvf.vlan and io.runvf.vlan.mon0 both ask for an interface named `mon0`; \
         give one of them another name"
    );
}

#[test]
fn interface_names_that_are_not_allowed_are_refused() {
    for name in ["lo", "eth0/x", "a23456789012345678901", "", ".", "..", "a b", "a:1", "a%d", "all"]
    {
        let key = format!("io.runvf.vlan.{name}");
        let line = refused(&[(&key, "100")]);
        assert!(line.starts_with(&key), "{line}");
        assert!(line.contains("; an interface name is 1 to 15"), "{line}");
    }
    assert!(parse(&[("io.runvf.vlan.a23456789012345", "100")]).is_ok());
}

#[test]
fn an_option_without_a_vlan_is_refused() {
    assert_eq!(
        refused(&[("io.runvf.vlan", "5"), ("io.runvf.mtu.tap1", "1500")]),
        "io.runvf.mtu.tap1 is set, but no VLAN is requested for interface `tap1`; \
         add `io.runvf.vlan.tap1=<1-4094>`"
    );
    assert!(refused(&[("io.runvf.tenant", "acme")]).contains("is set, but no VLAN is requested; "));
}

#[test]
fn values_outside_their_range_are_refused() {
    let vlan = ("io.runvf.vlan", "5");
    for mac in ["01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "x"] {
        assert!(refused(&[vlan, ("io.runvf.mac", mac)]).contains("not a unicast MAC"));
    }
    assert!(refused(&[vlan, ("io.runvf.proto", "qinq")]).contains("give 802.1q or 802.1ad"));
    assert!(refused(&[vlan, ("io.runvf.qos", "8")]).contains("from 0 to 7"));
    assert!(refused(&[vlan, ("io.runvf.mtu", "67")]).contains("from 68 to 65535"));
}

#[test]
fn a_hostile_value_is_escaped_and_shortened() {
    let line = refused(&[("io.runvf.vlan", "1\n\u{1b}[31m{\"level\":\"error\"}")]);
    assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
    let long = "9".repeat(1 << 20);
    assert!(refused(&[("io.runvf.vlan", &long)]).len() < 200);
}

#[test]
fn a_request_has_a_bounded_number_of_interfaces() {
    let annotations = |count: usize| -> Vec<(String, String)> {
        (0..count).map(|n| (format!("io.runvf.vlan.tap{n:02}"), "7".to_owned())).collect()
    };
    let parse = |count: usize| {
        let annotations = annotations(count);
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Request::from_annotations(pairs).map(|request| request.unwrap().interfaces.len())
    };
    assert_eq!(parse(16).unwrap(), 16);
    assert_eq!(
        parse(17).unwrap_err().line(),
        "io.runvf.vlan.tap16 asks for one interface too many; \
         a container has at most 16 interfaces of runvf"
    );
}
