//! JSON, edited as text: a member is put in or cut out, and every other byte stays. A parser says where things are; nothing is
//! ever written out from what it read, because that would lose the user's order, indentation and line ends.

use std::ops::Range;

use jsonc_parser::ast::Value as Node;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

/// Where an object of the text is.
#[derive(Debug)]
pub(crate) struct Object {
    /// With its braces.
    span: Range<usize>,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// With its name.
    span: Range<usize>,
    value: Range<usize>,
}

/// What is wrong with the text, and where.
pub(crate) type Problem = String;

/// The object at `path`, or `None` if a member on the way is not there.
pub(crate) fn object(text: &str, path: &[&str]) -> Result<Option<Object>, Problem> {
    // The strict parser comes first: what it takes is what dockerd takes, and it says line and column.
    serde_json::from_str::<Value>(text).map_err(|error| error.to_string())?;
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default())
        .map_err(|error| error.to_string())?;
    let mut node = parsed.value.as_ref();
    let mut place = "the file".to_owned();
    for name in path {
        let Some(Node::Object(object)) = node else { return Err(no_object(&place)) };
        let mut found = object.properties.iter().filter(|member| member.name.as_str() == *name);
        let Some(member) = found.next() else { return Ok(None) };
        place = format!("`{name}`");
        if found.next().is_some() {
            return Err(format!("{place} is there twice"));
        }
        node = Some(&member.value);
    }
    let Some(Node::Object(object)) = node else { return Err(no_object(&place)) };
    let members = object.properties.iter().map(|member| Member {
        name: member.name.as_str().to_owned(),
        span: member.range.start..member.range.end,
        value: jsonc_parser::common::Ranged::range(&member.value).start
            ..jsonc_parser::common::Ranged::range(&member.value).end,
    });
    Ok(Some(Object { span: object.range.start..object.range.end, members: members.collect() }))
}

fn no_object(place: &str) -> Problem {
    format!("{place} is not an object")
}

impl Object {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The text of a member's value.
    pub(crate) fn get<'a>(&self, text: &'a str, name: &str) -> Option<&'a str> {
        let member = self.members.iter().find(|member| member.name == name)?;
        text.get(member.value.clone())
    }

    /// `text` with another value for a member that is there.
    pub(crate) fn with_value(&self, text: &str, name: &str, value: &str) -> String {
        match self.members.iter().find(|member| member.name == name) {
            Some(member) => splice(text, member.value.clone(), value),
            None => text.to_owned(),
        }
    }

    /// `text` with a member more, the last one. It looks like its neighbours.
    pub(crate) fn with(&self, text: &str, name: &str, value: &Value) -> String {
        let style = Style::of(text);
        let outer = indentation(text, self.span.start);
        let Some(last) = self.members.last() else {
            let inside = self.span.start + 1..self.span.end - 1;
            if style.one_line {
                return splice(text, inside, &style.member(name, value, None));
            }
            let inner = format!("{outer}{}", style.unit);
            let member = style.member(name, value, Some(&inner));
            let newline = style.newline;
            return splice(text, inside, &format!("{newline}{inner}{member}{newline}{outer}"));
        };
        let end = last.span.end..last.span.end;
        if !own_line(text, self.members[0].span.start) {
            return splice(text, end, &format!(", {}", style.member(name, value, None)));
        }
        let inner = indentation(text, self.members[0].span.start);
        let member = style.member(name, value, Some(&inner));
        splice(text, end, &format!(",{}{inner}{member}", style.newline))
    }

    /// `text` without a member: the inverse of [`Object::with`], but for the space in an empty object.
    pub(crate) fn without(&self, text: &str, name: &str) -> String {
        let Some(at) = self.members.iter().position(|member| member.name == name) else {
            return text.to_owned();
        };
        let this = &self.members[at].span;
        let cut = match (at.checked_sub(1).map(|n| &self.members[n]), self.members.get(at + 1)) {
            (None, None) => self.span.start + 1..self.span.end - 1,
            (Some(before), None) => before.span.end..this.end,
            (_, Some(next)) => this.start..next.span.start,
        };
        splice(text, cut, "")
    }
}

fn splice(text: &str, span: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}

/// The white space that begins the line of `at`.
fn indentation(text: &str, at: usize) -> String {
    let line = &text[text[..at].rfind('\n').map_or(0, |newline| newline + 1)..at];
    line.chars().take_while(|char| matches!(char, ' ' | '\t')).collect()
}

/// Whether nothing but white space comes before it in its line.
fn own_line(text: &str, at: usize) -> bool {
    text[..at].trim_end_matches([' ', '\t']).ends_with('\n')
}

/// How the user writes.
struct Style {
    newline: &'static str,
    unit: String,
    one_line: bool,
}

impl Style {
    fn of(text: &str) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let indented =
            text.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
        let unit = indented
            .map(|line| line.chars().take_while(|char| matches!(char, ' ' | '\t')).collect())
            .unwrap_or_else(|| "    ".to_owned());
        let object = text.trim();
        let one_line = !object.contains('\n') && object.chars().any(|char| char == '"');
        Self { newline, unit, one_line }
    }

    /// `indent` is that of the member's line, or `None` for all in one line.
    fn member(&self, name: &str, value: &Value, indent: Option<&str>) -> String {
        format!("{}: {}", Value::from(name), self.value(value, indent))
    }

    fn value(&self, value: &Value, indent: Option<&str>) -> String {
        let Value::Object(members) = value else { return value.to_string() };
        if members.is_empty() {
            return "{}".to_owned();
        }
        let inner = indent.map(|indent| format!("{indent}{}", self.unit));
        let all: Vec<String> = members
            .iter()
            .map(|(name, value)| self.member(name, value, inner.as_deref()))
            .collect();
        match (indent, inner) {
            (Some(indent), Some(inner)) => {
                let between = format!(",{}{inner}", self.newline);
                let newline = self.newline;
                format!("{{{newline}{inner}{}{newline}{indent}}}", all.join(&between))
            }
            _ => format!("{{{}}}", all.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(text: &str, path: &[&str]) -> String {
        object(text, path).unwrap().unwrap().with(text, "new", &json!({"a": {"b": 1}}))
    }

    #[test]
    fn a_member_looks_like_its_neighbours() {
        let table = [
            (
                "{}",
                "{\n    \"new\": {\n        \"a\": {\n            \"b\": 1\n        }\n    }\n}",
            ),
            ("{\"x\":1}", "{\"x\":1, \"new\": {\"a\": {\"b\": 1}}}"),
            (
                "{\n\t\"x\": 1\n}\n",
                "{\n\t\"x\": 1,\n\t\"new\": {\n\t\t\"a\": {\n\t\t\t\"b\": 1\n\t\t}\n\t}\n}\n",
            ),
            (
                "{\r\n  \"x\": 1\r\n}",
                "{\r\n  \"x\": 1,\r\n  \"new\": {\r\n    \"a\": {\r\n      \"b\": 1\r\n    }\r\n  }\r\n}",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(with(text, &[]), expected);
        }
        assert_eq!(
            with("{\n  \"x\": {}\n}", &["x"]),
            "{\n  \"x\": {\n    \"new\": {\n      \"a\": {\n        \"b\": 1\n      }\n    }\n  }\n}"
        );
    }

    #[test]
    fn only_that_member_is_cut_out() {
        for (text, expected) in [
            ("{\"new\": 1}", "{}"),
            ("{\n  \"new\": 1,\n  \"b\" : [ 2 ]\n}", "{\n  \"b\" : [ 2 ]\n}"),
            ("{\"a\":1 , \"new\": {\"ü\": \"{\"}}", "{\"a\":1}"),
            ("{\"a\": 1, \"new\": 2, \"c\": 3}", "{\"a\": 1, \"c\": 3}"),
        ] {
            assert_eq!(object(text, &[]).unwrap().unwrap().without(text, "new"), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_said_with_its_place() {
        let problem = |text| object(text, &["a"]).unwrap_err();
        assert_eq!(problem("{\n  \"a\": {},\n}"), "trailing comma at line 3 column 1");
        assert_eq!(problem("// no\n{}"), "expected value at line 1 column 1");
        assert_eq!(problem("[]"), "the file is not an object");
        assert_eq!(problem("{\"a\": null}"), "`a` is not an object");
        assert_eq!(problem("{\"a\": {}, \"a\": {}}"), "`a` is there twice");
    }
}
