//! Hostile input: for any text, runvf returns a value or an error of one line, and does not panic.
//!
//! The texts are built from fragments here, or by mutation of valid texts in `corpus`. There is no
//! fixed random seed, because it would produce the same cases in each run. A failing case is
//! printed in full.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::host::Host;
use crate::kernel::netns_life::Effort;
use crate::ledger::audit::audit;
use crate::ledger::claim::State;
use crate::ledger::claim::tests::claim;
use crate::ledger::claims::Claims;
use crate::policy::authorize::decide;
use crate::policy::config::Config;
use crate::policy::pod::{CriEngine, Pod, pod_role};
use crate::policy::request::Request;

#[path = "../../tests/corpus/corpus.rs"]
mod corpus;

/// Valid and invalid fragments of a configuration, so that the parser accepts most cases.
fn config_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("[[pool]]".to_owned()),
        4 => Just("[[tenant]]".to_owned()),
        6 => "name = \"(a|b|acme|\\PC{0,4})\"",
        4 => "pfs = \\[\"(x|y|0000:01:00.0|../.)\"(, \"[a-z/]{0,3}\")?\\]",
        6 => "vlans = \\[(\"?[0-9-]{1,9}\"?(, )?){0,4}\\]",
        2 => "pools = \\[\"(a|b|c)\"\\]",
        2 => "(max|vfs) = -?[0-9]{1,19}",
        1 => "(carrier|scrub|on_loss|rest) = \"[a-z]{0,7}\"",
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

fn check_config(text: &str) {
    match Config::parse(text, Path::new("/c.toml")) {
        Err(error) => assert_one_line(&error.line()),
        Ok(config) => {
            let shown = config.to_toml();
            let reparsed = Config::parse(&shown, Path::new("/c.toml"));
            assert_eq!(
                reparsed.map(|config| config.to_toml()).map_err(|error| error.line()),
                Ok(shown)
            );
        }
    }
}

fn assert_one_line(line: &str) {
    assert!(!line.contains(char::is_control), "{line:?}");
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn any_config_text_parses_or_fails_with_one_line(
        lines in vec(config_line(), 0..12),
        tail in any::<String>(),
        with_tail in any::<bool>(),
    ) {
        check_config(&(lines.join("\n") + if with_tail { tail.as_str() } else { "" }));
    }

    #[test]
    fn a_mutated_config_parses_or_fails_with_one_line(text in corpus::mutated("config")) {
        let text = String::from_utf8_lossy(&text);
        check_config(&text);
    }

    #[test]
    fn mutated_annotations_parse_or_fail_with_one_line(text in corpus::mutated("annotations")) {
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
        if let Err(error) = Request::from_annotations(pairs) {
            assert_one_line(&error.line());
        }
    }

    /// Names of a pod go to terminals and logs.
    #[test]
    fn mutated_annotations_give_a_pod_or_one_line(text in corpus::mutated("annotations")) {
        let text = String::from_utf8_lossy(&text);
        let pairs = || text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
        for engine in [None, Some(CriEngine::Containerd), Some(CriEngine::Crio)] {
            match pod_role(pairs(), engine) {
                Err(error) => assert_one_line(&error.line()),
                Ok(None) => {}
                Ok(Some(role)) => {
                    let Pod { namespace, name, sandbox } = role.pod();
                    for text in [namespace, name, sandbox] {
                        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
                        prop_assert!(is_plain && !text.is_empty(), "{text:?}");
                    }
                    prop_assert!(engine.is_some());
                }
            }
        }
    }

    #[test]
    fn a_mutated_audit_log_is_read_to_its_end(text in corpus::mutated("audit")) {
        let folder = tempfile::tempdir().unwrap();
        let audit_log = folder.path().join("audit.jsonl");
        let host = Host { audit: audit_log, ..Host::with_root(folder.path()) };
        fs::write(&host.audit, &text).unwrap();
        let read = audit(&host).unwrap();
        read.damaged.iter().for_each(|line| assert_one_line(line));
        let blank = |line: &&[u8]| !line.trim_ascii().is_empty();
        let lines = text.split(|byte| *byte == b'\n').filter(blank).count();
        // A claim's entry that is there twice is read once.
        let distinct: HashSet<&[u8]> = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect();
        let found = read.entries.len() + read.damaged.len();
        prop_assert!((distinct.len()..=lines).contains(&found), "{found} of {lines}");
    }

    #[test]
    fn any_annotations_parse_or_fail_with_one_line(annotations in vec(annotation(), 0..8)) {
        let text = "pool = [{ name = \"a\", pfs = [\"x\"] }]\n\
            tenant = [{ name = \"acme\", vlans = [\"1-2000\"] }, { name = \"x\", vlans = [3000] }]";
        let path = Path::new("/c.toml");
        let config = Config::parse(text, path).unwrap();
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        match Request::from_annotations(pairs) {
            Err(error) => assert_one_line(&error.line()),
            Ok(None) => {}
            Ok(Some(request)) => match decide(&config, &request, path) {
                Err(error) => assert_one_line(&error.line()),
                // "What must never happen", number 5 (ARCHITECTURE.md): a VLAN goes only to its
                // tenant.
                Ok(decision) => {
                    let grant = decision.tenant.unwrap();
                    let mut interfaces = decision.interfaces.iter();
                    prop_assert!(interfaces.all(|(interface, _)| grant.tenant.owns(interface.vlan)));
                    prop_assert!(request.tenant.is_none_or(|named| named == grant.tenant.name));
                }
            },
        }
    }

    #[test]
    fn any_text_in_a_claim_file_keeps_the_vf_claimed(text in corpus::mutated("claim")) {
        const VF: &str = "0000:01:10.0";
        // On a tmpfs, like the real claims, because a sync to a disk would be slow.
        let run = tempfile::tempdir_in("/dev/shm").unwrap();
        let claims = Claims::open(run.path()).unwrap();
        fs::write(run.path().join(format!("claims/{VF}.json")), &text).unwrap();
        match claims.get(VF) {
            Ok(found) => {
                let found = found.unwrap();
                prop_assert_eq!(&found.vf, VF);
                found.claimed_at();
                found.state.is_abandoned(found.liveness(run.path(), Effort::Quick));
                found.state.may_become(&State::Releasing);
            }
            Err(error) => assert_one_line(&error.line()),
        }
        prop_assert!(claims.is_claimed(VF));
        prop_assert!(!claims.create(&claim(VF, "another")).unwrap());
    }
}
