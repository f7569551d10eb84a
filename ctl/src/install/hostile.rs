//! Any content of an engine's configuration is edited correctly or refused with one line, without a
//! panic: see `corpus`.

use std::path::Path;

use proptest::prelude::*;

use super::containerd_toml::{ConfigToml, Form};
use super::daemon_json::DaemonJson;

#[path = "../../../tests/corpus/corpus.rs"]
mod corpus;

fn one_line(line: &str) {
    assert!(!line.contains('\n'), "{line:?}");
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn mutated_daemon_json_gets_runvf_or_one_error_line(text in corpus::mutated("daemon.json"), default in any::<bool>()) {
        let text = String::from_utf8_lossy(&text);
        let path = Path::new("/etc/docker/daemon.json");
        let before = DaemonJson { path, text: Some(&text) };
        let had = before.has_runvf();
        match before.with_runvf(default) {
            Err(error) => one_line(&error.line()),
            Ok(with) => {
                let with = DaemonJson { path, text: Some(&with) };
                prop_assert!(with.has_runvf().unwrap());
                let without = with.without_runvf(None).unwrap();
                let without = DaemonJson { path, text: Some(&without) };
                prop_assert!(had.unwrap() || !without.has_runvf().unwrap());
            }
        }
    }

    #[test]
    fn mutated_config_toml_gets_runvf_or_one_error_line(text in corpus::mutated("containerd.toml"), tables in any::<bool>()) {
        let text = String::from_utf8_lossy(&text);
        let path = Path::new("/etc/containerd/config.toml");
        let form = || if tables { Form::Tables } else { Form::DropIn };
        match (ConfigToml { path, text: &text }).with_runvf(form()) {
            Err(error) => one_line(&error.line()),
            Ok(with) => {
                let with = ConfigToml { path, text: &with };
                prop_assert!(with.has_runvf(form()).unwrap());
                match with.without_runvf() {
                    Err(error) => one_line(&error.line()),
                    Ok((without, _)) => {
                        let without = ConfigToml { path, text: &without };
                        prop_assert!(!without.has_runvf(Form::Tables).unwrap());
                    }
                }
            }
        }
    }
}
