//! Mutated input never causes a panic: neither input from an engine nor a damaged file in a
//! container's folder. The result is a value or an error of one line. See `corpus`.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use proptest::prelude::*;

use crate::cli::Arguments;
use crate::commands::update;
use crate::config::Config;
use crate::container::{self, Container};
use crate::error::{Error, line};
use crate::libcontainer::{process_check, spec_fields, symlinks};
use crate::log::Log;
use crate::vf::{Netns, net_devices, parse_request};

#[path = "../../tests/corpus/corpus.rs"]
pub(crate) mod corpus;

/// Asserts that an error fits on one line.
fn value_or_line<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| assert!(!line(error).contains('\n'), "{error:?}")).ok()
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn a_mutated_runtime_toml_is_parsed_or_refused(text in corpus::mutated("runtime")) {
        let text = String::from_utf8_lossy(&text);
        value_or_line(Config::parse(&text, Path::new("/r.toml")));
    }

    #[test]
    fn a_mutated_bundle_is_parsed_or_refused(text in corpus::mutated("bundle")) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), &text).unwrap();
        if let Some(spec) = value_or_line(container::load_spec(folder.path())) {
            Netns::of(&spec);
            net_devices(&spec);
            value_or_line(parse_request(spec.annotations().as_ref()));
            value_or_line(symlinks::check(&spec, folder.path()));
        }
    }

    #[test]
    fn a_mutated_process_is_parsed_or_refused(text in corpus::mutated("process")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        if let Some((process, document)) = value_or_line(container::load_process(file.path())) {
            value_or_line(process_check::check(&process));
            value_or_line(spec_fields::check(&document, "process", file.path(), &Log::default()));
        }
    }

    #[test]
    fn mutated_resources_are_parsed_or_refused(text in corpus::mutated("resources")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        value_or_line(update::read(file.path(), &Log::default()));
    }

    #[test]
    fn a_mutated_container_is_loaded_or_refused(
        state in corpus::mutated("container"),
        record in corpus::mutated("record"),
    ) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        fs::write(root.path().join("c/state.json"), &state).unwrap();
        fs::write(root.path().join("c/runvf.json"), &record).unwrap();
        let line = ["runvf", "--root", root.path().to_str().unwrap(), "list"];
        let global = Arguments::parse_from(line).global;
        if let Some(container) = value_or_line(Container::load(&global, "c")) {
            container.init();
            value_or_line(container.request());
        }
    }

    #[test]
    fn any_id_is_refused_or_a_folder_directly_below_the_root(id in ".{0,40}|[a-z./+-]{0,8}") {
        let global = Arguments::parse_from(["runvf", "--root", "/r", "list"]).global;
        if let Some(folder) = value_or_line(crate::container::folder(&global, &id)) {
            prop_assert_eq!(folder.parent(), Some(Path::new("/r")));
        }
    }
}
