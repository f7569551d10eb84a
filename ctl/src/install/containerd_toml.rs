//! runvf's part of containerd's configuration: text in, text out. As with JSON, a parser says where things are, and every byte
//! that is not runvf's stays.

use std::path::Path;

use toml_edit::{Document, Item};

use super::{NAME, RUNTIME};
use crate::error::Error;

/// Where containerd gets runvf from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// containerd 1: tables in the user's file. A drop-in would not do: for each plugin that it names, it replaces everything that
    /// the user's file says of that plugin.
    Tables,
    /// containerd 2, which merges: a file of our own, and a line that imports it.
    DropIn,
}

pub(super) const DROP_IN: &str = "/etc/containerd/conf.d/50-runvf.toml";

/// The user's file, and its name for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigToml<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// The plugin that has the runtimes, in this version of the configuration.
pub(super) fn plugin(version: i64) -> &'static str {
    if version >= 3 { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" }
}

/// Its version may not be higher than that of the file that imports it.
pub(super) fn drop_in(version: i64) -> String {
    format!(
        "# runvf, by `runvfctl install containerd`\nversion = {version}\n\n{}",
        runvf_table(version)
    )
}

fn runvf_table(version: i64) -> String {
    let table = format!("plugins.\"{}\".containerd.runtimes.{NAME}", plugin(version));
    format!(
        "[{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n  pod_annotations = [\"io.runvf.*\"]\n  container_annotations = \
         [\"io.runvf.*\"]\n  [{table}.options]\n    BinaryName = \"{RUNTIME}\"\n"
    )
}

/// containerd 1 forgets the runtime it has by itself as soon as any is named, and without its default one it starts no CRI.
fn runc_table(version: i64) -> String {
    format!(
        "[plugins.\"{}\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n",
        plugin(version)
    )
}

fn tables(version: i64, with_runc: bool) -> String {
    let runc = if with_runc { runc_table(version) } else { String::new() };
    format!(
        "\n# runvf, by `runvfctl install containerd`; the rest of this file is not its\n{runc}{}",
        runvf_table(version)
    )
}

impl<'a> ConfigToml<'a> {
    pub(super) fn version(self) -> Result<i64, Error> {
        let version = self.parsed()?.get("version").and_then(Item::as_integer).unwrap_or(1);
        if version >= 2 {
            return Ok(version);
        }
        Err(self.problem(
            "it is of version 1, which has no place for runvf".to_owned(),
            "begin it with `version = 2` and write the plugins' names in full; containerd 2 prints it so with `containerd config migrate`",
        ))
    }

    pub(super) fn with_runvf(self, form: Form) -> Result<String, Error> {
        match form {
            Form::Tables => self.with_tables(),
            Form::DropIn => {
                let text = self.with_import()?;
                // What is written is never worse than what was there.
                match (ConfigToml { text: &text, ..self }).imports_us() {
                    Ok(true) => Ok(text),
                    _ => Err(self.problem(
                        "no import can be added to it".to_owned(),
                        "add `imports = [\"/etc/containerd/conf.d/50-runvf.toml\"]` by hand",
                    )),
                }
            }
        }
    }

    /// Of whichever form it is there. The table of runc stays if only runvf's part names the runtime that the others came to need; the
    /// second value is whether it does.
    pub(super) fn without_runvf(self) -> Result<(String, bool), Error> {
        let version = self.version()?;
        let (cut, with_runc) = (self.cut(version, ""), self.cut(version, &runc_table(version)));
        let at = |text| ConfigToml { text, ..self };
        let keeps_runc =
            at(&cut).lacks_its_default(version)? && !at(&with_runc).lacks_its_default(version)?;
        let text = if keeps_runc { with_runc } else { cut };
        let rest = ConfigToml { text: &text, ..self };
        if rest.binary()?.is_some() {
            return Err(self.problem(
                format!("the runtime {NAME} is not as it was written"),
                "take it out by hand",
            ));
        }
        Ok((rest.without_import()?, keeps_runc))
    }

    /// Without runvf's tables. `runc` is what is left of them if they have one of runc.
    fn cut(self, version: i64, runc: &str) -> String {
        let mut text = self.text.to_owned();
        for (with_runc, left) in [(true, runc), (false, "")] {
            let tables = tables(version, with_runc);
            for newline in ["\r\n", "\n"] {
                let [tables, left] = [&tables, left].map(|text| text.replace('\n', newline));
                text = text.replace(&tables, &left);
            }
        }
        text
    }

    /// Whether runtimes are named, and the one that containerd uses by default is not among them.
    fn lacks_its_default(self, version: i64) -> Result<bool, Error> {
        let parsed = self.parsed()?;
        let all = runtimes(parsed.as_item(), plugin(version)).and_then(Item::as_table_like);
        let default = default_runtime(parsed.as_item(), plugin(version)).unwrap_or("runc");
        Ok(all.is_some_and(|all| !all.is_empty() && !all.contains_key(default)))
    }

    /// Whether pods can be had of this containerd at all.
    pub(super) fn cri_is_disabled(self) -> bool {
        let Ok(parsed) = self.parsed() else { return false };
        let disabled = parsed.get("disabled_plugins").and_then(Item::as_array);
        disabled.is_some_and(|all| {
            all.iter()
                .filter_map(toml_edit::Value::as_str)
                .any(|name| ["cri", plugin(2), plugin(3)].contains(&name))
        })
    }

    pub(super) fn has_runvf(self, form: Form) -> Result<bool, Error> {
        Ok(match form {
            Form::Tables => self.binary()?.is_some(),
            Form::DropIn => self.imports_us()?,
        })
    }

    fn with_tables(self) -> Result<String, Error> {
        let version = self.version()?;
        match self.binary()? {
            Some(path) if path == RUNTIME => return Ok(self.text.to_owned()),
            Some(path) => {
                return Err(self.problem(
                    format!("the runtime {NAME} is there already, with the program {path}"),
                    "take it out first",
                ));
            }
            None => {}
        }
        let parsed = self.parsed()?;
        let others = runtimes(parsed.as_item(), plugin(version))
            .and_then(Item::as_table_like)
            .is_some_and(|runtimes| !runtimes.is_empty());
        let newline = self.newline();
        let mut text = self.text.to_owned();
        if !text.ends_with('\n') {
            text.push_str(newline);
        }
        text.push_str(&tables(version, !others).replace('\n', newline));
        // Tables cannot be added to one that is written in braces.
        ConfigToml { text: &text, ..self }.parsed().map_err(|_| {
            self.problem(
                "its plugins are written in braces".to_owned(),
                "write them as tables first, `[plugins.\"…\"]`",
            )
        })?;
        Ok(text)
    }

    /// The program of the runtime runvf, if there is such a runtime.
    fn binary(self) -> Result<Option<String>, Error> {
        let parsed = self.parsed()?;
        let runvf = [2, 3]
            .into_iter()
            .find_map(|version| runtimes(parsed.as_item(), plugin(version))?.get(NAME));
        Ok(runvf.map(|runvf| {
            let binary = runvf.get("options").and_then(|options| options.get("BinaryName"));
            binary.and_then(Item::as_str).unwrap_or("runc").to_owned()
        }))
    }

    pub(super) fn parsed(self) -> Result<Document<&'a str>, Error> {
        Document::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(self.text.len()));
            let before = &self.text[..at];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
            self.problem(
                format!("{} at line {line} column {column}", error.message()),
                "correct it first; nothing was changed",
            )
        })
    }

    pub(super) fn newline(self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    pub(super) fn problem(self, problem: String, hint: &str) -> Error {
        Error::Content { path: self.path.to_owned(), problem, hint: hint.to_owned() }
    }
}

/// The runtimes of a plugin, in the user's file or in what containerd made of it.
pub(super) fn runtimes<'a>(root: &'a Item, plugin: &str) -> Option<&'a Item> {
    root.get("plugins")?.get(plugin)?.get("containerd")?.get("runtimes")
}

pub(super) fn default_runtime<'a>(root: &'a Item, plugin: &str) -> Option<&'a str> {
    root.get("plugins")?.get(plugin)?.get("containerd")?.get("default_runtime_name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigToml<'_> {
        ConfigToml { path: Path::new("/etc/containerd/config.toml"), text }
    }

    const WRITTEN: [&str; 5] = [
        "version = 2\n",
        "# ours\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"/x\"\n",
        "version = 2\r\n\r\n# hi\r\n[debug]\r\n  level = \"info\"\r\n",
        "version = 2\nimports = [ \"/etc/x.toml\" ] # mine\n",
        "version = 2\nimports = [\n  \"/etc/x.toml\",\n]\n[grpc]\n",
    ];

    #[test]
    fn install_and_uninstall_leave_every_byte_as_it_was() {
        for text in WRITTEN {
            for form in [Form::Tables, Form::DropIn] {
                let with = file(text).with_runvf(form).unwrap();
                assert_eq!(file(&with).with_runvf(form).unwrap(), with, "once more");
                assert!(file(&with).has_runvf(form).unwrap(), "{with}");
                assert_eq!(
                    file(&with).without_runvf().unwrap(),
                    (text.to_owned(), false),
                    "{with}"
                );
            }
        }
    }

    #[test]
    fn containerd_1_is_told_of_its_own_runtime_as_well() {
        let with = file("version = 2").with_runvf(Form::Tables).unwrap();
        assert_eq!(
            with,
            "version = 2\n\n# runvf, by `runvfctl install containerd`; the rest of this file is not its\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runvf]\n  runtime_type = \"io.containerd.runc.v2\"\n  \
             pod_annotations = [\"io.runvf.*\"]\n  container_annotations = [\"io.runvf.*\"]\n  \
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runvf.options]\n    BinaryName = \"/usr/bin/runvf\"\n"
        );
        let own = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\"\n";
        let with = file(own).with_runvf(Form::Tables).unwrap();
        assert_eq!(with.matches("runtimes.runc]").count(), 1, "the user's is enough");
    }

    #[test]
    fn runc_stays_where_a_runtime_that_was_added_since_needs_it() {
        const KATA: &str = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n";
        const DEFAULT: &str =
            "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = ";
        let runc = runc_table(2);
        for newline in ["\n", "\r\n"] {
            let own = format!("version = 2{newline}");
            let with = file(&own).with_runvf(Form::Tables).unwrap() + KATA;
            let (left, keeps) = file(&with).without_runvf().unwrap();
            assert_eq!(left, format!("{own}{}{KATA}", runc.replace('\n', newline)));
            assert!(keeps);
            // It is the user's from now on.
            let again = file(&left).with_runvf(Form::Tables).unwrap();
            assert_eq!(again.matches("runtimes.runc]").count(), 1);
            assert_eq!(file(&again).without_runvf().unwrap(), (left, false));
        }
        for default in ["\"kata\"", "\"another\""] {
            let own = format!("version = 2\n{DEFAULT}{default}\n");
            let with = file(&own).with_runvf(Form::Tables).unwrap() + KATA;
            assert_eq!(file(&with).without_runvf().unwrap(), (own + KATA, false), "{default}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let line = |text: &str| file(text).with_runvf(Form::Tables).unwrap_err().line();
        assert_eq!(
            line("version = 2\n[plugins\n"),
            "/etc/containerd/config.toml: unclosed table, expected `]` at line 2 column 9; correct it first; nothing was changed"
        );
        assert!(line("disabled_plugins = [\"cri\"]\n").contains("it is of version 1"));
        let braces = "version = 2\nplugins = { \"io.containerd.grpc.v1.cri\" = { sandbox_image = \"x\" } }\n";
        assert!(line(braces).contains("written in braces"));
        let other = tables(2, false).replace(RUNTIME, "/opt/runvf");
        assert!(line(&format!("version = 2\n{other}")).contains("with the program /opt/runvf"));
    }
}
