use vf::Counter;

use super::*;

fn snapshot() -> Snapshot {
    let claim = json!({
        "vf": "0000:01:10.0", "index": 0, "pf": "0000:01:00.0", "pf_name": "pf0", "state": "attached", "nonce": "n",
        "boot_id": "b", "container": "4f1c0f5e9d1b8a7c", "tenant": "acme", "interface": "mon0",
        "netns": { "dev": 4, "ino": 5, "cookie": 6 }, "init": { "pid": 1, "start_time": 2 },
        "worker": { "pid": 3, "start_time": 4 }, "since": 0, "scrub": "rebind", "on_loss": "stop",
        "want": vf::Settings::default(),
        "before": { "driver": null, "driver_override": null, "settings": vf::Settings::default(), "netdev": null },
    });
    let claim: Claim = serde_json::from_value(claim).unwrap();
    let vf = |index, claim: Option<Claim>| VfStatus {
        vf: format!("0000:01:10.{}", 2 * index),
        index,
        state: if claim.is_some() { "attached" } else { "free" },
        reason: None,
        vanished: false,
        driver: None,
        netdev: None,
        settings: vf::Settings::default(),
        frames: Some(Counted { count: 300, by: Counter::Interface }).filter(|_| claim.is_some()),
        drops: None,
        carrier: None,
        sockets: None,
        blind: None,
        idle: false,
        claim,
        bad_claim: None,
    };
    Snapshot {
        pfs: vec![PfStatus {
            pf: "0000:01:00.0".into(),
            name: "pf0".into(),
            driver: None,
            up: true,
            carrier: true,
            frames: None,
            discards: None,
            master: None,
            total: 7,
            vfs: vec![vf(0, Some(claim)), vf(1, None)],
        }],
        names: HashMap::from([("4f1c0f5e9d1b8a7c".to_owned(), "sensor".to_owned())]),
        rates: HashMap::from([("0000:01:10.0".to_owned(), 12)]),
    }
}

#[test]
fn row_has_the_name_and_the_counts_or_dashes() {
    assert_eq!(
        table(&snapshot()),
        "PF   VF  ADDRESS       STATE     VLAN  TRUST  TENANT  CONTAINER     NAME    AS    FRAMES       DROPS  SINCE\n\
         pf0  0   0000:01:10.0  attached  0     off    acme    4f1c0f5e9d1b  sensor  mon0  300 (+12/s)  -      1970-01-01T00:00:00.000Z\n\
         pf0  1   0000:01:10.2  free      0     off    -       -             -       -     -            -      -\n"
    );
}

#[test]
fn ports_and_sockets_have_tables_of_their_own() {
    let mut snapshot = snapshot();
    let pf = &mut snapshot.pfs[0];
    pf.frames = Some(5000);
    pf.discards = Some(vf::Discards { count: 4, by: "port.rx_discards" });
    let ring = vf::CaptureSocket { inode: 11, ring: Some(3 << 19), lost: None };
    let plain = vf::CaptureSocket { inode: 12, ring: None, lost: Some(7) };
    pf.vfs[0].sockets = Some(vf::CaptureSockets { listed: vec![ring, plain], more: 2 });
    let expected = "\n\
        PF   FRAMES  DISCARDS  COUNTER\n\
        pf0  5000    4         port.rx_discards\n\
        \n\
        ADDRESS       SOCKET      RING     LOST\n\
        0000:01:10.0  11          1.5 MiB  unknown\n\
        0000:01:10.0  12          -        7\n\
        0000:01:10.0  and 2 more  -        -\n";
    let table = table(&snapshot);
    assert!(table.ends_with(expected), "{table}");
}

#[test]
fn a_pf_that_is_down_or_a_port_is_marked() {
    let name_of = |up: bool, master: Option<&str>| {
        let mut pf = snapshot().pfs.remove(0);
        (pf.up, pf.master) = (up, master.map(str::to_owned));
        pf_name(&pf)
    };
    assert_eq!(name_of(true, None), "pf0");
    assert_eq!(name_of(false, None), "pf0 (down)");
    assert_eq!(name_of(true, Some("br0")), "pf0 (port of br0)");
    assert_eq!(name_of(false, Some("br0")), "pf0 (down, port of br0)");
}

#[test]
fn json_has_the_counts_and_their_source() {
    let all = as_json(&snapshot());
    let [claimed, free] = [&all[0]["vfs"][0], &all[0]["vfs"][1]];
    assert_eq!(claimed["frames"], json!({ "count": 300, "by": "interface" }));
    assert_eq!((&claimed["drops"], &claimed["frames_per_second"]), (&json!(null), &json!(12)));
    assert_eq!(claimed["container_name"], "sensor");
    assert_eq!(claimed["claim"]["container"], "4f1c0f5e9d1b8a7c");
    assert_eq!((&free["frames"], &free["container_name"]), (&json!(null), &json!(null)));
}

#[test]
fn watched_json_is_one_line() {
    let options = Options { json: true, settings: false, watch: Some(1) };
    assert_eq!(show(&snapshot(), &options).lines().count(), 1);
}

#[test]
fn the_last_gap_is_shown_with_its_end_or_without() {
    let gap = |until: Option<&str>| {
        let mut snapshot = snapshot();
        let claim = snapshot.pfs[0].vfs[0].claim.as_mut().unwrap();
        let (since, until) = ("1970-01-01T00:01:00.000Z".to_owned(), until.map(str::to_owned));
        claim.gap = Some(Gap { since, until, reason: "its carrier was lost".to_owned() });
        (table(&snapshot), as_json(&snapshot)[0]["vfs"][0]["claim"]["gap"].clone())
    };
    let (text, json) = gap(Some("1970-01-01T00:02:00.000Z"));
    let line = "\n0000:01:10.0 may have been blind from 1970-01-01T00:01:00.000Z to \
                1970-01-01T00:02:00.000Z: its carrier was lost\n";
    assert!(text.ends_with(line), "{text}");
    assert_eq!(json["until"], "1970-01-01T00:02:00.000Z");
    let (text, json) = gap(None);
    assert!(text.ends_with("Z to now: its carrier was lost\n"), "{text}");
    assert_eq!(json["until"], json!(null));
}

#[test]
fn the_sum_of_the_gaps_and_those_who_joined_are_shown() {
    let mut snapshot = snapshot();
    let claim = snapshot.pfs[0].vfs[0].claim.as_mut().unwrap();
    claim.blind = vf::BlindTotal { gaps: 3, milliseconds: 61_250 };
    claim.joined = vec!["/system.slice/docker-2.scope".to_owned()];
    let text = table(&snapshot);
    let lines = "0000:01:10.0: 3 such gaps so far, 61.2 s in total\n\n\
                 0000:01:10.0: a process of /system.slice/docker-2.scope joined its network\n";
    assert!(text.ends_with(lines), "{text}");
    let json = &as_json(&snapshot)[0]["vfs"][0]["claim"];
    assert_eq!(json["blind"], json!({ "gaps": 3, "milliseconds": 61_250 }));
}
