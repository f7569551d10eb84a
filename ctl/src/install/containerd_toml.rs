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
fn plugin(version: i64) -> &'static str {
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
fn tables(version: i64, with_runc: bool) -> String {
    let runc = format!(
        "[plugins.\"{}\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n",
        plugin(version)
    );
    let runc = if with_runc { runc.as_str() } else { "" };
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

    /// Of whichever form it is there.
    pub(super) fn without_runvf(self) -> Result<String, Error> {
        let mut text = self.text.to_owned();
        let version = self.version()?;
        for with_runc in [true, false] {
            let tables = tables(version, with_runc);
            for tables in [tables.replace('\n', "\r\n"), tables] {
                text = text.replace(&tables, "");
            }
        }
        let rest = ConfigToml { text: &text, ..self };
        if rest.binary()?.is_some() {
            return Err(self.problem(
                format!("the runtime {NAME} is not as it was written"),
                "take it out by hand",
            ));
        }
        rest.without_import()
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
fn runtimes<'a>(root: &'a Item, plugin: &str) -> Option<&'a Item> {
    root.get("plugins")?.get(plugin)?.get("containerd")?.get("runtimes")
}

/// Whether containerd, by what it dumped, has runvf and the runtime that it uses by default.
pub(super) fn works(dump: &str) -> Result<(), String> {
    let parsed = Document::parse(dump).map_err(|error| error.message().to_owned())?;
    let root = parsed.as_item();
    let Some((plugin, runtimes)) =
        [3, 2].into_iter().find_map(|v| Some((plugin(v), runtimes(root, plugin(v))?)))
    else {
        return Err("it has no CRI plugin".to_owned());
    };
    let runvf = runtimes.get(NAME).and_then(|runvf| runvf.get("options")?.get("BinaryName"));
    if runvf.and_then(Item::as_str) != Some(RUNTIME) {
        return Err(format!("it has no runtime {NAME} then"));
    }
    let default = root["plugins"][plugin]["containerd"].get("default_runtime_name");
    match default.and_then(Item::as_str) {
        Some(default) if runtimes.get(default).is_none() => {
            Err(format!("it loses its default runtime {default}"))
        }
        _ => Ok(()),
    }
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
                assert_eq!(file(&with).without_runvf().unwrap(), text, "{with}");
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

    #[test]
    fn a_dump_without_runvf_or_without_its_default_runtime_does_not_work() {
        let dump = |names: [&str; 2]| {
            let table = "plugins.\"io.containerd.grpc.v1.cri\".containerd";
            let runtimes: String = names
                .iter()
                .map(|name| {
                    format!("[{table}.runtimes.{name}.options]\nBinaryName = \"/usr/bin/{name}\"\n")
                })
                .collect();
            format!("[{table}]\ndefault_runtime_name = \"runc\"\n{runtimes}")
        };
        assert_eq!(works(&dump(["runc", "runvf"])), Ok(()));
        assert_eq!(
            works(&dump(["kata", "runvf"])).unwrap_err(),
            "it loses its default runtime runc"
        );
        assert_eq!(works(&dump(["runc", "kata"])).unwrap_err(), "it has no runtime runvf then");
    }
}
