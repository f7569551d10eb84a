//! The tests of `crate::hostile` for the files of a container that another runtime creates.

use std::fs;

use proptest::prelude::*;

use super::bundle::Bundle;
use super::record::Record;
use crate::error::line;
use crate::hostile::corpus;

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn a_mutated_bundle_is_parsed_or_refused(text in corpus::mutated("bundle")) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), &text).unwrap();
        match Bundle::load(folder.path()) {
            Err(error) => prop_assert!(!line(&error).contains('\n')),
            Ok(bundle) => {
                bundle.netns();
                bundle.wants_terminal();
                bundle.net_devices();
                let annotations = bundle.annotations_of_runvf();
                prop_assert!(annotations.keys().all(|key| key.starts_with(vf::PREFIX)));
            }
        }
    }

    #[test]
    fn a_mutated_record_is_parsed_or_refused(text in corpus::mutated("delegated")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        match Record::read(file.path()) {
            Err(error) => prop_assert!(!line(&error).contains('\n')),
            Ok(record) => drop(record.unwrap().request()),
        }
    }
}
