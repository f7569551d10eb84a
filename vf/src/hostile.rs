//! Whatever others write, runvf answers and does not panic: properties over texts of every kind, made here from pieces or in `corpus`
//! from right ones. Fixed random seeds would find the same cases for ever, so there are none; a case that fails is printed whole.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::host::Host;
use crate::ledger::audit::audit;
use crate::ledger::claim::tests::claim;
use crate::ledger::claim::{Claims, State};
use crate::policy::authorize::decide;
use crate::policy::config::Config;
use crate::policy::request::Request;

#[path = "../../tests/corpus/corpus.rs"]
mod corpus;

/// Pieces of a configuration, right and wrong, so that most cases get past the parser.
fn config_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("[[pool]]".to_owned()),
        4 => Just("[[tenant]]".to_owned()),
        6 => "name = \"(a|b|acme|\\PC{0,4})\"",
        4 => "pfs = \\[\"(x|y|0000:01:00.0|../.)\"(, \"[a-z/]{0,3}\")?\\]",
        6 => "vlans = \\[(\"?[0-9-]{1,9}\"?(, )?){0,4}\\]",
        2 => "pools = \\[\"(a|b|c)\"\\]",
        2 => "(max|vfs) = -?[0-9]{1,19}",
        1 => "(carrier|scrub|on_loss) = \"[a-z]{0,6}\"",
        1 => "\\PC{0,20}",
    ]
}

fn annotation() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![
        3 => "io\\.runvf\\.(vlan|pool|mtu|mac|qos|proto|tenant)",
        3 => "io\\.runvf\\.(vlan|pool|mtu|mac|qos|proto)\\.\\PC{0,17}",
        1 => "io\\.runvf\\..{0,90}",
        1 => ".{0,20}",
    ];
    (key, prop_oneof![2 => "[0-9]{1,5}", 1 => "(acme|a|b|x)", 1 => ".{0,80}"])
}

fn config_or_line(text: &str) {
    match Config::parse(text, Path::new("/c.toml")) {
        Err(error) => one_line(&error.line()),
        Ok(config) => {
            let shown = config.to_toml();
            let again = Config::parse(&shown, Path::new("/c.toml"));
            assert_eq!(again.map(|again| again.to_toml()).map_err(|error| error.line()), Ok(shown));
        }
    }
}

fn one_line(line: &str) {
    assert!(!line.contains(char::is_control), "{line:?}");
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn any_text_is_a_config_or_a_line(lines in vec(config_line(), 0..12), tail in any::<String>(), cut in any::<bool>()) {
        config_or_line(&(lines.join("\n") + if cut { tail.as_str() } else { "" }));
    }

    #[test]
    fn a_mutated_config_is_one_or_a_line(text in corpus::mutated("config")) {
        let text = String::from_utf8_lossy(&text);
        config_or_line(&text);
    }

    #[test]
    fn mutated_annotations_are_a_request_or_a_line(text in corpus::mutated("annotations")) {
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
        if let Err(error) = Request::from_annotations(pairs) {
            one_line(&error.line());
        }
    }

    #[test]
    fn a_mutated_audit_file_is_read_to_its_end(text in corpus::mutated("audit")) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host { audit: folder.path().join("audit.jsonl"), ..Host::below(folder.path()) };
        fs::write(&host.audit, &text).unwrap();
        let read = audit(&host).unwrap();
        read.damaged.iter().for_each(|line| one_line(line));
        let blank = |line: &&[u8]| !line.trim_ascii().is_empty();
        let lines = text.split(|byte| *byte == b'\n').filter(blank).count();
        prop_assert_eq!(read.entries.len() + read.damaged.len(), lines);
    }

    #[test]
    fn any_annotations_are_a_request_or_a_line(annotations in vec(annotation(), 0..8)) {
        let text = "pool = [{ name = \"a\", pfs = [\"x\"] }]\n\
            tenant = [{ name = \"acme\", vlans = [\"1-2000\"] }, { name = \"x\", vlans = [3000] }]";
        let path = Path::new("/c.toml");
        let config = Config::parse(text, path).unwrap();
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        match Request::from_annotations(pairs) {
            Err(error) => one_line(&error.line()),
            Ok(None) => {}
            Ok(Some(request)) => match decide(&config, &request, path) {
                Err(error) => one_line(&error.line()),
                // What must never happen, number 5.
                Ok(decision) => {
                    let party = decision.tenant.unwrap();
                    prop_assert!(decision.interfaces.iter().all(|(one, _)| party.tenant.owns(one.vlan)));
                    prop_assert!(request.tenant.is_none_or(|named| named == party.tenant.name));
                }
            },
        }
    }

    #[test]
    fn any_text_in_a_claims_place_keeps_the_vf(text in corpus::mutated("claim")) {
        const VF: &str = "0000:01:10.0";
        // On a tmpfs, as claims are: a disk would be waited for.
        let run = tempfile::tempdir_in("/dev/shm").unwrap();
        let claims = Claims::open(run.path()).unwrap();
        fs::write(run.path().join(format!("claims/{VF}.json")), &text).unwrap();
        match claims.get(VF) {
            Ok(found) => {
                let found = found.unwrap();
                prop_assert_eq!(&found.vf, VF);
                found.claimed_at();
                found.is_abandoned();
                found.state.may_become(&State::Releasing);
            }
            Err(error) => one_line(&error.line()),
        }
        prop_assert!(claims.is_taken(VF));
        prop_assert!(!claims.create(&claim(VF, "another")).unwrap());
    }
}
