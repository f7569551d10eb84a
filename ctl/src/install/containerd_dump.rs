//! What containerd makes of its configuration, as `config dump` prints it.

use toml_edit::{Document, Item};

use super::containerd_toml::{default_runtime, plugin, runtimes};
use super::{NAME, RUNTIME, Verb};

/// Whether it has the runtime that it uses by default, and runvf if it is to have that.
pub(super) fn works(dump: &str, verb: Verb) -> Result<(), String> {
    let parsed = Document::parse(dump).map_err(|error| error.message().to_owned())?;
    let root = parsed.as_item();
    let found = [3, 2].into_iter().find_map(|v| Some((plugin(v), runtimes(root, plugin(v))?)));
    let (plugin, runtimes) = match (found, verb) {
        (Some(found), _) => found,
        (None, Verb::Install) => return Err("it has no CRI plugin".to_owned()),
        (None, Verb::Uninstall) => return Ok(()),
    };
    let runvf = runtimes.get(NAME).and_then(|runvf| runvf.get("options")?.get("BinaryName"));
    if verb == Verb::Install && runvf.and_then(Item::as_str) != Some(RUNTIME) {
        return Err(format!("it has no runtime {NAME} then"));
    }
    match default_runtime(root, plugin) {
        Some(default) if runtimes.get(default).is_none() => {
            Err(format!("it loses its default runtime {default}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let lost = Err("it loses its default runtime runc".to_owned());
        assert_eq!(works(&dump(["runc", "runvf"]), Verb::Install), Ok(()));
        assert_eq!(works(&dump(["kata", "runvf"]), Verb::Install), lost);
        let without = works(&dump(["runc", "kata"]), Verb::Install);
        assert_eq!(without.unwrap_err(), "it has no runtime runvf then");
        assert_eq!(works("", Verb::Install).unwrap_err(), "it has no CRI plugin");

        assert_eq!(works(&dump(["runc", "kata"]), Verb::Uninstall), Ok(()));
        assert_eq!(works(&dump(["kata", "other"]), Verb::Uninstall), lost);
        assert_eq!(works("", Verb::Uninstall), Ok(()));
    }
}
