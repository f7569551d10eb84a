//! Device rules in a form that libcgroups translates correctly. libcgroups compares an access with
//! one rule at a time: after `allow c 1:11 rwm` and `deny c 1:11 w`, an open for reading and writing
//! is no part of the second rule and is allowed by the first one. So the rules are merged first, as
//! in runc (`devices/devices_emulator.go`): one rule per device, and no rule that is the default.

use std::collections::BTreeMap;

use libcontainer::oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::error::LimitError;

const FIELD: &str = "devices";

/// A device or, with -1 as a number, all devices with the other number.
type Device = (&'static str, i64, i64);

/// The accesses `r`, `w` and `m` as bits.
type Access = u8;

const NAMES: [(char, Access); 3] = [('r', 1), ('w', 2), ('m', 4)];

#[derive(Default)]
struct Rules {
    allowed_by_default: bool,
    /// The accesses that differ from the default.
    exceptions: BTreeMap<Device, Access>,
}

/// Returns rules with the same meaning: first the default, then the exceptions from it.
pub(super) fn normalize(
    rules: Option<&[LinuxDeviceCgroup]>,
) -> Result<Option<Vec<LinuxDeviceCgroup>>, LimitError> {
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else { return Ok(None) };
    let mut merged = Rules::default();
    for rule in rules {
        merged.add(rule).map_err(|problem| LimitError::field(FIELD, problem))?;
    }
    Ok(Some(merged.list()))
}

impl Rules {
    fn add(&mut self, rule: &LinuxDeviceCgroup) -> Result<(), String> {
        if rule.access().as_ref().is_none_or(String::is_empty) {
            return Err("a rule has no access; name it by the letters r, w and m".to_owned());
        }
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => {
                *self = Self { allowed_by_default: rule.allow(), ..Self::default() };
                return Ok(());
            }
            LinuxDeviceType::B => "b",
            LinuxDeviceType::C => "c",
            LinuxDeviceType::U | LinuxDeviceType::P => {
                return Err("a rule is for devices of the type a, b or c".to_owned());
            }
        };
        let access = parse_access(rule.access().as_deref().unwrap_or_default())?;
        // All negative numbers mean all devices.
        let number = |number: Option<i64>| number.unwrap_or(-1).max(-1);
        let device = (kind, number(rule.major()), number(rule.minor()));
        if rule.allow() == self.allowed_by_default {
            return self.remove(device, access);
        }
        *self.exceptions.entry(device).or_default() |= access;
        Ok(())
    }

    /// Removes an exception. A part of an exception for many devices cannot be removed.
    fn remove(&mut self, device: Device, access: Access) -> Result<(), String> {
        let (kind, major, minor) = device;
        let wider = [(kind, -1, minor), (kind, major, -1), (kind, -1, -1)];
        for other in wider.into_iter().filter(|other| *other != device) {
            if self.exceptions.get(&other).is_some_and(|excepted| excepted & access != 0) {
                let (one, many) = (name(device), name(other));
                return Err(format!("the rule for {one} cannot be a part of the rule for {many}"));
            }
        }
        if let Some(excepted) = self.exceptions.get_mut(&device) {
            *excepted &= !access;
        }
        Ok(())
    }

    fn list(&self) -> Vec<LinuxDeviceCgroup> {
        let rule = |allow: bool, kind: LinuxDeviceType| {
            let mut rule = LinuxDeviceCgroup::default();
            rule.set_allow(allow).set_typ(Some(kind));
            rule
        };
        let mut list = vec![rule(self.allowed_by_default, LinuxDeviceType::A)];
        list[0].set_access(Some("rwm".to_owned()));
        for ((kind, major, minor), access) in &self.exceptions {
            let names = NAMES.iter().filter(|(_, bit)| access & bit != 0);
            let access: String = names.map(|(name, _)| name).collect();
            if access.is_empty() {
                continue;
            }
            let kind = if *kind == "b" { LinuxDeviceType::B } else { LinuxDeviceType::C };
            let mut exception = rule(!self.allowed_by_default, kind);
            exception.set_major(number_if_one(*major)).set_minor(number_if_one(*minor));
            exception.set_access(Some(access));
            list.push(exception);
        }
        list
    }
}

fn number_if_one(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn parse_access(text: &str) -> Result<Access, String> {
    let bit = |letter: char| NAMES.iter().find(|(name, _)| *name == letter).map(|(_, bit)| *bit);
    let bits = text.chars().map(bit).collect::<Option<Vec<_>>>().unwrap_or_default();
    match bits.is_empty() {
        false => Ok(bits.into_iter().fold(0, |all, bit| all | bit)),
        true => Err(format!("the access `{text}` is not made of r, w and m")),
    }
}

fn name((kind, major, minor): Device) -> String {
    let number = |number: i64| if number < 0 { "*".to_owned() } else { number.to_string() };
    format!("{kind} {}:{}", number(major), number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `allow c 1:* rw` as a rule.
    fn rule(text: &str) -> LinuxDeviceCgroup {
        let words: Vec<&str> = text.split([' ', ':']).collect();
        let mut rule = serde_json::json!({ "allow": words[0] == "allow", "type": words[1] });
        if words[1] != "a" {
            for (name, word) in [("major", words[2]), ("minor", words[3])] {
                rule[name] = word.parse().unwrap_or(-1).into();
            }
        }
        rule["access"] = words[words.len() - 1].into();
        serde_json::from_value(rule).unwrap()
    }

    fn text(rule: &LinuxDeviceCgroup) -> String {
        let allow = if rule.allow() { "allow" } else { "deny" };
        let access = rule.access().as_deref().unwrap();
        match rule.typ().unwrap() {
            LinuxDeviceType::A => format!("{allow} a {access}"),
            kind => {
                let kind = if kind == LinuxDeviceType::B { "b" } else { "c" };
                let device = (kind, rule.major().unwrap_or(-1), rule.minor().unwrap_or(-1));
                format!("{allow} {} {access}", name(device))
            }
        }
    }

    fn normalized(rules: &[&str]) -> Result<Vec<String>, String> {
        let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
        let normalized = normalize(Some(&rules)).map_err(|error| error.to_string())?;
        Ok(normalized.unwrap().iter().map(text).collect())
    }

    #[test]
    fn a_device_has_one_rule() {
        for (rules, expected) in [
            (vec!["allow c 1:11 rwm", "deny c 1:11 w"], vec!["deny a rwm", "allow c 1:11 rm"]),
            (
                vec!["deny a rwm", "allow c 1:3 r", "allow b *:* m", "allow c 1:3 w"],
                vec!["deny a rwm", "allow b *:* m", "allow c 1:3 rw"],
            ),
            (vec!["allow c 1:3 rw", "deny c 1:3 rwm"], vec!["deny a rwm"]),
            (vec!["deny c 1:3 rwm"], vec!["deny a rwm"]),
            (vec!["allow c 1:3 rw", "allow a rwm"], vec!["allow a rwm"]),
            (
                vec!["allow a rwm", "deny c 1:3 rw", "allow c 1:3 r"],
                vec!["allow a rwm", "deny c 1:3 w"],
            ),
            (vec!["allow c 1:* rw", "deny c 1:5 m"], vec!["deny a rwm", "allow c 1:* rw"]),
        ] {
            assert_eq!(normalized(&rules), Ok(expected.into_iter().map(str::to_owned).collect()));
        }
        assert_eq!(normalize(Some(&[])).unwrap(), None);
        assert_eq!(normalize(None).unwrap(), None);
    }

    #[test]
    fn rules_that_runc_refuses_are_refused() {
        let line = normalized(&["allow c 42:* rm", "deny c 42:1337 r"]).unwrap_err();
        assert!(line.contains("c 42:1337") && line.contains("c 42:*"), "{line}");
        assert!(normalized(&["allow c 1:3 x"]).unwrap_err().contains("`x`"));
        assert!(normalized(&["allow p 1:3 r"]).unwrap_err().contains("a, b or c"));
        let of_one_device = serde_json::json!({ "allow": true, "type": "c", "major": 1 });
        for without_access in [of_one_device, serde_json::json!({ "allow": false })] {
            let rule: LinuxDeviceCgroup = serde_json::from_value(without_access).unwrap();
            let line = normalize(Some(&[rule])).unwrap_err().to_string();
            assert!(line.contains("a rule has no access"), "{line}");
        }
    }
}
