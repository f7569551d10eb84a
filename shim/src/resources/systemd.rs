//! Sets properties of a systemd unit.

use super::dbus::{Connection, Method, Writer, read_string};
use super::error::LimitError;
use super::property::{Property, PropertyValue};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

const SYSTEMD: Method = Method {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: MANAGER,
    member: "",
    signature: "",
};

/// Sets the properties until the next boot, and waits until systemd has written the files that
/// belong to them. systemd sets all of them or none.
pub(super) fn set_properties(unit: &str, properties: Vec<Property>) -> Result<(), LimitError> {
    if properties.is_empty() {
        return Ok(());
    }
    let failed = |problem: String| LimitError::Systemd { unit: unit.to_owned(), problem };
    let refused = |error: std::io::Error| failed(error.to_string());
    let mut systemd = Connection::to_systemd()
        .map_err(|error| failed(format!("cannot connect to systemd: {error}")))?;
    let version = version(&mut systemd).map_err(refused)?;
    let known: Vec<_> =
        properties.into_iter().filter(|property| property.since <= version).collect();
    let method = Method { member: "SetUnitProperties", signature: "sba(sv)", ..SYSTEMD };
    systemd.call(method, &arguments(unit, &known)).map_err(refused)?;
    // systemd replies first and writes the files afterwards, but before it reads the next message
    // (`manager_loop`, `manager_dispatch_cgroup_realize_queue`). Without this second call, systemd
    // could overwrite the values that this program writes next.
    self::version(&mut systemd).map_err(refused).map(drop)
}

/// The name of the unit, that the change ends with the next boot, and pairs of names and values.
fn arguments(unit: &str, properties: &[Property]) -> Vec<u8> {
    let mut body = Writer::default();
    let until_next_boot = 1;
    body.string(unit).number(until_next_boot).array(8, |array| {
        for property in properties {
            array.align(8).string(property.name);
            match &property.value {
                PropertyValue::Number(number) => array.signature("t").long_number(*number),
                PropertyValue::Bytes(bytes) => {
                    array.signature("ay").array(1, |array| array.bytes.extend(bytes))
                }
            };
        }
    });
    body.bytes
}

/// The version of systemd, for example 252 for `252.39-1~deb12u1`.
fn version(systemd: &mut Connection) -> std::io::Result<u32> {
    let interface = "org.freedesktop.DBus.Properties";
    let method = Method { interface, member: "Get", signature: "ss", ..SYSTEMD };
    let mut body = Writer::default();
    body.string(MANAGER).string("Version");
    let reply = systemd.call(method, &body.bytes)?;
    // A variant: its signature of three bytes, padding, and the string.
    let text = read_string(&reply, 4);
    let unknown = || std::io::Error::other("the version of systemd is not known");
    text.and_then(parse_version).ok_or_else(unknown)
}

fn parse_version(text: &str) -> Option<u32> {
    let text = text.trim_start_matches('v');
    let end = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of runc's `TestSystemdVersion`.
    #[test]
    fn a_version_begins_with_its_number() {
        for (text, version) in [
            ("219", Some(219)),
            ("v245.4-1.fc32", Some(245)),
            ("241-1", Some(241)),
            ("252.39-1~deb12u1", Some(252)),
            ("NaN", None),
            ("v", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn properties_are_serialized_as_pairs() {
        let properties = [
            Property { name: "AllowedCPUs", value: PropertyValue::Bytes(vec![5]), since: 0 },
            Property { name: "TasksMax", value: PropertyValue::Number(7), since: 0 },
        ];
        let number = |number: u32| number.to_ne_bytes().to_vec();
        let expected = [
            number(1),
            b"u\0\0\0".to_vec(),
            // The boolean, the length of the array, and the padding in front of a pair.
            number(1),
            number(56),
            [number(11), b"AllowedCPUs\0".to_vec()].concat(),
            b"\x02ay\0".to_vec(),
            [number(1), vec![5, 0, 0, 0]].concat(),
            vec![0; 4],
            [number(8), b"TasksMax\0".to_vec()].concat(),
            b"\x01t\0".to_vec(),
            7_u64.to_ne_bytes().to_vec(),
        ];
        assert_eq!(arguments("u", &properties), expected.concat());
    }
}
