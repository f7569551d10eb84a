use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::refusals::MAX_PER_MINUTE;
use super::writers::{self, Role};
use super::*;
use crate::ledger::claim::Claim;
use crate::ledger::claim::tests::claim;
use crate::ledger::error::LedgerError;
use crate::lifecycle::error::LifecycleError;

fn host(folder: &Path) -> Host {
    let audit = folder.join("runvf/audit.jsonl");
    Host { audit, run: folder.join("run"), ..Host::default() }
}

/// The reasons of all entries, in their order.
fn reasons(host: &Host) -> Vec<String> {
    audit(host).unwrap().entries.into_iter().filter_map(|entry| entry.reason).collect()
}

/// Makes the log's folder private, or lets other users write to it, so that runvf refuses it.
fn set_private(host: &Host, is_private: bool) {
    let mode = if is_private { 0o750 } else { 0o777 };
    fs::set_permissions(host.audit.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
}

fn entry(reason: &str) -> Entry {
    let mut claim = claim("0000:01:10.0", "n");
    claim.tenant = Some("acme".to_owned());
    claim.want.vlan = 100;
    Entry { reason: Some(reason.to_owned()), ..Entry::attached(&claim) }
}

#[test]
fn entries_read_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    assert_eq!(audit(&host).unwrap().entries, [], "a missing file has no entries");
    let written = [entry("a\nb\u{1b}"), Entry::end(Event::Released, &claim("0000:01:10.0", "n"))];
    written.iter().for_each(|entry| append_entry(&host, entry).unwrap());
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
fn entries_of_a_pod_name_it() {
    use crate::policy::pod::{Pod, PodRole};
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let pod = Pod { namespace: "acme".into(), name: "sensor".into(), sandbox: "5a".into() };
    let claim = Claim { pod: Some(pod.clone()), ..claim("0000:01:10.0", "n") };
    append_entry(&host, &Entry::attached(&claim)).unwrap();
    let mut request = Request::from_annotations([("io.runvf.vlan", "7")]).unwrap().unwrap();
    request.pod = Some(PodRole::Member(pod));
    refuse(&host, &request, "c", LifecycleError::HostNetwork.into());
    let entries = audit(&host).unwrap().entries;
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(
            (entry.namespace.as_deref(), entry.pod.as_deref()),
            (Some("acme"), Some("sensor"))
        );
    }
}

#[test]
fn concurrent_writers_append_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let long = "x".repeat(20_000);
    thread::scope(|scope| {
        for writer in 0..8 {
            let (host, long) = (&host, &long);
            scope.spawn(move || {
                (0..20).for_each(|n| {
                    append_entry(host, &entry(&format!("{writer} {n} {long}"))).unwrap();
                });
            });
        }
    });
    let read = audit(&host).unwrap();
    assert_eq!((read.entries.len(), read.damaged.len()), (160, 0));
}

#[test]
fn a_damaged_line_is_reported_and_damages_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    append_entry(&host, &entry("one")).unwrap();
    let mut text = fs::read(&host.audit).unwrap();
    // A line of bad JSON, one of bad UTF-8, and half a line as a full disk leaves it.
    text.extend(b"{\"event\":\"\x1bnone\"}\n\xff\xfe\n\n{\"time\":\"2026");
    fs::write(&host.audit, text).unwrap();
    append_entry(&host, &entry("two")).unwrap();
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
fn rotated_files_are_read_first() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    for (reason, rotated) in [("1", "10"), ("2", "2"), ("3", "1")] {
        append_entry(&host, &entry(reason)).unwrap();
        fs::rename(&host.audit, format!("{}.{rotated}", host.audit.display())).unwrap();
    }
    append_entry(&host, &entry("4")).unwrap();
    fs::write(format!("{}.gz", host.audit.display()), "x").unwrap();
    let read = audit(&host).unwrap();
    let reasons: String = read.entries.into_iter().filter_map(|entry| entry.reason).collect();
    assert_eq!((reasons.as_str(), read.damaged.len()), ("1234", 0));
}

#[test]
fn links_and_writable_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let (audit_folder, elsewhere) = (folder.path().join("runvf"), folder.path().join("elsewhere"));
    let assert_refused = || {
        let line = append_entry(&host, &entry("x")).unwrap_err().line();
        let expected = format!("cannot write the audit log {}: ", host.audit.display());
        assert!(line.starts_with(&expected), "{line}");
        assert!(line.ends_with(
            "; attaching requires an audit entry; free disk space or fix the permissions"
        ));
    };
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &audit_folder).unwrap();
    assert_refused();
    fs::remove_file(&audit_folder).unwrap();
    fs::create_dir(&audit_folder).unwrap();
    fs::write(elsewhere.join("victim"), "").unwrap();
    symlink(elsewhere.join("victim"), &host.audit).unwrap();
    assert_refused();
    audit(&host).unwrap_err();
    fs::remove_file(&host.audit).unwrap();
    nix::unistd::mkfifo(&host.audit, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_refused();
    fs::remove_file(&host.audit).unwrap();
    fs::set_permissions(&audit_folder, Permissions::from_mode(0o777)).unwrap();
    assert_refused();
    let files: Vec<_> = fs::read_dir(&elsewhere).unwrap().collect();
    assert_eq!((files.len(), fs::read(elsewhere.join("victim")).unwrap().len()), (1, 0));
}

#[test]
fn a_refusal_writes_one_entry_with_all_vlans() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let annotations =
        [("io.runvf.vlan", "7"), ("io.runvf.vlan.tap1", "8"), ("io.runvf.tenant", "acme")];
    let request = Request::from_annotations(annotations).unwrap().unwrap();
    let error = refuse(&host, &request, "c", Error::Lifecycle(LifecycleError::HostNetwork));
    assert!(matches!(error, Error::Lifecycle(LifecycleError::HostNetwork)));
    let entries = audit(&host).unwrap().entries;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.event, entry.vlan, entry.interface.as_str()), (Event::Refused, 7, "mon0"));
    let (interface, proto) = ("tap1".to_owned(), entry.proto);
    assert_eq!(entry.more, [MoreRefused { vlan: 8, proto, interface }]);
    assert_eq!(entry.reason, Some(Error::Lifecycle(LifecycleError::HostNetwork).line()));
    assert_eq!(entry.tenant.as_deref(), Some("acme"));
}

/// Every user of an engine can cause refusals, and must not fill the disk.
#[test]
fn refusals_are_limited_and_the_rest_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let request = Request::from_annotations([("io.runvf.vlan", "7")]).unwrap().unwrap();
    let refuse = || drop(refuse(&host, &request, "c", LifecycleError::HostNetwork.into()));
    (0..MAX_PER_MINUTE + 5).for_each(|_| refuse());
    assert_eq!(reasons(&host).len(), MAX_PER_MINUTE as usize);
    report_suppressed(&host);
    assert_eq!(reasons(&host).len(), MAX_PER_MINUTE as usize, "the minute is not over");

    // As if the minute had begun in the future: on another boot.
    let window = host.run.join("refusals.json");
    let end_minute = |suppressed: u32| {
        let text =
            format!("{{\"began\":{},\"recorded\":60,\"suppressed\":{suppressed}}}", u64::MAX);
        fs::write(&window, text).unwrap();
    };
    end_minute(5);
    refuse();
    let lines = reasons(&host);
    let summary = "5 more refusals within a minute have no entry of their own";
    assert_eq!(lines[MAX_PER_MINUTE as usize], summary);
    assert_eq!(lines.len(), MAX_PER_MINUTE as usize + 2);
    end_minute(2);
    report_suppressed(&host);
    report_suppressed(&host);
    let lines = reasons(&host);
    assert_eq!(lines.len(), MAX_PER_MINUTE as usize + 3);
    assert!(lines.last().unwrap().starts_with("2 more refusals "));
    // A file that is no JSON does not keep a refusal from being recorded.
    fs::write(&window, "{").unwrap();
    refuse();
    assert_eq!(reasons(&host).len(), MAX_PER_MINUTE as usize + 4);
}

#[test]
fn entries_that_cannot_be_written_wait_in_order_for_gc() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let record = |reason: &str| append_or_spool(&host, &entry(reason)).unwrap();
    assert!(matches!(record("1"), Recorded::InLog));
    set_private(&host, false);
    for reason in ["2", "3"] {
        let Recorded::InSpool(error) = record(reason) else { panic!("{reason} is in the log") };
        assert!(error.line().starts_with("cannot write the audit log "), "{error:?}");
    }
    append_entry(&host, &entry("refused")).unwrap_err();
    flush_spool(&host).unwrap_err();
    assert_eq!(spooled(&host), 2);
    set_private(&host, true);
    // An entry of the same claim must not be written before those that wait.
    assert!(matches!(record("4"), Recorded::InSpool(_)));
    assert_eq!(reasons(&host), ["1", "2", "3", "4"], "a reader sees what waits");
    assert_eq!(fs::read_to_string(&host.audit).unwrap().lines().count(), 1);

    // A process that writes, or hangs while it writes, may have an earlier entry of a claim.
    // Other tests of this program fork children that keep the lock for a moment.
    let writer = writers::lock(&host, Role::Writer, Duration::from_secs(20)).unwrap();
    flush_spool(&host).unwrap_err();
    assert_eq!(spooled(&host), 3);
    drop(writer);
    let deadline = Instant::now() + Duration::from_secs(20);
    while flush_spool(&host).is_err() {
        assert!(Instant::now() < deadline, "the writers' lock is still held");
    }
    assert_eq!(spooled(&host), 0);
    assert!(matches!(record("5"), Recorded::InLog));
    assert_eq!(reasons(&host), ["1", "2", "3", "4", "5"]);
    assert_eq!(fs::read_to_string(&host.audit).unwrap().lines().count(), 5);
}

/// A `gc` that is killed between the append and the removal.
#[test]
fn an_entry_that_was_appended_twice_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let twice = entry("twice");
    append_entry(&host, &twice).unwrap();
    append_entry(&host, &entry("other")).unwrap();
    append_entry(&host, &twice).unwrap();
    assert_eq!(reasons(&host), ["twice", "other"]);
    // Two containers may be refused in the same millisecond.
    let refused = Entry { claim: None, ..entry("refused") };
    append_entry(&host, &refused).unwrap();
    append_entry(&host, &refused).unwrap();
    assert_eq!(reasons(&host).len(), 4);
}

/// As on a file system that hangs. The lock stands for it: a writer that hangs keeps it, so the
/// log cannot be written by `gc`, and the other way round.
#[test]
fn a_log_that_hangs_is_given_up_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let hanging = writers::lock(&host, Role::Flusher, Duration::ZERO).unwrap();
    let began = Instant::now();
    let error = append_entry(&host, &entry("x")).unwrap_err();
    assert!(
        matches!(&error, Error::Ledger(LedgerError::Audit { source, .. })
            if source.kind() == ErrorKind::TimedOut),
        "{error:?}"
    );
    let first = began.elapsed();
    assert!(first >= Duration::from_millis(1900) && first < Duration::from_secs(10), "{first:?}");
    for _ in 0..50 {
        assert!(matches!(append_or_spool(&host, &entry("y")), Ok(Recorded::InSpool(_))));
        append_entry(&host, &entry("x")).unwrap_err();
    }
    let all = began.elapsed();
    assert!(all < first + Duration::from_secs(2), "{all:?}");
    assert_eq!(spooled(&host), 50);
    let line = append_entry(&host, &entry("x")).unwrap_err().line();
    assert!(
        line.ends_with(
            "audit.jsonl: its file system does not answer; attaching requires an audit entry; \
             check the file system of the log, see `dmesg`"
        ),
        "{line}"
    );
    drop(hanging);
    assert!(!File::open(&host.audit).is_ok_and(|log| log.metadata().unwrap().len() > 0));
}
