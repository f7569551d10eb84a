//! Parses `io.runvf.*` annotations into a validated [`Request`].
//!
//! There are two stages: the annotations are grouped by interface name, and then each interface is
//! parsed as a whole. So a caller never gets an incomplete request. This code does not read the
//! state of the host.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::vlan::VlanProto;
use crate::policy::error::PolicyError;
use crate::policy::pod::PodRole;
use crate::policy::suggest::nearest;
use crate::policy::transmit::Transmit;

/// The prefix of all runvf annotations.
pub const PREFIX: &str = "io.runvf.";

/// The interface that `io.runvf.vlan` without an interface name requests.
pub const DEFAULT_INTERFACE: &str = "mon0";

/// `IFNAMSIZ` (`include/uapi/linux/if.h`) minus the terminating zero byte.
const MAX_NAME_LENGTH: usize = 15;

/// The most interfaces of one request. A sensor needs one or two; a request of thousands would take
/// all VFs of a host, and minutes to release them.
const MAX_INTERFACES: usize = 16;

/// The VLANs of a VF. 0 and 4095 are reserved (IEEE 802.1Q, table 9-2).
pub(crate) const VLAN_RANGE: RangeInclusive<u16> = 1..=4094;

/// 68 is the minimum MTU for IPv4 (RFC 791); each driver enforces its own maximum.
pub(crate) const MTU_RANGE: RangeInclusive<u32> = 68..=65535;

/// The keys that may have an interface name as suffix. The only other key is `tenant`.
const PER_INTERFACE_KEYS: [&str; 8] =
    ["vlan", "pool", "mtu", "mac", "qos", "proto", "transmit", "driver"];

/// The request of a container: one VF for each interface, and at least one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The tenant that the annotations name. `None`: they name none.
    pub tenant: Option<String>,
    /// Sorted by name.
    pub interfaces: Vec<Interface>,
    /// What the container is to its pod. `None`: it belongs to no pod of Kubernetes.
    pub pod: Option<PodRole>,
}

/// The requested configuration of one VF in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// 1–4094. Drivers also accept 0 and 4095, which are reserved (IEEE 802.1Q, table 9-2).
    pub vlan: u16,
    /// The pool that the VF comes from. `None`: the only pool.
    pub pool: Option<String>,
    /// The maximum payload of a frame, in bytes. `None`: the driver's MTU.
    pub mtu: Option<u32>,
    /// The MAC address that the PF assigns. `None`: the VF keeps its address.
    pub mac: Option<MacAddress>,
    /// 802.1p priority, 0–7.
    pub qos: u8,
    pub proto: VlanProto,
    /// Whether the container wants to send. `None`: as the pool sets it.
    pub transmit: Option<Transmit>,
    /// Whether a program in the container drives the VF itself, by vfio-pci. The VF then has no
    /// netdev, and `name` only tells it from the container's other VFs.
    pub vfio: bool,
}

impl Request {
    /// Parses the annotations of a container. `None` if no key begins with [`PREFIX`]: runvf does
    /// not handle such a container.
    ///
    /// # Errors
    /// [`PolicyError::Annotation`], with key and value, for the first annotation that is unknown or
    /// malformed; [`PolicyError::DuplicateInterface`] when `io.runvf.vlan` and `io.runvf.vlan.mon0`
    /// are both present.
    pub fn from_annotations<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, Error> {
        let mut grouped = GroupedAnnotations::default();
        // Sorted, so that the first error does not depend on the order of the caller's map.
        let sorted: BTreeMap<&str, &str> = annotations.into_iter().collect();
        for (key, value) in sorted {
            if let Some(rest) = key.strip_prefix(PREFIX) {
                grouped.add(key, rest, value)?;
            }
        }
        grouped.into_request()
    }
}

/// An annotation: its full key, for messages, and its value.
#[derive(Clone, Copy)]
struct Annotation<'a> {
    key: &'a str,
    value: &'a str,
}

/// The runvf annotations of a container, grouped by interface.
#[derive(Default)]
struct GroupedAnnotations<'a> {
    /// Whether there is any runvf annotation.
    any: bool,
    tenant: Option<String>,
    /// By interface name, then by key (`vlan`, `pool`…).
    interfaces: BTreeMap<&'a str, BTreeMap<&'a str, Annotation<'a>>>,
}

impl<'a> GroupedAnnotations<'a> {
    /// Adds an annotation; `rest` is its key without [`PREFIX`].
    fn add(&mut self, key: &'a str, rest: &'a str, value: &'a str) -> Result<(), Error> {
        self.any = true;
        if rest == "tenant" {
            self.tenant = Some(parse_name("tenant", Annotation { key, value })?);
            return Ok(());
        }
        let (option, interface) = match rest.split_once('.') {
            Some((option, interface)) => (option, interface),
            None => (rest, DEFAULT_INTERFACE),
        };
        if !PER_INTERFACE_KEYS.contains(&option) {
            return Err(unknown_annotation(key, option));
        }
        check_interface_name(key, interface)?;
        if self.interfaces.len() == MAX_INTERFACES && !self.interfaces.contains_key(interface) {
            return Err(Error::Policy(PolicyError::Annotation {
                annotation: printable_key(key),
                problem: "asks for one interface too many".to_owned(),
                hint: format!("a container has at most {MAX_INTERFACES} interfaces of runvf"),
            }));
        }
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

    fn into_request(self) -> Result<Option<Request>, Error> {
        if !self.any {
            return Ok(None);
        }
        let interfaces = self
            .interfaces
            .into_iter()
            .map(|(name, options)| Interface::from_options(name, &options))
            .collect::<Result<Vec<_>, _>>()?;
        if interfaces.is_empty() {
            return Err(Error::Policy(PolicyError::Annotation {
                annotation: "io.runvf.tenant".to_owned(),
                problem: "is set, but no VLAN is requested".to_owned(),
                hint: "add `io.runvf.vlan=<1-4094>`".to_owned(),
            }));
        }
        Ok(Some(Request { tenant: self.tenant, interfaces, pod: None }))
    }
}

impl Interface {
    fn from_options(name: &str, options: &BTreeMap<&str, Annotation<'_>>) -> Result<Self, Error> {
        let Some(vlan) = options.get("vlan") else {
            let key = options.values().next().map_or("", |option| option.key);
            return Err(Error::Policy(PolicyError::Annotation {
                annotation: key.to_owned(),
                problem: format!("is set, but no VLAN is requested for interface `{name}`"),
                hint: match name {
                    DEFAULT_INTERFACE => "add `io.runvf.vlan=<1-4094>`".to_owned(),
                    _ => format!("add `io.runvf.vlan.{name}=<1-4094>`"),
                },
            }));
        };
        let number = |option: &str, what: &str, min: u32, max: u32| {
            options.get(option).map(|found| parse_number(*found, what, min, max)).transpose()
        };
        let vfio = options.get("driver").map_or(Ok(false), |found| parse_driver(*found))?;
        if let Some(mtu) = options.get("mtu").filter(|_| vfio) {
            let hint = "a VF of vfio-pci has no interface; its program sets the MTU".to_owned();
            return Err(malformed(*mtu, "cannot be set", hint));
        }
        Ok(Self {
            name: name.to_owned(),
            vlan: parse_number(*vlan, "a VLAN", 1, 4094)? as u16,
            pool: options.get("pool").map(|found| parse_name("pool", *found)).transpose()?,
            mtu: number("mtu", "an MTU", *MTU_RANGE.start(), *MTU_RANGE.end())?,
            mac: options.get("mac").map(|found| parse_mac(*found)).transpose()?,
            qos: number("qos", "an 802.1p priority", 0, 7)?.unwrap_or(0) as u8,
            proto: options
                .get("proto")
                .map_or(Ok(VlanProto::Dot1Q), |found| parse_proto(*found))?,
            transmit: options.get("transmit").map(|found| parse_transmit(*found)).transpose()?,
            vfio,
        })
    }
}

fn malformed(annotation: Annotation<'_>, problem: &str, hint: String) -> Error {
    Error::Policy(PolicyError::Annotation {
        annotation: format!("{}={}", annotation.key, printable(annotation.value)),
        problem: problem.to_owned(),
        hint,
    })
}

/// Escapes control characters and shortens the value, because it is printed to logs and terminals.
fn printable(value: &str) -> String {
    let mut shown: String = value.chars().take(40).flat_map(char::escape_default).collect();
    if value.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}

/// Parses a number from `min` to `max`. `what` describes the value in the error message.
fn parse_number(annotation: Annotation<'_>, what: &str, min: u32, max: u32) -> Result<u32, Error> {
    // `u32::from_str` alone would accept a leading `+`.
    let digits =
        !annotation.value.is_empty() && annotation.value.bytes().all(|byte| byte.is_ascii_digit());
    match annotation.value.parse::<u32>() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ => Err(malformed(
            annotation,
            &format!("is not {what}"),
            format!("give a number from {min} to {max}"),
        )),
    }
}

/// Whether a text is a valid name of a tenant or a pool. The characters are restricted because
/// names are printed to terminals, and the name of a tenant is part of a file name.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// The rule of [`is_name`], as a hint.
pub(crate) const NAME_RULE: &str = "a name is 1 to 63 letters, digits, `-`, `_` or `.`";

fn parse_name(what: &str, annotation: Annotation<'_>) -> Result<String, Error> {
    match is_name(annotation.value) {
        true => Ok(annotation.value.to_owned()),
        false => Err(malformed(
            annotation,
            &format!("is not the name of a {what}"),
            NAME_RULE.to_owned(),
        )),
    }
}

fn parse_mac(annotation: Annotation<'_>) -> Result<MacAddress, Error> {
    match annotation.value.parse::<MacAddress>() {
        Ok(mac) if mac.is_unicast() => Ok(mac),
        _ => Err(malformed(
            annotation,
            "is not a unicast MAC address",
            "use for example 02:00:00:00:01:00".to_owned(),
        )),
    }
}

fn parse_proto(annotation: Annotation<'_>) -> Result<VlanProto, Error> {
    match annotation.value.to_ascii_lowercase().as_str() {
        "802.1q" => Ok(VlanProto::Dot1Q),
        "802.1ad" => Ok(VlanProto::Dot1Ad),
        _ => Err(malformed(
            annotation,
            "is not a VLAN protocol",
            "give 802.1q or 802.1ad".to_owned(),
        )),
    }
}

fn parse_transmit(annotation: Annotation<'_>) -> Result<Transmit, Error> {
    match annotation.value {
        "drop" => Ok(Transmit::Drop),
        "allow" => Ok(Transmit::Allow),
        _ => Err(malformed(annotation, "is unknown", "give drop or allow".to_owned())),
    }
}

fn parse_driver(annotation: Annotation<'_>) -> Result<bool, Error> {
    match annotation.value {
        "vfio-pci" => Ok(true),
        _ => Err(malformed(
            annotation,
            "is unknown",
            "give vfio-pci, or remove it for an interface of the VF's usual driver".to_owned(),
        )),
    }
}

/// Checks an interface name with the rule of the kernel (`dev_valid_name`, `net/core/dev.c`) and
/// three more: the kernel treats `%` as part of a name pattern, `lo` exists already, and `all` and
/// `default` are folders of `/proc/sys/net/ipv6/conf`.
fn check_interface_name(key: &str, name: &str) -> Result<(), Error> {
    let problem = match name {
        "" => "has an empty interface name",
        "lo" => "names the loopback interface",
        "." | ".." | "all" | "default" => "has a reserved interface name",
        _ if name.len() > MAX_NAME_LENGTH => "has an interface name of more than 15 characters",
        _ if name.bytes().any(|byte| !byte.is_ascii_graphic() || b"/:%".contains(&byte)) => {
            "has an interface name with a character that is not allowed"
        }
        _ => return Ok(()),
    };
    Err(Error::Policy(PolicyError::Annotation {
        annotation: printable_key(key),
        problem: problem.to_owned(),
        hint: "an interface name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`"
            .to_owned(),
    }))
}

fn printable_key(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_default).collect()
}

fn unknown_annotation(key: &str, option: &str) -> Error {
    let keys = PER_INTERFACE_KEYS.iter().copied().chain(["tenant"]);
    let nearest = nearest(option, keys).unwrap_or("vlan");
    Error::Policy(PolicyError::Annotation {
        annotation: printable_key(key),
        problem: "is not an annotation of runvf".to_owned(),
        hint: format!("did you mean `{PREFIX}{nearest}`?"),
    })
}

#[cfg(test)]
mod tests;
