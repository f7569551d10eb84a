use super::*;

fn file(text: &str) -> ConfigToml<'_> {
    ConfigToml { path: Path::new("/etc/containerd/config.toml"), text }
}

/// Files in the styles that users write.
pub(crate) const WRITTEN: [&str; 12] = [
    "# imports = []\nversion = 2\n",
    "# imports = []\r\nversion = 2\r\n# end\r\n",
    "version = 2\n[debug]\n  level = \"info\"\n\n# a comment at the end\n",
    "version = 2\nimports = [\n  \"/etc/x.toml\" # why\n]\n",
    "version = 2\n",
    "\u{feff}version = 2\n[debug]\n",
    "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nx = 1\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n",
    "version = 2\r\nimports = [\r\n  '/etc/x.toml', # why, and how\r\n  \"/etc/y.toml\" # not last\r\n]\r\n",
    "# ours\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"/x\"\n",
    "version = 2\r\n\r\n# hi\r\n[debug]\r\n  level = \"info\"\r\n",
    "version = 2\nimports = [ \"/etc/x.toml\" ] # mine\n",
    "version = 2\nimports = [\n  \"/etc/x.toml\",\n]\n[grpc]\n",
];

#[test]
fn install_and_removal_keep_every_byte() {
    for text in WRITTEN {
        for form in [Form::Tables, Form::DropIn] {
            let with = file(text).with_runvf(form).unwrap();
            assert_eq!(file(&with).with_runvf(form).unwrap(), with, "a second install");
            assert!(file(&with).has_runvf(form).unwrap(), "{with}");
            assert_eq!(file(&with).without_runvf().unwrap(), (text.to_owned(), None), "{with}");
        }
    }
}

#[test]
fn containerd_1_also_gets_its_default_runtime() {
    let with = file("version = 2").with_runvf(Form::Tables).unwrap();
    assert_eq!(
        with,
        "version = 2\n\n# runvf, added by `runvfctl install containerd`\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runvf]\n  runtime_type = \"io.containerd.runc.v2\"\n  \
         pod_annotations = [\"io.runvf.*\"]\n  container_annotations = [\"io.runvf.*\"]\n  \
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runvf.options]\n    BinaryName = \"/usr/bin/runvf\"\n"
    );
    let own = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\"\n";
    let with = file(own).with_runvf(Form::Tables).unwrap();
    assert_eq!(with.matches("runtimes.runc]").count(), 1, "the user's runc is kept");
}

#[test]
fn runc_stays_if_a_runtime_was_added_after_the_install() {
    const KATA: &str = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n";
    const DEFAULT: &str =
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = ";
    let runc = runc_table(2);
    for newline in ["\n", "\r\n"] {
        let own = format!("version = 2{newline}");
        let with = file(&own).with_runvf(Form::Tables).unwrap() + KATA;
        let (left, keeps) = file(&with).without_runvf().unwrap();
        assert_eq!(left, format!("{own}{}{KATA}", runc.replace('\n', newline)));
        assert_eq!(keeps, Some(KeptRunc::Needed));
        // From now on it belongs to the user.
        let again = file(&left).with_runvf(Form::Tables).unwrap();
        assert_eq!(again.matches("runtimes.runc]").count(), 1);
        assert_eq!(file(&again).without_runvf().unwrap(), (left, None));
    }
    for default in ["\"kata\"", "\"another\""] {
        let own = format!("version = 2\n{DEFAULT}{default}\n");
        let with = file(&own).with_runvf(Form::Tables).unwrap() + KATA;
        assert_eq!(file(&with).without_runvf().unwrap(), (own + KATA, None), "{default}");
    }
}

#[test]
fn obstacles_are_refused_with_a_hint() {
    let line = |text: &str| file(text).with_runvf(Form::Tables).unwrap_err().line();
    assert_eq!(
        line("version = 2\n[plugins\n"),
        "/etc/containerd/config.toml: unclosed table, expected `]` at line 2 column 9; correct the file first; nothing was changed"
    );
    assert!(line("disabled_plugins = [\"cri\"]\n").contains("the file has version 1"));
    let braces =
        "version = 2\nplugins = { \"io.containerd.grpc.v1.cri\" = { sandbox_image = \"x\" } }\n";
    assert!(line(braces).contains("written as inline tables"));
    let other = tables(2, false).replace(RUNTIME, "/opt/runvf");
    assert!(line(&format!("version = 2\n{other}")).contains("with the program /opt/runvf"));
}

#[test]
fn edits_after_the_install_stay() {
    let with = file("version = 2\n# mine\n").with_runvf(Form::Tables).unwrap();
    let edited = with.replace("version = 2\n", "version = 2\nroot = \"/srv\" # moved\n")
        + "  # about the option above\n    SystemdCgroup = true\n\n# my table\n[debug]\n";
    let (left, _) = file(&edited).without_runvf().unwrap();
    assert_eq!(left, "version = 2\nroot = \"/srv\" # moved\n# mine\n\n# my table\n[debug]\n");
}

#[test]
fn edited_program_is_not_removed() {
    let other = format!("version = 2\n{}", tables(2, true).replace(RUNTIME, "/opt/runvf"));
    let line = file(&other).without_runvf().unwrap_err().line();
    assert!(line.contains("the runtime runvf was edited"), "{line}");
}

#[test]
fn scattered_dotted_keys_stay_in_their_order() {
    let scattered = "version = 2\na.x = 1\nb = 2\na.y = 3\n";
    for form in [Form::Tables, Form::DropIn] {
        let with = file(scattered).with_runvf(form).unwrap();
        assert_eq!(file(&with).without_runvf().unwrap(), (scattered.to_owned(), None), "{with}");
    }
}

/// containerd 2 prints single quotes; toml_edit prints one kind of quotes for a key in all headers.
#[test]
fn file_with_both_kinds_of_quotes_is_edited() {
    let mixed = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/x'\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/y\"\n";
    for form in [Form::Tables, Form::DropIn] {
        let with = file(mixed).with_runvf(form).unwrap() + "# mine\n[debug]\n";
        let (left, kept) = file(&with).without_runvf().unwrap();
        assert_eq!((left, kept), (format!("{mixed}# mine\n[debug]\n"), None), "{with}");
    }
}

#[test]
fn edited_runc_stays() {
    const RUNC: &str = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc";
    let runc = runc_table(2);
    let options = format!("{RUNC}.options]\nSystemdCgroup = true\n");
    let edited_type = runc.replace("runc.v2", "mine");
    for (with_runc, after) in [(&*runc, &*options), (&*edited_type, "")] {
        let with = file("version = 2\n").with_runvf(Form::Tables).unwrap();
        let edited = with.replace(&runc, with_runc) + after;
        let expected = format!("version = 2\n{with_runc}{after}");
        let removed = file(&edited).without_runvf().unwrap();
        assert_eq!(removed, (expected, Some(KeptRunc::Edited)));
    }
}

#[test]
fn marker_of_an_earlier_version_is_removed() {
    for own in ["version = 2\n", "version = 2\r\n"] {
        let with = file(own).with_runvf(Form::Tables).unwrap().replace(MARKERS[0], MARKERS[1]);
        let edited = format!("{with}# mine\n[debug]\n");
        let left = format!("{own}# mine\n[debug]\n");
        assert_eq!(file(&edited).without_runvf().unwrap(), (left, None));
    }
}

#[test]
fn runvf_in_another_form_is_to_be_removed_by_hand() {
    let inline = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes]\n\
                  runvf = { options = { BinaryName = \"/usr/bin/runvf\" } }\n";
    assert_eq!(
        file(inline).without_runvf().unwrap_err().line(),
        "/etc/containerd/config.toml: the runtime runvf is not in tables of its own; \
         remove `runtimes.runvf` by hand; nothing was changed"
    );
}
