//! Whatever others write, runvf answers and does not panic: properties over texts of every kind. Fixed seeds would find the same
//! cases for ever, so there are none; a case that fails is printed whole.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::claim::tests::claim;
use crate::claim::{Claims, State};
use crate::policy::decide;
use crate::{Config, Request};

const CASES: u32 = 256;

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

fn one_line(line: &str) {
    assert!(!line.contains(char::is_control), "{line:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_config_or_a_line(lines in vec(config_line(), 0..12), tail in any::<String>(), cut in any::<bool>()) {
        let text = lines.join("\n") + if cut { tail.as_str() } else { "" };
        match Config::parse(&text, Path::new("/c.toml")) {
            Err(error) => one_line(&error.line()),
            Ok(config) => {
                let shown = config.to_toml();
                let again = Config::parse(&shown, Path::new("/c.toml"));
                prop_assert_eq!(again.map(|again| again.to_toml()).map_err(|error| error.line()), Ok(shown));
            }
        }
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
    fn any_text_in_a_claims_place_keeps_the_vf(junk in any::<Vec<u8>>(), at in 0usize..2000, whole in any::<bool>()) {
        const VF: &str = "0000:01:10.0";
        let run = tempfile::tempdir().unwrap();
        let claims = Claims::open(run.path()).unwrap();
        // A claim with something else in its middle, or something else altogether.
        let mut text = serde_json::to_vec_pretty(&claim(VF, "n")).unwrap();
        let at = at % text.len();
        text.splice(at..(at + junk.len()).min(text.len()), junk.iter().copied());
        fs::write(run.path().join(format!("claims/{VF}.json")), if whole { &junk } else { &text }).unwrap();
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
