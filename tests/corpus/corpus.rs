//! Input for the tests named `hostile` of each crate: a program of runvf answers each input
//! that it reads with a value or with a one-line error, and never panics.
//!
//! `seeds/` has a directory for each kind of input, with valid and with invalid files. An input
//! that broken code has failed on becomes a seed, so that it and its mutations are tried from
//! then on. `make test` tries 256 inputs of each kind; `make fuzz` goes on for a given time.
//!
//! The tests include this file. It is not a crate, because as a crate its dependencies would
//! enable other features of the packages that the programs share with them.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// `PROPTEST_CASES` is the number of inputs. A failing input is printed whole; put it into
/// `seeds/`.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// All seeds of a kind.
///
/// # Panics
/// When there is no seed, because the test would prove nothing.
pub(crate) fn seeds(kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/seeds").join(kind);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().filter_map(|path| fs::read(path).ok()).collect();
    assert!(!seeds.is_empty(), "{folder:?} is empty");
    seeds
}

/// A seed with up to eight changes, or random bytes.
pub(crate) fn mutated(kind: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seed = prop::sample::select(seeds(kind));
    let mutant = (seed, vec(change(), 0..8)).prop_map(|(mut text, changes)| {
        changes.iter().for_each(|change| change.make(&mut text));
        text
    });
    prop_oneof![19 => mutant, 1 => any::<Vec<u8>>()]
}

#[derive(Debug, Clone)]
enum Change {
    /// `length` bytes are replaced by others.
    Replace { at: Index, length: usize, by: Vec<u8> },
    /// A part is repeated at another place, which makes keys double and nesting deep.
    Repeat { from: Index, length: usize, to: Index, times: usize },
    /// Bits of a byte change.
    Flip { at: Index, bits: u8 },
    /// The end is missing.
    Cut { at: Index },
}

/// Tokens that parsers fail on, separated by blanks.
const TOKENS: &str = "{ } [ ] \" ' \\ \\u0000 \\ud800 , : = \n \r\n \0 \u{feff} \u{202e} é 𝄞 null true -1 0 1e999 4294967296 \
    18446744073709551616 0x7f ../ / io.runvf.vlan [[pool]] #";

fn change() -> impl Strategy<Value = Change> {
    let tokens: Vec<&str> = TOKENS.split(' ').collect();
    let token = prop::sample::select(tokens).prop_map(|token| token.as_bytes().to_vec());
    let by = prop_oneof![3 => token, 1 => vec(any::<u8>(), 0..12)];
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), 0usize..6, by).prop_map(|(at, length, by)| Change::Replace { at, length, by }),
        2 => (index(), 1usize..40, index(), 1usize..4)
            .prop_map(|(from, length, to, times)| Change::Repeat { from, length, to, times }),
        1 => (index(), any::<u8>()).prop_map(|(at, bits)| Change::Flip { at, bits }),
        1 => index().prop_map(|at| Change::Cut { at }),
    ]
}

impl Change {
    fn make(&self, text: &mut Vec<u8>) {
        let place = |index: &Index, text: &Vec<u8>| index.index(text.len() + 1);
        match self {
            Self::Replace { at, length, by } => {
                let at = place(at, text);
                let end = (at + length).min(text.len());
                text.splice(at..end, by.iter().copied());
            }
            Self::Repeat { from, length, to, times } => {
                let from = place(from, text);
                let part = text[from..(from + length).min(text.len())].repeat(*times);
                let to = place(to, text);
                text.splice(to..to, part);
            }
            Self::Flip { at, bits } => {
                let at = place(at, text);
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Cut { at } => text.truncate(place(at, text)),
        }
    }
}
