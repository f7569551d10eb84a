use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use super::*;
use crate::ledger::claim::tests::claim;
use crate::lifecycle::error::LifecycleError;

fn host(folder: &Path) -> Host {
    Host { audit: folder.join("runvf/audit.jsonl"), ..Host::default() }
}

fn entry(reason: &str) -> Entry {
    let mut claim = claim("0000:01:10.0", "n");
    claim.tenant = Some("acme".to_owned());
    claim.want.vlan = 100;
    Entry { reason: Some(reason.to_owned()), ..Entry::attached(&claim) }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    assert_eq!(audit(&host).unwrap().entries, [], "no file is no entry");
    let written = [entry("a\nb\u{1b}"), Entry::end(Event::Released, &claim("0000:01:10.0", "n"))];
    written.iter().for_each(|entry| record(&host, entry).unwrap());
    let read = audit(&host).unwrap();
    assert_eq!((read.entries.as_slice(), read.damaged.as_slice()), (&written[..], &[][..]));
    assert_eq!(written[1].reason.as_deref(), Some("it was not attached yet"));
    assert_eq!(written[0].since.as_deref(), Some("1970-01-01T00:00:00.000Z"));
    let text = fs::read_to_string(&host.audit).unwrap();
    assert_eq!(text.lines().count(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&host.audit), mode(host.audit.parent().unwrap())), (0o640, 0o750));
}

#[test]
fn many_at_once_are_as_many_lines() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let long = "x".repeat(20_000);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| record(&host, &entry(&long)).unwrap()));
        }
    });
    let read = audit(&host).unwrap();
    assert_eq!((read.entries.len(), read.damaged.len()), (160, 0));
}

#[test]
fn a_damaged_line_is_told_and_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    record(&host, &entry("one")).unwrap();
    let mut text = fs::read(&host.audit).unwrap();
    // Half a line, as a full disk leaves it, and what is no text at all.
    text.extend(b"{\"event\":\"\x1bnone\"}\n\xff\xfe\n\n{\"time\":\"2026");
    fs::write(&host.audit, text).unwrap();
    record(&host, &entry("two")).unwrap();
    let read = audit(&host).unwrap();
    let reasons: Vec<_> =
        read.entries.iter().map(|entry| entry.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["one", "two"]);
    assert_eq!(read.damaged.len(), 3, "{:?}", read.damaged);
    for (damaged, line) in read.damaged.iter().zip([2, 3, 5]) {
        let expected = format!("{}: line {line} is damaged: ", host.audit.display());
        assert!(damaged.starts_with(&expected) && !damaged.contains('\u{1b}'), "{damaged}");
    }
}

#[test]
fn what_logrotate_put_away_is_read_first() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    for (reason, rotated) in [("1", "10"), ("2", "2"), ("3", "1")] {
        record(&host, &entry(reason)).unwrap();
        fs::rename(&host.audit, format!("{}.{rotated}", host.audit.display())).unwrap();
    }
    record(&host, &entry("4")).unwrap();
    fs::write(format!("{}.gz", host.audit.display()), "x").unwrap();
    let read = audit(&host).unwrap();
    let reasons: String = read.entries.into_iter().filter_map(|entry| entry.reason).collect();
    assert_eq!((reasons.as_str(), read.damaged.len()), ("1234", 0));
}

#[test]
fn no_link_is_followed_and_no_others_folder_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let (own, elsewhere) = (folder.path().join("runvf"), folder.path().join("elsewhere"));
    let refused = || {
        let line = record(&host, &entry("x")).unwrap_err().line();
        let told = format!("cannot write the audit log {}: ", host.audit.display());
        assert!(line.starts_with(&told), "{line}");
        assert!(line.ends_with(
            "; attaching requires an audit entry; free disk space or fix the permissions"
        ));
    };
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &own).unwrap();
    refused();
    fs::remove_file(&own).unwrap();
    fs::create_dir(&own).unwrap();
    fs::write(elsewhere.join("victim"), "").unwrap();
    symlink(elsewhere.join("victim"), &host.audit).unwrap();
    refused();
    audit(&host).unwrap_err();
    fs::remove_file(&host.audit).unwrap();
    nix::unistd::mkfifo(&host.audit, Mode::S_IRWXU).unwrap();
    refused();
    fs::remove_file(&host.audit).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o777)).unwrap();
    refused();
    let left: Vec<_> = fs::read_dir(&elsewhere).unwrap().collect();
    assert_eq!((left.len(), fs::read(elsewhere.join("victim")).unwrap().len()), (1, 0));
}

#[test]
fn a_refusal_is_a_line_for_each_vlan() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let asked = [("io.runvf.vlan", "7"), ("io.runvf.vlan.tap1", "8"), ("io.runvf.tenant", "acme")];
    let request = Request::from_annotations(asked).unwrap().unwrap();
    let error = refuse(&host, &request, "c", Error::Lifecycle(LifecycleError::HostNetwork));
    assert!(matches!(error, Error::Lifecycle(LifecycleError::HostNetwork)));
    let entries = audit(&host).unwrap().entries;
    let told =
        |entry: &Entry| (entry.event, entry.vlan, entry.interface.clone(), entry.reason.clone());
    let reason = Some(Error::Lifecycle(LifecycleError::HostNetwork).line());
    let expected = [("mon0", 7), ("tap1", 8)]
        .map(|(name, vlan)| (Event::Refused, vlan, name.to_owned(), reason.clone()));
    assert_eq!(entries.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(entries.iter().all(|entry| entry.tenant.as_deref() == Some("acme")));
}
