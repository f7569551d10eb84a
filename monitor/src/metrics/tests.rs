use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use vf::Host;

use super::*;
use crate::invented::{self, Moment, claim, pf, vf};

/// A sample of the text format, read back: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Parses the text format 0.0.4 strictly: every line is a comment or a sample, the samples of a
/// family follow its `# TYPE`, and no series is there twice.
fn parse(text: &str) -> Vec<Sample> {
    let (mut samples, mut seen, mut families) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, of_kind) = head.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            assert!(["counter", "gauge", "histogram"].contains(&of_kind), "{line}");
            (family, kind) = (name.to_owned(), of_kind.to_owned());
        } else if !line.starts_with("# HELP ") {
            let sample = parse_sample(line);
            let rest = sample.0.strip_prefix(&family).unwrap_or_else(|| panic!("{line}"));
            let suffixes: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&rest), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            assert!(seen.insert((sample.0.clone(), sample.1.clone())), "twice: {line}");
            samples.push(sample);
        }
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    assert!(!name.is_empty() && name.chars().all(is_name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"").unwrap();
            let (value, after) = unescape(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after;
        }
        rest = &rest[1..];
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
}

/// The text up to the closing quote, and what follows the quote.
fn unescape(text: &str) -> (String, &str) {
    let (mut value, mut signs) = (String::new(), text.char_indices());
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return (value, &text[at + 1..]),
            '\\' => match signs.next().unwrap().1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    panic!("no closing quote in {text}")
}

fn state() -> State {
    State::new(Host::default())
}

fn value(samples: &[Sample], name: &str, label: (&str, &str)) -> Option<f64> {
    let (key, wanted) = label;
    let is_it = |sample: &&Sample| {
        sample.0 == name && sample.1.get(key).map(String::as_str) == Some(wanted)
    };
    samples.iter().find(is_it).map(|sample| sample.2)
}

#[test]
fn the_text_reads_back_and_has_what_the_page_has() {
    let samples = parse(&render(&invented::view(Moment::Trouble), &state()));
    let bravo = ("pci_address", "0000:01:10.2");
    let civic = ("pci_address", "0000:01:10.4");
    assert_eq!(value(&samples, "runvf_vf_info", ("tenant", "bravo")), Some(1.0));
    assert_eq!(value(&samples, "runvf_vf_blind", bravo), Some(1.0));
    assert_eq!(value(&samples, "runvf_vf_gaps_total", bravo), Some(2.0));
    // With the present gap.
    let blind_seconds = value(&samples, "runvf_vf_blind_seconds_total", bravo).unwrap();
    assert!((6.0..6.01).contains(&blind_seconds), "{blind_seconds}");
    assert_eq!(value(&samples, "runvf_vf_in_doubt", bravo), Some(1.0));
    for (name, expected) in
        [("runvf_vf_blind", 0.0), ("runvf_vf_in_doubt", 0.0), ("runvf_vf_watched", 1.0)]
    {
        assert_eq!(value(&samples, name, civic), Some(expected), "{name}");
    }
    assert_eq!(value(&samples, "runvf_vf_watched", ("pci_address", "0000:01:10.6")), None);
    assert_eq!(value(&samples, "runvf_vf_receive_packets_total", civic), Some(5000.0));
    assert_eq!(value(&samples, "runvf_claims", ("state", "quarantined")), Some(1.0));
    assert_eq!(value(&samples, "runvf_tenant_max", ("tenant", "acme")), Some(1.0));
    assert_eq!(value(&samples, "runvf_pf_carrier", ("device", "pf-b")), Some(0.0));
    assert_eq!(value(&samples, "runvf_pf_receive_discards_total", ("device", "pf0")), Some(12.0));
    assert_eq!(value(&samples, "runvf_attach_duration_seconds_bucket", ("le", "0.25")), Some(2.0));
}

#[test]
fn a_counter_that_does_not_exist_is_missing_and_not_zero() {
    let mut view = invented::view(Moment::Calm);
    view.pfs = vec![pf("pf0", vec![vf(0, Some(claim("acme", 100, "n"))), vf(1, None)])];
    view.watched.clear();
    let samples = parse(&render(&view, &state()));
    let acme = ("pci_address", "0000:01:10.0");
    for name in ["runvf_vf_receive_packets_total", "runvf_vf_receive_dropped_total"] {
        assert_eq!(value(&samples, name, acme), None);
    }
    assert_eq!(value(&samples, "runvf_vf_carrier", acme), Some(1.0));
    assert_eq!(value(&samples, "runvf_vf_watched", acme), Some(0.0), "it is not in the set");
    // A free VF cannot be blind.
    assert_eq!(value(&samples, "runvf_vf_blind", ("pci_address", "0000:01:10.2")), None);
}

#[test]
fn an_idle_netns_is_no_doubt_and_a_pod_has_labels() {
    let mut view = invented::view_after(Moment::Calm, 1);
    let vf = &mut view.pfs[0].vfs[0];
    (vf.idle, vf.reason) = (true, Some("no process runs".to_owned()));
    let claim = vf.claim.as_mut().unwrap();
    let pod = serde_json::json!({ "namespace": "ns", "name": "p", "sandbox": "5a" });
    claim.pod = serde_json::from_value(pod).unwrap();
    let samples = parse(&render(&view, &state()));
    let acme = ("pci_address", "0000:01:10.0");
    assert_eq!(value(&samples, "runvf_vf_idle", acme), Some(1.0));
    assert_eq!(value(&samples, "runvf_vf_in_doubt", acme), Some(0.0));
    assert_eq!(value(&samples, "runvf_vf_idle", ("pci_address", "0000:01:10.2")), Some(0.0));
    for (label, text) in [("namespace", "ns"), ("pod", "p"), ("network", "")] {
        let info = samples.iter().find(|sample| sample.0 == "runvf_vf_info").unwrap();
        assert_eq!(info.1[label], text);
    }
}

#[test]
fn a_look_that_does_not_end_grows_old() {
    let state = state();
    let age = || {
        let text = render(&invented::view_after(Moment::Calm, 1), &state);
        let samples = parse(&text);
        let is_it = |sample: &&Sample| sample.0 == "runvf_monitor_oldest_look_seconds";
        samples.iter().find(is_it).unwrap().2
    };
    assert_eq!(age(), 0.0);
    state.look_begins("0000:01:00.0");
    let first = age();
    assert!(first > 0.0);
    state.look_begins("0000:02:00.0");
    assert!(age() > first, "the oldest one counts");
    state.look_ended("0000:01:00.0");
    state.look_ended("0000:02:00.0");
    assert_eq!(age(), 0.0);
}

proptest! {
    /// A container controls some of the names.
    #[test]
    fn no_name_breaks_the_text(container in ".*", tenant in "\\PC*[\"\\\\\n]*", driver in ".*") {
        let mut view = invented::view_after(Moment::Calm, 1);
        let vf = &mut view.pfs[0].vfs[0];
        vf.driver = Some(driver.clone());
        if let Some(claim) = &mut vf.claim {
            (claim.container, claim.tenant) = (container.clone(), Some(tenant.clone()));
        }
        // `str::lines`, and so the parser, would take a carriage return before a line feed off.
        prop_assume!(![&container, &tenant, &driver].iter().any(|name| name.contains('\r')));
        let samples = parse(&render(&view, &state()));
        let info = samples.iter().find(|sample| sample.0 == "runvf_vf_info").unwrap();
        prop_assert_eq!(&info.1["container"], &container);
        prop_assert_eq!(&info.1["tenant"], &tenant);
        prop_assert_eq!(&info.1["driver"], &driver);
    }
}
