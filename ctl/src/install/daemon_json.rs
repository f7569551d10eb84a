//! runvf's part of dockerd's configuration file: text in, text out.

use std::path::Path;

use serde_json::{Value, json};

use super::json::{self, Object};
use super::{NAME, RUNTIME};
use crate::error::Error;

/// What an empty or missing file becomes first.
const EMPTY: &str = "{}\n";
const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";
/// dockerd takes a byte order mark, and no JSON parser does.
const MARK: &str = "\u{feff}";

/// One file's text, and its name for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DaemonJson<'a> {
    pub(crate) path: &'a Path,
    /// `None` if there is no file.
    pub(crate) text: Option<&'a str>,
}

impl<'a> DaemonJson<'a> {
    pub(crate) fn with_runvf(self, default: bool) -> Result<String, Error> {
        self.edit(|text| {
            let mut text = match self.runtime(text)? {
                Some(_) => text.to_owned(),
                None => self.with_runtime(text)?,
            };
            if default && self.default_of(&text)?.as_deref() != Some(&quoted()) {
                let root = self.root(&text)?;
                text = match root.get(&text, DEFAULT) {
                    Some(_) => root.with_value(&text, DEFAULT, &quoted()),
                    None => root.with(&text, DEFAULT, &Value::from(NAME)),
                };
            }
            Ok(text)
        })
    }

    /// `default` is the default runtime, as JSON, that there was before runvf was made it.
    pub(crate) fn without_runvf(self, default: Option<&str>) -> Result<String, Error> {
        self.edit(|text| {
            let mut text = text.to_owned();
            if self.runtime(&text)?.is_some() {
                if let Some(runtimes) = self.object(&text, &[RUNTIMES])? {
                    text = runtimes.without(&text, NAME);
                }
                if self.object(&text, &[RUNTIMES])?.is_some_and(|runtimes| runtimes.is_empty()) {
                    text = self.root(&text)?.without(&text, RUNTIMES);
                }
            }
            // With a default runtime that it does not know dockerd would not start.
            if self.default_of(&text)?.as_deref() == Some(&quoted()) {
                let root = self.root(&text)?;
                text = match default {
                    Some(before) => root.with_value(&text, DEFAULT, before),
                    None => root.without(&text, DEFAULT),
                };
            }
            Ok(text)
        })
    }

    /// The same in words that dockerd cannot overlook: at a reload it keeps what it knows of a key that is gone from the file, and
    /// so it would know runvf until its next start. `default` is whether it knows a default runtime by this file: one in its command
    /// line must not be in the file as well.
    pub(crate) fn explicit(self, default: bool) -> Result<String, Error> {
        self.edit(|text| {
            let mut text = text.to_owned();
            if self.object(&text, &[RUNTIMES])?.is_none() {
                text = self.root(&text)?.with(&text, RUNTIMES, &json!({}));
            }
            if default && self.default_of(&text)?.is_none() {
                text = self.root(&text)?.with(&text, DEFAULT, &Value::from("runc"));
            }
            Ok(text)
        })
    }

    /// The default runtime, as JSON.
    pub(crate) fn default_runtime(self) -> Result<Option<String>, Error> {
        self.default_of(self.body())
    }

    pub(crate) fn has_runvf(self) -> Result<bool, Error> {
        self.runtime(self.body()).map(|runtime| runtime.is_some())
    }

    fn body(self) -> &'a str {
        let text = self.text.unwrap_or_default();
        let body = text.strip_prefix(MARK).unwrap_or(text);
        if body.trim().is_empty() { EMPTY } else { body }
    }

    fn edit(self, edit: impl FnOnce(&str) -> Result<String, Error>) -> Result<String, Error> {
        let edited = edit(self.body())?;
        if edited == self.body() {
            return Ok(self.text.unwrap_or_default().to_owned());
        }
        let mark = if self.text.unwrap_or_default().starts_with(MARK) { MARK } else { "" };
        Ok(format!("{mark}{edited}"))
    }

    fn with_runtime(self, text: &str) -> Result<String, Error> {
        let runvf = json!({"path": RUNTIME});
        Ok(match self.object(text, &[RUNTIMES])? {
            Some(runtimes) => runtimes.with(text, NAME, &runvf),
            None => self.root(text)?.with(text, RUNTIMES, &json!({NAME: runvf})),
        })
    }

    /// runvf's entry, if there is one and it is ours.
    fn runtime(self, text: &str) -> Result<Option<Object>, Error> {
        if self.object(text, &[RUNTIMES])?.is_none() {
            return Ok(None);
        }
        let Some(entry) = self.object(text, &[RUNTIMES, NAME])? else { return Ok(None) };
        let path = entry.get(text, "path").unwrap_or("none");
        if serde_json::from_str::<Value>(path).is_ok_and(|path| path == RUNTIME) {
            return Ok(Some(entry));
        }
        Err(Error::Content {
            path: self.path.to_owned(),
            problem: format!("`runtimes.{NAME}` is there already, with the path {path}"),
            hint: format!("take it out, or give it the path \"{RUNTIME}\""),
        })
    }

    fn default_of(self, text: &str) -> Result<Option<String>, Error> {
        Ok(self.root(text)?.get(text, DEFAULT).map(str::to_owned))
    }

    fn root(self, text: &str) -> Result<Object, Error> {
        self.object(text, &[])?.ok_or_else(|| self.problem("it is empty".to_owned()))
    }

    fn object(self, text: &str, path: &[&str]) -> Result<Option<Object>, Error> {
        json::object(text, path).map_err(|problem| self.problem(problem))
    }

    fn problem(self, problem: String) -> Error {
        let hint = "correct it first; nothing was changed".to_owned();
        Error::Content { path: self.path.to_owned(), problem, hint }
    }
}

fn quoted() -> String {
    Value::from(NAME).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> DaemonJson<'_> {
        DaemonJson { path: Path::new("/etc/docker/daemon.json"), text: Some(text) }
    }

    /// As people write them.
    const WRITTEN: [&str; 12] = [
        "{\n  \"debug\": true\n}\n",
        "{\n\t\"log-driver\": \"journald\",\n\t\"dns\": [\n\t\t\"10.0.0.1\"\n\t]\n}\n",
        "{\r\n    \"debug\": true,\r\n    \"hosts\": [\"fd://\"]\r\n}\r\n",
        "{\n  \"debug\": true\n}",
        "{\"debug\":true,\"iptables\":false}",
        "{ \"debug\" : true }\n",
        "{\n  \"runtimes\": {\n    \"kata\": {\n      \"runtimeType\": \"io.containerd.kata.v2\"\n    }\n  },\n  \"debug\": true\n}\n",
        "{\n    \"runtimes\": { \"nvidia\": { \"path\": \"nvidia-container-runtime\", \"runtimeArgs\": [] } }\n}\n",
        "{\n  \"default-runtime\": \"crun\",\n  \"runtimes\": {\"crun\": {\"path\": \"/usr/bin/crun\"}}\n}\n",
        "{\n  \"labels\": [\"größe=№5 \\u00e4\", \"{\\\"a\\\": 1}\"]\n}\n",
        "\n\n  {\n      \"a\":1\n    , \"b\":2\n  }\n\n",
        "\u{feff}{\n  \"debug\": true\n}\n",
    ];

    #[test]
    fn install_and_uninstall_leave_every_byte_as_it_was() {
        for text in WRITTEN.into_iter().chain(["{}", "{}\n"]) {
            for default in [false, true] {
                let with = file(text).with_runvf(default).unwrap();
                assert!(file(&with).has_runvf().unwrap(), "{with}");
                let before = file(text).default_runtime().unwrap();
                assert_eq!(file(&with).without_runvf(before.as_deref()).unwrap(), text, "{with}");
                assert_eq!(file(&with).with_runvf(default).unwrap(), with, "once more");
            }
        }
    }

    #[test]
    fn what_is_written_means_what_was_asked_and_keeps_the_rest() {
        for text in WRITTEN {
            let with = file(text).with_runvf(true).unwrap();
            let value = |text: &str| -> Value {
                serde_json::from_str(text.trim_start_matches(MARK)).unwrap()
            };
            let mut expected = value(text);
            expected["runtimes"]["runvf"]["path"] = RUNTIME.into();
            expected["default-runtime"] = "runvf".into();
            assert_eq!(value(&with), expected);
            assert_eq!(with.contains("\r\n"), text.contains("\r\n"));
            assert_eq!(
                with.matches('\n').count(),
                with.lines().count() - usize::from(!with.ends_with('\n'))
            );
        }
    }

    #[test]
    fn a_file_that_is_empty_or_not_there_gets_the_usual_form() {
        let usual = "{\n    \"runtimes\": {\n        \"runvf\": {\n            \"path\": \"/usr/bin/runvf\"\n        }\n    }\n}\n";
        for text in [None, Some(""), Some("\n"), Some("{}\n")] {
            let file = DaemonJson { text, ..file("") };
            assert_eq!(file.with_runvf(false).unwrap(), usual);
        }
    }

    #[test]
    fn anothers_runvf_is_left_alone() {
        let text = "{\"runtimes\": {\"runvf\": {\"path\": \"/opt/runvf\"}}}";
        for result in [file(text).with_runvf(false), file(text).without_runvf(None)] {
            assert_eq!(
                result.unwrap_err().line(),
                "/etc/docker/daemon.json: `runtimes.runvf` is there already, with the path \"/opt/runvf\"; \
                 take it out, or give it the path \"/usr/bin/runvf\""
            );
        }
    }

    #[test]
    fn the_explicit_form_names_what_a_reload_would_overlook() {
        assert_eq!(
            file("{\"debug\": true}").explicit(true).unwrap(),
            "{\"debug\": true, \"runtimes\": {}, \"default-runtime\": \"runc\"}"
        );
        let whole = "{\"runtimes\": {}, \"default-runtime\": \"crun\"}";
        assert_eq!(file(whole).explicit(true).unwrap(), whole);
        assert_eq!(file("{\"a\":1}").explicit(false).unwrap(), "{\"a\":1, \"runtimes\": {}}");
    }
}
