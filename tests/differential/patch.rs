//! Mutations of a JSON document, as values that can be listed, shrunk and saved.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One mutation. Paths are JSON pointers (RFC 6901) without escapes; a `-` at the end of a path is
/// the place after the last element of an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op", deny_unknown_fields)]
pub(crate) enum Patch {
    /// Sets a value, and creates the objects and the array on the way to it.
    Set {
        path: String,
        value: Value,
    },
    Remove {
        path: String,
    },
    /// Appends a copy of an array's element to the array.
    Duplicate {
        path: String,
    },
    /// Writes a member of an object twice into the text of the document.
    Repeat {
        path: String,
    },
}

impl Patch {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Set { path, .. }
            | Self::Remove { path }
            | Self::Duplicate { path }
            | Self::Repeat { path } => path,
        }
    }

    /// Changes the document. A path that does not lead anywhere changes nothing, so that the other
    /// mutations of a list still apply after one was removed.
    fn apply(&self, document: &mut Value) {
        let (parent, name) = split(self.path());
        match self {
            Self::Set { value, .. } => set(document, parent, name, value.clone()),
            Self::Remove { .. } => match document.pointer_mut(parent) {
                Some(Value::Object(members)) => drop(members.remove(name)),
                Some(Value::Array(elements)) => {
                    if let Some(at) = index(name).filter(|at| *at < elements.len()) {
                        elements.remove(at);
                    }
                }
                _ => {}
            },
            Self::Duplicate { .. } => {
                let copy = document.pointer(self.path()).cloned();
                let parent = document.pointer_mut(parent).and_then(Value::as_array_mut);
                if let Some((elements, copy)) = parent.zip(copy) {
                    elements.push(copy);
                }
            }
            Self::Repeat { .. } => {}
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn index(name: &str) -> Option<usize> {
    name.parse().ok()
}

fn set(document: &mut Value, parent: &str, name: &str, value: Value) {
    if document.pointer(parent).is_none_or(Value::is_null) && !parent.is_empty() {
        let (above, last) = split(parent);
        let empty = if name == "-" { Value::Array(vec![]) } else { Value::Object(Map::new()) };
        set(document, above, last, empty);
    }
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.insert(name.into(), value)),
        Some(Value::Array(elements)) if name == "-" => elements.push(value),
        Some(Value::Array(elements)) => {
            if let Some(element) = index(name).and_then(|at| elements.get_mut(at)) {
                *element = value;
            }
        }
        _ => {}
    }
}

/// Applies all mutations.
pub(crate) fn apply(document: &mut Value, patches: &[Patch]) {
    patches.iter().for_each(|patch| patch.apply(document));
}

/// The text of the document, with the members that a mutation repeats written twice.
pub(crate) fn text(document: &Value, patches: &[Patch]) -> String {
    let repeated = patches.iter().filter_map(|patch| match patch {
        Patch::Repeat { path } => Some(path.as_str()),
        _ => None,
    });
    let mut text = String::new();
    write(document, "", &repeated.collect::<Vec<_>>(), &mut text);
    text
}

fn write(value: &Value, path: &str, repeated: &[&str], text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut parts = Vec::new();
            for (name, member) in members {
                let path = format!("{path}/{name}");
                let mut part = format!("{}:", Value::from(name.as_str()));
                write(member, &path, repeated, &mut part);
                let times = if repeated.contains(&path.as_str()) { 2 } else { 1 };
                parts.extend(vec![part; times]);
            }
            *text += &format!("{{{}}}", parts.join(","));
        }
        Value::Array(elements) => {
            let parts = elements.iter().enumerate().map(|(at, element)| {
                let mut part = String::new();
                write(element, &format!("{path}/{at}"), repeated, &mut part);
                part
            });
            *text += &format!("[{}]", parts.collect::<Vec<_>>().join(","));
        }
        scalar => *text += &scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patches: Value) -> String {
        let patches: Vec<Patch> = serde_json::from_value(patches).unwrap();
        let mut document = json!({"a": [1, 2], "b": {"c": null}});
        apply(&mut document, &patches);
        text(&document, &patches)
    }

    #[test]
    fn each_kind_of_mutation_changes_the_document() {
        for (patch, expected) in [
            (
                json!({"op": "set", "path": "/b/c/d", "value": 3}),
                r#"{"a":[1,2],"b":{"c":{"d":3}}}"#,
            ),
            (
                json!({"op": "set", "path": "/x/-", "value": 3}),
                r#"{"a":[1,2],"b":{"c":null},"x":[3]}"#,
            ),
            (json!({"op": "set", "path": "/a/1", "value": 3}), r#"{"a":[1,3],"b":{"c":null}}"#),
            (json!({"op": "remove", "path": "/a/0"}), r#"{"a":[2],"b":{"c":null}}"#),
            (json!({"op": "remove", "path": "/b"}), r#"{"a":[1,2]}"#),
            (json!({"op": "duplicate", "path": "/a/0"}), r#"{"a":[1,2,1],"b":{"c":null}}"#),
            (json!({"op": "repeat", "path": "/b/c"}), r#"{"a":[1,2],"b":{"c":null,"c":null}}"#),
        ] {
            assert_eq!(patched(json!([patch])), expected);
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_changes_nothing() {
        for op in ["set", "remove", "duplicate", "repeat"] {
            let mut patch = json!({"op": op, "path": "/a/7"});
            if op == "set" {
                patch["value"] = json!(3);
            }
            assert_eq!(patched(json!([patch])), r#"{"a":[1,2],"b":{"c":null}}"#);
        }
    }
}
