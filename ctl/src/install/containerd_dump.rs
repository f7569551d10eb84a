//! Checks the configuration that containerd reads, as `containerd config dump` prints it.

use toml_edit::{Document, Item};

use super::containerd_toml::{default_runtime, plugin, runtimes};
use super::engine::{NAME, RUNTIME};
use super::options::Action;

/// Checks that containerd has its default runtime and, after an install, runvf. The error completes
/// the sentence "containerd does not apply this configuration: …".
pub(super) fn check(dump: &str, action: Action) -> Result<(), String> {
    let parsed = Document::parse(dump).map_err(|error| error.message().to_owned())?;
    let root = parsed.as_item();
    let found = [3, 2].into_iter().find_map(|v| Some((plugin(v), runtimes(root, plugin(v))?)));
    let (plugin, runtimes) = match (found, action) {
        (Some(found), _) => found,
        (None, Action::Install) => return Err("it has no CRI plugin".to_owned()),
        (None, Action::Uninstall) => return Ok(()),
    };
    let runvf = runtimes.get(NAME).and_then(|runvf| runvf.get("options")?.get("BinaryName"));
    if action == Action::Install && runvf.and_then(Item::as_str) != Some(RUNTIME) {
        return Err(format!("it would not have the runtime {NAME}"));
    }
    match default_runtime(root, plugin) {
        Some(default) if runtimes.get(default).is_none() => {
            Err(format!("it would lose its default runtime {default}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_without_runvf_or_the_default_runtime_is_an_error() {
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
        let lost = Err("it would lose its default runtime runc".to_owned());
        assert_eq!(check(&dump(["runc", "runvf"]), Action::Install), Ok(()));
        assert_eq!(check(&dump(["kata", "runvf"]), Action::Install), lost);
        let without = check(&dump(["runc", "kata"]), Action::Install);
        assert_eq!(without.unwrap_err(), "it would not have the runtime runvf");
        assert_eq!(check("", Action::Install).unwrap_err(), "it has no CRI plugin");

        assert_eq!(check(&dump(["runc", "kata"]), Action::Uninstall), Ok(()));
        assert_eq!(check(&dump(["kata", "other"]), Action::Uninstall), lost);
        assert_eq!(check("", Action::Uninstall), Ok(()));
    }
}
