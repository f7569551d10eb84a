use super::*;

fn entry(event: Event, time: &str, claim: Option<&str>) -> Entry {
    let day = |time: &str| format!("2026-01-{time}T00:00:00.000Z");
    let claimed = claim.is_some();
    Entry {
        time: day(time),
        event,
        vlan: 100,
        proto: vf::VlanProto::Dot1Q,
        vf: claimed.then(|| "0000:01:10.0".to_owned()),
        pf: claimed.then(|| "pf0".to_owned()),
        tenant: Some("acme".to_owned()),
        namespace: None,
        pod: None,
        container: "0123456789abcdef".to_owned(),
        interface: "mon0".to_owned(),
        pid: Some(7),
        claim: claim.map(str::to_owned),
        boot: (event == Event::Attached).then(|| "this".to_owned()),
        since: claimed.then(|| day("01")),
        until: matches!(event, Event::Released | Event::Quarantined).then(|| day(time)),
        took_ms: None,
        more: Vec::new(),
        reason: None,
    }
}

/// FROM, TO and EVENT of each row; times are shortened to the day.
fn rows(entries: Vec<Entry>, options: &Options) -> Vec<String> {
    let audit = Audit { entries, damaged: Vec::new(), boot: "this".to_owned() };
    let text = table(&audit, options);
    let day = |cell: &str| cell.get(8..10).unwrap_or(cell).to_owned();
    let cells = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        format!(
            "{} {} {}",
            day(cells[0]),
            if cells[1] == "reboot" { "reboot".into() } else { day(cells[1]) },
            cells[2]
        )
    };
    text.lines().skip(1).map(cells).collect()
}

#[test]
fn attachment_and_its_end_are_one_row() {
    let entries = vec![
        entry(Event::Attached, "02", Some("one")),
        entry(Event::Attached, "03", Some("two")),
        entry(Event::Released, "04", Some("one")),
        entry(Event::Refused, "05", None),
        entry(Event::Refused, "06", None),
    ];
    let expected = ["01 - attached", "01 04 released", "05 - refused", "06 - refused"];
    assert_eq!(rows(entries, &Options::default()), expected);
}

#[test]
fn duplicate_end_is_shown_once() {
    let entries = vec![
        entry(Event::Attached, "02", Some("one")),
        entry(Event::Released, "03", Some("one")),
        entry(Event::Released, "04", Some("one")),
    ];
    assert_eq!(rows(entries, &Options::default()), ["01 04 released"]);
}

/// A gap does not end the attachment, and has a row of its own, also if a `gc` was killed between
/// its entry and its end on disk.
#[test]
fn a_gap_is_one_row_beside_its_attachment() {
    let gap = |since: &str, until: &str| Entry {
        since: entry(Event::Blind, since, None).time.into(),
        until: entry(Event::Blind, until, None).time.into(),
        ..entry(Event::Blind, until, Some("one"))
    };
    let attached = || entry(Event::Attached, "02", Some("one"));
    let entries = vec![attached(), gap("03", "04"), gap("03", "05"), gap("06", "07")];
    let expected = ["01 - attached", "03 05 blind", "06 07 blind"];
    assert_eq!(rows(entries, &Options::default()), expected);
    let ended = entry(Event::Released, "08", Some("one"));
    let entries = vec![attached(), gap("03", "04"), ended];
    assert_eq!(rows(entries, &Options::default()), ["03 04 blind", "01 08 released"]);
}

/// The pool says that promiscuity that the container turned off is only reported, so the gap has an
/// entry at its begin and one at its end.
#[test]
fn a_gap_that_lasts_and_a_process_that_joined_are_rows() {
    let gap = |until: Option<&str>| Entry {
        since: entry(Event::Blind, "03", None).time.into(),
        until: until.map(|until| entry(Event::Blind, until, None).time),
        ..entry(Event::Blind, "03", Some("one"))
    };
    let attached = || entry(Event::Attached, "02", Some("one"));
    let joined = || entry(Event::Joined, "04", Some("one"));
    let expected = ["01 - attached", "03 - blind", "01 04 joined"];
    assert_eq!(rows(vec![attached(), gap(None), joined()], &Options::default()), expected);
    let entries = vec![attached(), gap(None), joined(), gap(Some("05"))];
    let expected = ["01 - attached", "01 04 joined", "03 05 blind"];
    assert_eq!(rows(entries, &Options::default()), expected);
}

#[test]
fn quarantine_and_repair_are_two_rows() {
    let entries = vec![
        entry(Event::Attached, "02", Some("one")),
        entry(Event::Lost, "03", Some("one")),
        entry(Event::Quarantined, "04", Some("one")),
        entry(Event::Repaired, "05", Some("one")),
    ];
    let expected = ["01 03 lost", "01 04 quarantined", "01 05 repaired"];
    assert_eq!(rows(entries, &Options::default()), expected);
}

#[test]
fn reboot_ends_an_attachment_without_an_end() {
    let before =
        Entry { boot: Some("another".to_owned()), ..entry(Event::Attached, "02", Some("one")) };
    assert_eq!(rows(vec![before], &Options::default()), ["01 reboot attached"]);
}

#[test]
fn filters_select_the_rows() {
    let other = Entry {
        vlan: 200,
        tenant: None,
        container: "f".to_owned(),
        ..entry(Event::Refused, "09", None)
    };
    let entries = vec![
        entry(Event::Attached, "02", Some("active")),
        entry(Event::Attached, "02", Some("ended")),
        entry(Event::Released, "03", Some("ended")),
        other,
    ];
    let shown = |options| rows(entries.clone(), &options);
    let of_acme = ["01 - attached", "01 03 released"];
    assert_eq!(shown(Options { vlan: Some(100), ..Options::default() }), of_acme);
    assert_eq!(shown(Options { tenant: Some("acme".to_owned()), ..Options::default() }), of_acme);
    assert_eq!(
        shown(Options { container: Some("0123".to_owned()), ..Options::default() }),
        of_acme
    );
    assert_eq!(shown(Options { vlan: Some(200), ..Options::default() }), ["09 - refused"]);
    let since = Some(since("2026-01-04").unwrap());
    assert_eq!(shown(Options { since, ..Options::default() }), ["01 - attached", "09 - refused"]);
}

#[test]
fn a_refusal_of_several_interfaces_is_one_row() {
    let proto = vf::VlanProto::Dot1Ad;
    let more = MoreRefused { vlan: 200, proto, interface: "tap1".to_owned() };
    let refused = Entry { more: vec![more], ..entry(Event::Refused, "05", None) };
    assert_eq!(row(&refused, &Audit::default())[3], "100,200 802.1ad");
    assert_eq!(row(&refused, &Audit::default())[8], "mon0,tap1");
    let shown = |vlan| rows(vec![refused.clone()], &Options { vlan, ..Options::default() }).len();
    assert_eq!([shown(Some(100)), shown(Some(200)), shown(Some(300))], [1, 1, 0]);
}

#[test]
fn time_is_an_age_or_a_date() {
    let age = |typed| {
        let since = since(typed).unwrap();
        SystemTime::now().duration_since(since).unwrap().as_secs()
    };
    assert!((7200..7210).contains(&age("2h")) && (604_800..604_810).contains(&age("7days")));
    let noon = since("2026-01-31T12:00:00Z").unwrap();
    assert_eq!(noon, since("2026-01-31 12:00:00").unwrap());
    assert_eq!(noon.duration_since(since("2026-01-31").unwrap()).unwrap().as_secs(), 43_200);
    for wrong in ["", "yesterday", "2026-13-01", "9999999999999years"] {
        since(wrong).unwrap_err();
    }
}

#[test]
fn a_container_of_a_pod_is_shown_with_its_pod() {
    let mut refused = entry(Event::Refused, "02", None);
    (refused.namespace, refused.pod) = (Some("acme".to_owned()), Some("sensor".to_owned()));
    let audit = Audit { entries: vec![refused], damaged: Vec::new(), boot: "this".to_owned() };
    let text = table(&audit, &Options::default());
    assert!(text.contains(" 0123456789ab (acme/sensor) "), "{text}");
}
