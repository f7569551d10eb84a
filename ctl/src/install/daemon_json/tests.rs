use super::*;

fn file(text: &str) -> DaemonJson<'_> {
    DaemonJson { path: Path::new("/etc/docker/daemon.json"), text: Some(text) }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text.trim_start_matches(BYTE_ORDER_MARK)).unwrap()
}

/// Files in the styles that users write.
pub(crate) const WRITTEN: [&str; 14] = [
    "{\n  \"debug\": true\n}\n",
    "{\n\t\"log-driver\": \"journald\",\n\t\"dns\": [\n\t\t\"10.0.0.1\"\n\t]\n}\n",
    "{\r\n    \"debug\": true,\r\n    \"hosts\": [\"fd://\"]\r\n}\r\n",
    "{\n  \"debug\": true\n}",
    "{\"debug\":true,\"iptables\":false}",
    "{ \"debug\" : true }\n",
    "{\n  \"runtimes\": {\n    \"kata\": {\n      \"runtimeType\": \"io.containerd.kata.v2\"\n    }\n  },\n  \"debug\": true\n}\n",
    "{\n    \"runtimes\": { \"nvidia\": { \"path\": \"nvidia-container-runtime\", \"runtimeArgs\": [] } }\n}\n",
    "{\n  \"default-runtime\": \"crun\",\n  \"runtimes\": {\"crun\": {\"path\": \"/usr/bin/crun\"}}\n}\n",
    "{\n  \"labels\": [\"größe=№5 \\u00e4\", \"{\\\"a\\\": 1}\"]\n}\n",
    "\n\n  {\n      \"a\":1\n    , \"b\":2\n  }\n\n",
    "\u{feff}{\n  \"debug\": true\n}\n",
    "{}",
    "{}\n",
];

#[test]
fn install_and_removal_keep_every_other_key_and_the_line_ends() {
    for text in WRITTEN {
        for default in [false, true] {
            let with = file(text).with_runvf(default).unwrap();
            assert!(file(&with).has_runvf().unwrap(), "{with}");
            assert_eq!(file(&with).with_runvf(default).unwrap(), with, "a second install");
            let before = file(text).default_runtime().unwrap();
            let without = file(&with).without_runvf(before.as_deref()).unwrap();
            assert_eq!(value(&without), value(text), "{with}");
            assert_eq!(without.starts_with(BYTE_ORDER_MARK), text.starts_with(BYTE_ORDER_MARK));
            assert_eq!(without.contains("\r\n"), text.contains("\r\n"));
            assert_eq!(without.ends_with('\n'), text.ends_with('\n'));
        }
    }
}

/// In a file with one key on each line, the removal is the inverse of the install.
#[test]
fn file_with_one_key_on_each_line_keeps_every_byte() {
    for text in &WRITTEN[..4] {
        for default in [false, true] {
            let with = file(text).with_runvf(default).unwrap();
            assert_eq!(file(&with).without_runvf(None).unwrap(), *text, "{with}");
        }
    }
}

#[test]
fn written_text_has_runvf_and_keeps_the_rest() {
    for text in WRITTEN {
        let with = file(text).with_runvf(true).unwrap();
        let mut expected = value(text);
        expected["runtimes"]["runvf"]["path"] = RUNTIME.into();
        expected["default-runtime"] = "runvf".into();
        assert_eq!(value(&with), expected);
        assert_eq!(with.contains("\r\n"), text.contains("\r\n"));
        assert_eq!(
            with.matches('\n').count(),
            with.lines().count() - usize::from(!with.ends_with('\n'))
        );
    }
}

#[test]
fn empty_or_missing_file_gets_the_usual_layout() {
    let usual = "{\n  \"runtimes\": {\n    \"runvf\": {\n      \"path\": \"/usr/bin/runvf\"\n    }\n  }\n}\n";
    for text in [None, Some(""), Some("\n"), Some("{}\n")] {
        let file = DaemonJson { text, ..file("") };
        assert_eq!(file.with_runvf(false).unwrap(), usual);
    }
}

#[test]
fn runvf_with_another_path_is_refused() {
    let text = "{\"runtimes\": {\"runvf\": {\"path\": \"/opt/runvf\"}}}";
    for result in [file(text).with_runvf(false), file(text).without_runvf(None)] {
        assert_eq!(
            result.unwrap_err().line(),
            "/etc/docker/daemon.json: `runtimes.runvf` exists with the path \"/opt/runvf\"; \
             remove it, or change its path to \"/usr/bin/runvf\""
        );
    }
}

#[test]
fn explicit_form_has_the_keys_that_a_reload_would_keep() {
    let explicit = |text: &str, default| value(&file(text).explicit(default).unwrap());
    assert_eq!(
        explicit("{\"debug\": true}", true),
        value("{\"debug\": true, \"runtimes\": {}, \"default-runtime\": \"runc\"}")
    );
    let whole = "{\"runtimes\": {}, \"default-runtime\": \"crun\"}";
    assert_eq!(file(whole).explicit(true).unwrap(), whole);
    assert_eq!(explicit("{\"a\":1}", false), value("{\"a\":1, \"runtimes\": {}}"));
}

#[test]
fn invalid_file_is_refused_with_the_place() {
    let problem = |text| file(text).with_runvf(false).unwrap_err().line();
    for (text, expected) in [
        ("{\n  \"a\": {},\n}", "trailing comma at line 3 column 1"),
        ("// no\n{}", "expected value at line 1 column 1"),
        ("[]", "the file is not an object"),
        ("{\"runtimes\": null}", "`runtimes` is not an object"),
        ("{\"runtimes\": {}, \"runtimes\": {}}", "`runtimes` occurs twice"),
        ("{\"default-runtime\": 1}", "`default-runtime` is not a string"),
    ] {
        let line = format!(
            "/etc/docker/daemon.json: {expected}; correct the file first; nothing was changed"
        );
        assert_eq!(problem(text), line);
    }
}

#[test]
fn removal_ignores_what_it_does_not_have_to_change() {
    for text in [
        "{\"default-runtime\": null}",
        "{\"runtimes\": null, \"debug\": true}",
        "{\"runtimes\": {}, \"runtimes\": {}}",
        "{\"default-runtime\": \"a\", \"default-runtime\": 1}",
        "{\n  \"debug\": true,\n}",
    ] {
        assert_eq!(file(text).without_runvf(None).unwrap(), text);
    }
    let runvf = "\"runvf\": {\"path\": \"/usr/bin/runvf\"}";
    let text = format!("{{\"default-runtime\": null, \"runtimes\": {{\"a\": {{}}, {runvf}}}}}");
    let left = value(&file(&text).without_runvf(None).unwrap());
    assert_eq!(left, value("{\"default-runtime\": null, \"runtimes\": {\"a\": {}}}"));
    assert!(file("{\"default-runtime\": null}").explicit(true).unwrap().contains("null"));
    let text = "{\"default-runtime\": null}";
    assert_eq!(file(text).default_runtime().unwrap().as_deref(), Some("null"));

    let twice =
        format!("{{\"runtimes\": {{{runvf}}}, \"debug\": true, \"runtimes\": {{{runvf}}}}}");
    let left = file(&twice).without_runvf(None).unwrap();
    assert_eq!(value(&left), value("{\"debug\": true}"));
    assert!(!left.contains("runtimes"), "{left}");
    let invalid = format!("{{\"runtimes\": {{{runvf},}}}}");
    assert!(file(&invalid).without_runvf(None).is_err());
}
