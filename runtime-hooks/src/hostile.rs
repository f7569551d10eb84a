//! Any input and any command line of the runtime gives a result or one error line, without a panic:
//! see `corpus`.

use proptest::prelude::*;

use crate::bundle::net_devices;
use crate::netavark;
use crate::report;
use crate::state::State;

#[path = "../../tests/corpus/corpus.rs"]
mod corpus;

fn one_line(line: &str) {
    assert!(!line.contains('\n'), "{line:?}");
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn mutated_state_gives_a_request_or_one_error_line(text in corpus::mutated("state")) {
        match State::read(text.as_slice()).and_then(|state| state.request()) {
            Err(error) => one_line(&error.line()),
            Ok(None) => {}
            Ok(Some(request)) => prop_assert!(!request.interfaces.is_empty()),
        }
    }

    #[test]
    fn mutated_bundle_gives_netdevs_or_one_error_line(text in corpus::mutated("bundle")) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), &text).unwrap();
        if let Err(error) = net_devices(folder.path()) {
            one_line(&error.line());
        }
    }

    #[test]
    fn a_mutated_network_gives_an_answer_or_one_error_line(text in corpus::mutated("network")) {
        let folder = tempfile::tempdir().unwrap();
        let [sysfs, run, config, audit] = ["a", "b", "c", "d"].map(|name| folder.path().join(name));
        std::fs::write(&config, "pool = [{ name = \"p\", pfs = [\"no-such-pf\"] }]").unwrap();
        let host = vf::Host { sysfs, run, config, audit };
        netavark::try_all(&host, &text).iter().for_each(|line| one_line(line));
    }

    #[test]
    fn any_command_line_gives_an_absolute_log_path_or_none(line in prop_oneof![
        "(/usr/bin/crun|--log|--log=|/r/oci-log|\\PC{0,3}|\0){0,12}".prop_map(String::into_bytes), any::<Vec<u8>>(),
    ]) {
        prop_assert!(report::log_path(&line).is_none_or(|log| log.is_absolute()));
    }
}
