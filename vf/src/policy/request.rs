//! `io.runvf.*` annotations → a validated [`Request`].
//!
//! Two stages: what was typed is sorted by interface name first, then every interface is resolved as a whole, so that
//! no caller ever sees half a request. Nothing here looks at the machine.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::vlan::VlanProto;
use crate::policy::error::PolicyError;
use crate::policy::suggest::nearest;

/// Every annotation of runvf begins with this.
pub const PREFIX: &str = "io.runvf.";

/// The name of the interface that `io.runvf.vlan` (with no name of its own) asks for.
pub const DEFAULT_INTERFACE: &str = "mon0";

/// `IFNAMSIZ` less the closing zero, `include/uapi/linux/if.h`.
const LONGEST_NAME: usize = 15;

/// 68 is the least that IPv4 allows (RFC 791); drivers bound the rest themselves.
pub(crate) const MTU: RangeInclusive<u32> = 68..=65535;

/// The keys that take an interface's name as a suffix, beside `tenant`, which does not.
const PER_INTERFACE: [&str; 6] = ["vlan", "pool", "mtu", "mac", "qos", "proto"];

/// What a container asks for: one VF for every interface, never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks. `None`: nobody was named.
    pub tenant: Option<String>,
    /// In the order of their names.
    pub interfaces: Vec<Interface>,
}

/// One VF, as it shall be inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// 1–4094. Drivers take 0 and 4095 too; those name no VLAN (IEEE 802.1Q, table 9-2).
    pub vlan: u16,
    /// The pool to take the VF from. `None`: the only pool there is.
    pub pool: Option<String>,
    /// Octets of payload a frame may hold. `None`: the driver's own.
    pub mtu: Option<u32>,
    /// The address the PF assigns. `None`: the VF keeps the one it has.
    pub mac: Option<MacAddress>,
    /// 802.1p priority, 0–7.
    pub qos: u8,
    pub proto: VlanProto,
}

impl Request {
    /// `None` when no key begins with [`PREFIX`]: such a container is none of runvf's business.
    ///
    /// # Errors
    /// [`PolicyError::Annotation`], naming the key and value, for the first annotation that is unknown or malformed;
    /// [`PolicyError::DuplicateInterface`] when `io.runvf.vlan` and `io.runvf.vlan.mon0` are both there.
    pub fn from_annotations<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, Error> {
        let mut typed = Typed::default();
        // The caller's map may have any order; the first error must not depend on it.
        let sorted: BTreeMap<&str, &str> = annotations.into_iter().collect();
        for (key, value) in sorted {
            if let Some(rest) = key.strip_prefix(PREFIX) {
                typed.add(key, rest, value)?;
            }
        }
        typed.resolve()
    }
}

/// An annotation as it was typed: its whole key, for messages, and its value.
#[derive(Clone, Copy)]
struct Annotation<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Default)]
struct Typed<'a> {
    any: bool,
    tenant: Option<String>,
    interfaces: BTreeMap<&'a str, BTreeMap<&'a str, Annotation<'a>>>,
}

impl<'a> Typed<'a> {
    fn add(&mut self, key: &'a str, rest: &'a str, value: &'a str) -> Result<(), Error> {
        self.any = true;
        if rest == "tenant" {
            self.tenant = Some(name_of("tenant", Annotation { key, value })?);
            return Ok(());
        }
        let (option, interface) = match rest.split_once('.') {
            Some((option, interface)) => (option, interface),
            None => (rest, DEFAULT_INTERFACE),
        };
        if !PER_INTERFACE.contains(&option) {
            return Err(unknown(key, option));
        }
        check_interface_name(key, interface)?;
        let options = self.interfaces.entry(interface).or_default();
        if let Some(first) = options.insert(option, Annotation { key, value }) {
            return Err(Error::Policy(PolicyError::DuplicateInterface {
                interface: interface.to_owned(),
                first: first.key.to_owned(),
                second: key.to_owned(),
            }));
        }
        Ok(())
    }

    fn resolve(self) -> Result<Option<Request>, Error> {
        if !self.any {
            return Ok(None);
        }
        let interfaces = self
            .interfaces
            .into_iter()
            .map(|(name, options)| Interface::resolve(name, &options))
            .collect::<Result<Vec<_>, _>>()?;
        if interfaces.is_empty() {
            return Err(Error::Policy(PolicyError::Annotation {
                annotation: "io.runvf.tenant".to_owned(),
                problem: "asks for no VLAN".to_owned(),
                hint: "add `io.runvf.vlan=<1-4094>`".to_owned(),
            }));
        }
        Ok(Some(Request { tenant: self.tenant, interfaces }))
    }
}

impl Interface {
    fn resolve(name: &str, options: &BTreeMap<&str, Annotation<'_>>) -> Result<Self, Error> {
        let Some(vlan) = options.get("vlan") else {
            let orphan = options.values().next().map_or("", |option| option.key);
            return Err(Error::Policy(PolicyError::Annotation {
                annotation: orphan.to_owned(),
                problem: format!("is an option of `{name}`, for which no VLAN is asked"),
                hint: match name {
                    DEFAULT_INTERFACE => "add `io.runvf.vlan=<1-4094>`".to_owned(),
                    _ => format!("add `io.runvf.vlan.{name}=<1-4094>`"),
                },
            }));
        };
        let number = |option: &str, what: &str, low: u32, high: u32| {
            options.get(option).map(|typed| number_in(*typed, what, low, high)).transpose()
        };
        Ok(Self {
            name: name.to_owned(),
            vlan: number_in(*vlan, "a VLAN", 1, 4094)? as u16,
            pool: options.get("pool").map(|typed| name_of("pool", *typed)).transpose()?,
            mtu: number("mtu", "an MTU", *MTU.start(), *MTU.end())?,
            mac: options.get("mac").map(|typed| mac_of(*typed)).transpose()?,
            qos: number("qos", "an 802.1p priority", 0, 7)?.unwrap_or(0) as u8,
            proto: options.get("proto").map_or(Ok(VlanProto::Dot1Q), |typed| proto_of(*typed))?,
        })
    }
}

fn malformed(typed: Annotation<'_>, problem: &str, hint: String) -> Error {
    Error::Policy(PolicyError::Annotation {
        annotation: format!("{}={}", typed.key, quoted(typed.value)),
        problem: problem.to_owned(),
        hint,
    })
}

/// A value ends up in a log and in a terminal: no control characters, and not a megabyte of it.
fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(40).flat_map(char::escape_default).collect();
    if value.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}

fn number_in(typed: Annotation<'_>, what: &str, low: u32, high: u32) -> Result<u32, Error> {
    // `u32::from_str` takes a leading `+`; nobody means that.
    let digits = !typed.value.is_empty() && typed.value.bytes().all(|byte| byte.is_ascii_digit());
    match typed.value.parse::<u32>() {
        Ok(number) if digits && (low..=high).contains(&number) => Ok(number),
        _ => Err(malformed(
            typed,
            &format!("is not {what}"),
            format!("give a number from {low} to {high}"),
        )),
    }
}

/// What a tenant or a pool may be called: it is shown in terminals, and a tenant's is part of a file's name.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

pub(crate) const NAME: &str = "a name is 1 to 63 letters, digits, `-`, `_` or `.`";

fn name_of(what: &str, typed: Annotation<'_>) -> Result<String, Error> {
    match is_name(typed.value) {
        true => Ok(typed.value.to_owned()),
        false => Err(malformed(typed, &format!("is not the name of a {what}"), NAME.to_owned())),
    }
}

fn mac_of(typed: Annotation<'_>) -> Result<MacAddress, Error> {
    match typed.value.parse::<MacAddress>() {
        Ok(mac) if mac.is_unicast() => Ok(mac),
        _ => Err(malformed(
            typed,
            "is not a unicast MAC address",
            "write it as in 02:00:00:00:01:00".to_owned(),
        )),
    }
}

fn proto_of(typed: Annotation<'_>) -> Result<VlanProto, Error> {
    match typed.value.to_ascii_lowercase().as_str() {
        "802.1q" => Ok(VlanProto::Dot1Q),
        "802.1ad" => Ok(VlanProto::Dot1Ad),
        _ => Err(malformed(typed, "is not a VLAN protocol", "give 802.1q or 802.1ad".to_owned())),
    }
}

/// The kernel's own rule (`dev_valid_name`, `net/core/dev.c`) and three more: `%` would be taken for a pattern, `lo` is
/// there already, and `all` and `default` are folders of `/proc/sys/net/ipv6/conf`.
fn check_interface_name(key: &str, name: &str) -> Result<(), Error> {
    let problem = match name {
        "" => "names no interface",
        "lo" => "names the loopback interface",
        "." | ".." | "all" | "default" => "is not a name an interface may have",
        _ if name.len() > LONGEST_NAME => "names an interface with more than 15 characters",
        _ if name.bytes().any(|byte| !byte.is_ascii_graphic() || b"/:%".contains(&byte)) => {
            "names an interface with a character that the kernel refuses"
        }
        _ => return Ok(()),
    };
    Err(Error::Policy(PolicyError::Annotation {
        annotation: quoted_key(key),
        problem: problem.to_owned(),
        hint: "an interface's name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`"
            .to_owned(),
    }))
}

fn quoted_key(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_default).collect()
}

fn unknown(key: &str, option: &str) -> Error {
    let known = PER_INTERFACE.iter().copied().chain(["tenant"]);
    let nearest = nearest(option, known).unwrap_or("vlan");
    Error::Policy(PolicyError::Annotation {
        annotation: quoted_key(key),
        problem: "is not an annotation of runvf".to_owned(),
        hint: format!("did you mean `{PREFIX}{nearest}`?"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(annotations: &[(&str, &str)]) -> Result<Option<Request>, String> {
        Request::from_annotations(annotations.iter().copied()).map_err(|error| error.line())
    }

    fn refused(annotations: &[(&str, &str)]) -> String {
        parse(annotations).expect_err("must be refused")
    }

    #[test]
    fn no_annotation_of_ours_is_no_request() {
        assert_eq!(parse(&[("org.opencontainers.image.title", "x"), ("io.runv", "1")]), Ok(None));
    }

    #[test]
    fn a_vlan_alone_asks_for_mon0() {
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
            }]
        );
    }

    #[test]
    fn every_option_reaches_its_own_interface() {
        let request = parse(&[
            ("io.runvf.vlan", "1"),
            ("io.runvf.vlan.tap1", "4094"),
            ("io.runvf.mtu.tap1", "9000"),
            ("io.runvf.mac.tap1", "02:00:00:00:00:0A"),
            ("io.runvf.qos.tap1", "7"),
            ("io.runvf.proto.tap1", "802.1AD"),
            ("io.runvf.pool.tap1", "west"),
            ("io.runvf.tenant", "acme"),
        ]);
        let request = request.unwrap().unwrap();
        assert_eq!(request.tenant.as_deref(), Some("acme"));
        let names: Vec<_> = request.interfaces.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["mon0", "tap1"]);
        let tap1 = &request.interfaces[1];
        assert_eq!((tap1.vlan, tap1.mtu, tap1.qos), (4094, Some(9000), 7));
        assert_eq!(tap1.mac.unwrap().to_string(), "02:00:00:00:00:0a");
        assert_eq!((tap1.proto, tap1.pool.as_deref()), (VlanProto::Dot1Ad, Some("west")));
        assert_eq!(request.interfaces[0].pool, None);
    }

    #[test]
    fn a_vlan_is_a_number_from_1_to_4094() {
        for value in ["0", "4095", "5000", "abc", "", "+5", " 5", "5 ", "-1", "99999999999", "0x10"]
        {
            let shown: String = value.to_owned();
            assert_eq!(
                refused(&[("io.runvf.vlan", value)]),
                format!("io.runvf.vlan={shown} is not a VLAN; give a number from 1 to 4094")
            );
        }
    }

    #[test]
    fn a_misspelt_key_names_the_nearest() {
        assert_eq!(
            refused(&[("io.runvf.vlna", "100")]),
            "io.runvf.vlna is not an annotation of runvf; did you mean `io.runvf.vlan`?"
        );
        assert!(refused(&[("io.runvf.tennant", "x")]).ends_with("did you mean `io.runvf.tenant`?"));
        assert!(refused(&[("io.runvf.", "x")]).contains("is not an annotation of runvf"));
    }

    #[test]
    fn one_name_for_two_interfaces_is_refused() {
        assert_eq!(
            refused(&[("io.runvf.vlan", "100"), ("io.runvf.vlan.mon0", "200")]),
            "io.runvf.vlan and io.runvf.vlan.mon0 both ask for an interface named `mon0`; \
             give one of them another name"
        );
    }

    #[test]
    fn names_the_kernel_refuses_are_refused_here() {
        for name in
            ["lo", "eth0/x", "a23456789012345678901", "", ".", "..", "a b", "a:1", "a%d", "all"]
        {
            let key = format!("io.runvf.vlan.{name}");
            let line = refused(&[(&key, "100")]);
            assert!(line.starts_with(&key), "{line}");
            assert!(line.contains("; an interface's name is 1 to 15"), "{line}");
        }
        assert!(parse(&[("io.runvf.vlan.a23456789012345", "100")]).is_ok());
    }

    #[test]
    fn an_option_without_its_vlan_is_refused() {
        assert_eq!(
            refused(&[("io.runvf.vlan", "5"), ("io.runvf.mtu.tap1", "1500")]),
            "io.runvf.mtu.tap1 is an option of `tap1`, for which no VLAN is asked; \
             add `io.runvf.vlan.tap1=<1-4094>`"
        );
        assert!(refused(&[("io.runvf.tenant", "acme")]).contains("asks for no VLAN"));
    }

    #[test]
    fn a_multicast_mac_and_a_strange_proto_are_refused() {
        let vlan = ("io.runvf.vlan", "5");
        for mac in ["01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "x"] {
            assert!(refused(&[vlan, ("io.runvf.mac", mac)]).contains("not a unicast MAC"));
        }
        assert!(refused(&[vlan, ("io.runvf.proto", "qinq")]).contains("give 802.1q or 802.1ad"));
        assert!(refused(&[vlan, ("io.runvf.qos", "8")]).contains("from 0 to 7"));
        assert!(refused(&[vlan, ("io.runvf.mtu", "67")]).contains("from 68 to 65535"));
    }

    #[test]
    fn a_hostile_value_is_shown_tamely() {
        let line = refused(&[("io.runvf.vlan", "1\n\u{1b}[31m{\"level\":\"error\"}")]);
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        let long = "9".repeat(1 << 20);
        assert!(refused(&[("io.runvf.vlan", &long)]).len() < 200);
    }
}
