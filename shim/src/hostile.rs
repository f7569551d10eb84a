//! Whatever an engine, or what was left in a container's folder, says is answered and panics nothing: see `corpus`.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use libcontainer::oci_spec::runtime::Spec;
use proptest::prelude::*;

use crate::cli::Arguments;
use crate::commands::{exec, update};
use crate::config::Config;
use crate::container::Container;
use crate::error::{Error, line};
use crate::libcontainer::symlinks;
use crate::vf::{Netns, parse_request};

#[path = "../../tests/corpus/corpus.rs"]
pub(crate) mod corpus;

fn one_line<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| assert!(!line(error).contains('\n'), "{error:?}")).ok()
}

proptest! {
    #![proptest_config(corpus::config())]

    #[test]
    fn a_mutated_runtime_toml_is_one_or_a_line(text in corpus::mutated("runtime")) {
        let text = String::from_utf8_lossy(&text);
        one_line(Config::parse(&text, Path::new("/r.toml")));
    }

    #[test]
    fn a_mutated_bundle_is_looked_at_or_refused(text in corpus::mutated("bundle")) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, &text).unwrap();
        if let Ok(spec) = Spec::load(&path) {
            Netns::of(&spec);
            one_line(parse_request(spec.annotations().as_ref()));
            one_line(symlinks::check(&spec, folder.path()));
        }
    }

    #[test]
    fn a_mutated_process_is_one_or_a_line(text in corpus::mutated("process")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        one_line(exec::read_process(file.path()));
    }

    #[test]
    fn mutated_resources_are_some_or_a_line(text in corpus::mutated("resources")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        one_line(update::read(file.path()));
    }

    #[test]
    fn a_mutated_container_is_one_or_a_line(state in corpus::mutated("container"), record in corpus::mutated("record")) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        fs::write(root.path().join("c/state.json"), &state).unwrap();
        fs::write(root.path().join("c/runvf.json"), &record).unwrap();
        let words = ["runvf", "--root", root.path().to_str().unwrap(), "list"];
        if let Some(container) = one_line(Container::load(&Arguments::parse_from(words).global, "c")) {
            container.init();
            one_line(container.request());
        }
    }

    #[test]
    fn any_id_is_a_folder_of_the_root_or_a_line(id in ".{0,40}|[a-z./+-]{0,8}") {
        let global = Arguments::parse_from(["runvf", "--root", "/r", "list"]).global;
        if let Some(folder) = one_line(crate::container::folder(&global, &id)) {
            prop_assert_eq!(folder.parent(), Some(Path::new("/r")));
        }
    }
}
