use super::*;
use crate::kernel::mac::MacAddress;
use crate::kernel::netns::NetnsId;
use crate::kernel::vlan::VlanProto;
use crate::policy::request::Request;

pub(crate) fn claim(vf: &str, nonce: &str) -> Claim {
    Claim {
        version: CLAIM_VERSION,
        vf: vf.to_owned(),
        index: 0,
        pf: "0000:01:00.0".to_owned(),
        pf_name: "pf0".to_owned(),
        state: State::Claiming,
        nonce: nonce.to_owned(),
        boot_id: "b".to_owned(),
        container: "c".to_owned(),
        tenant: None,
        pod: None,
        interface: "mon0".to_owned(),
        netns: NetnsRecord { id: NetnsId { dev: 4, ino: 5 }, cookie: 6 },
        init: Some(ProcessId { pid: 1, start_time: 2 }),
        worker: ProcessId { pid: 3, start_time: 4 },
        since: 0,
        scrub: Scrub::default(),
        on_loss: OnLoss::default(),
        want: Settings::default(),
        before: VfSnapshot {
            driver: None,
            driver_override: None,
            settings: Settings::default(),
            netdev: None,
        },
        park: false,
        carrier: None,
        checked: None,
        gap: None,
        blind: BlindTotal::default(),
        on_promisc_off: OnPromiscOff::default(),
        joined: Vec::new(),
        network: None,
        idle_since: None,
        iommu_group: None,
        transmit: None,
        promisc_required: false,
    }
}

#[test]
fn gaps_add_up_and_a_clock_that_was_set_back_adds_no_time() {
    let gap = |since: &str, until: &str| Gap {
        since: format!("2026-01-31T12:00:{since}Z"),
        until: Some(format!("2026-01-31T12:00:{until}Z")),
        reason: String::new(),
    };
    let mut total = BlindTotal::default();
    total.add(&gap("01.000", "02.500"));
    total.add(&gap("09.000", "08.000"));
    total.add(&Gap { since: String::new(), ..gap("01.000", "02.000") });
    total.add(&gap("03.000", "03.250"));
    assert_eq!(total, BlindTotal { gaps: 4, milliseconds: 1750 });
}

#[test]
fn a_claim_is_abandoned_by_the_end_of_its_keeper() {
    let alive = |owner, worker| Liveness { same_boot: true, owner, worker };
    for state in [State::Claiming, State::Attached, State::Releasing] {
        let claim = Claim { state: state.clone(), ..claim("0000:01:10.0", "n") };
        let is_init = claim.keeper() == claim.init.map(Keeper::Process);
        assert!(state.is_abandoned(alive(!is_init, is_init)), "{state:?}");
        assert!(!state.is_abandoned(alive(is_init, !is_init)), "{state:?}");
    }
    let state = State::Quarantined { reason: String::new() };
    assert_eq!(Claim { state, ..claim("0000:01:10.0", "n") }.keeper(), None);
}

#[test]
fn the_processes_of_a_network_namespace_keep_a_pod_and_a_claim_without_init_process() {
    let own = claim("0000:01:10.0", "n");
    let [namespace, name, sandbox] = ["acme", "sensor", "5a"].map(str::to_owned);
    let of_pod = Claim { pod: Some(Pod { namespace, name, sandbox }), ..own.clone() };
    for claim in [of_pod, Claim { init: None, ..own }] {
        for state in [State::Attached, State::Lost { reason: String::new() }] {
            assert_eq!(Claim { state, ..claim.clone() }.keeper(), Some(Keeper::Netns));
        }
        let releasing = Claim { state: State::Releasing, ..claim };
        assert_eq!(releasing.keeper(), Some(Keeper::Process(releasing.worker)));
    }
    let state = State::Quarantined { reason: String::new() };
    assert_eq!(Claim { state, ..claim("0000:01:10.0", "n") }.keeper(), None);
}

/// An attached claim of a network namespace.
pub(crate) fn netns_claim(vf: &str, netns: NetnsRecord) -> Claim {
    let boot_id = boot_id_with_root(Path::new("/")).unwrap();
    let (version, state) = (NETNS_CLAIM_VERSION, State::Attached);
    Claim { version, state, boot_id, netns, init: None, ..claim(vf, "n") }
}

#[test]
fn claimed_at_is_the_time_of_the_claim() {
    assert_eq!(claim("0000:01:10.0", "n").claimed_at().unwrap(), "1970-01-01T00:00:00.000Z");
}

#[test]
fn the_alias_has_the_vlan_and_the_tenant() {
    let mut claim = claim("0000:01:10.0", "n");
    claim.want.vlan = 100;
    assert_eq!(claim.alias(), "vlan=100");
    claim.tenant = Some("acme".to_owned());
    assert_eq!(claim.alias(), "vlan=100 tenant=acme");
    claim.want.proto = VlanProto::Dot1Ad;
    claim.tenant = Some("a".repeat(63));
    assert!(claim.alias().starts_with("vlan=100 proto=802.1ad tenant=aaa"));
    assert!(claim.alias().len() < 256);
}

#[test]
fn a_claim_satisfies_only_a_request_with_its_values() {
    let mac: MacAddress = "02:00:00:00:00:01".parse().unwrap();
    let want = Settings { vlan: 100, proto: VlanProto::Dot1Ad, mac, ..Settings::default() };
    let transmit = Some(Transmit::Drop);
    let claim = Claim { state: State::Attached, want, transmit, ..claim("0000:01:10.0", "n") };
    let fits = |claim: &Claim, more: &[(&str, &str)]| {
        let named = [("io.runvf.vlan", "100")].iter().chain(more).copied();
        claim.is_attached_as(&Request::from_annotations(named).unwrap().unwrap().interfaces[0])
    };
    let (proto, drops) = (("io.runvf.proto", "802.1ad"), ("io.runvf.transmit", "drop"));
    assert!(fits(&claim, &[proto]));
    assert!(fits(&claim, &[proto, ("io.runvf.mac", "02:00:00:00:00:01"), drops]));
    assert!(!fits(&claim, &[]), "802.1Q");
    assert!(!fits(&claim, &[proto, ("io.runvf.mac", "02:00:00:00:00:02")]));
    let allow = [proto, ("io.runvf.transmit", "allow")];
    assert!(!fits(&claim, &allow));
    assert!(fits(&Claim { transmit: None, ..claim }, &allow), "a claim by an older runvf");
}

#[test]
fn claims_of_the_first_version_are_readable() {
    for text in [
        include_str!("../../../../tests/corpus/seeds/claim/attached.json"),
        include_str!("../../../../tests/corpus/seeds/claim/quarantined.json"),
    ] {
        let claim = serde_json::from_str::<Claim>(text).unwrap();
        assert_eq!(claim.pod, None);
        assert_eq!((claim.carrier, claim.checked.clone(), claim.open_gap()), (None, None, None));
    }
    let text = include_str!("../../../../tests/corpus/seeds/claim/of-a-pod.json");
    assert_eq!(serde_json::from_str::<Claim>(text).unwrap().pod.unwrap().name, "sensor");
    let text = include_str!("../../../../tests/corpus/seeds/claim/with-a-gap.json");
    let with_gap = serde_json::from_str::<Claim>(text).unwrap();
    assert_eq!(with_gap.carrier, Some(CarrierCounts { changes: 3, downs: 1 }));
    assert_eq!(with_gap.open_gap().unwrap().reason, "its interface was down");
}

#[test]
fn an_older_runvf_reads_a_claim_of_an_init_process() {
    let of_init = claim("0000:01:10.0", "n");
    assert_eq!(of_init.min_version(), 1);
    assert_eq!(serde_json::to_value(&of_init).unwrap()["init"]["pid"], 1);
    assert_eq!(Claim { init: None, ..of_init.clone() }.min_version(), 2);
    let [namespace, name, sandbox] = ["acme", "sensor", "5a"].map(str::to_owned);
    let of_pod = Claim { pod: Some(Pod { namespace, name, sandbox }), ..of_init.clone() };
    assert_eq!((of_pod.min_version(), of_pod.min_readable_version()), (2, 1));
    assert_eq!(Claim { iommu_group: Some(7), ..of_pod }.min_version(), 3);
    assert_eq!(Claim { iommu_group: Some(7), ..of_init }.min_version(), 3);
    let text = include_str!("../../../../tests/corpus/seeds/claim/of-a-netns.json");
    let of_netns = serde_json::from_str::<Claim>(text).unwrap();
    assert_eq!((of_netns.version, of_netns.init), (NETNS_CLAIM_VERSION, None));
    assert_eq!(of_netns.owner(), Owner::Netns(of_netns.netns));
    assert_eq!(of_netns.network.as_deref(), Some("acme"));
}

/// These tests need root.
mod in_a_netns {
    use std::fs;

    use super::*;
    use crate::kernel::netns::Netns;
    use crate::kernel::netns_life::in_a_netns::process_in_new_netns;

    const VF: &str = "0000:01:10.0";

    fn is_alive(root: &Path, netns: NetnsRecord, effort: Effort) -> bool {
        netns_claim(VF, netns).liveness(root, effort).owner
    }

    #[test]
    fn a_netns_is_gone_if_its_vf_is_back_or_a_full_search_finds_nothing() {
        let root = tempfile::tempdir().unwrap();
        let gone = NetnsRecord { id: NetnsId { dev: 0, ino: 0 }, cookie: 0 };
        assert!(!is_alive(root.path(), gone, Effort::Full));
        assert!(is_alive(root.path(), gone, Effort::Quick), "a quick search proves nothing");
        // The namespace of this process is as alive as one can be.
        let own = Netns::own().unwrap().record().unwrap();
        assert!(is_alive(root.path(), own, Effort::Quick));

        let netdev = root.path().join("sys/bus/pci/devices").join(VF).join("net/v0");
        fs::create_dir_all(netdev.parent().unwrap()).unwrap();
        assert!(is_alive(root.path(), gone, Effort::Full), "a hidden netns has the VF");
        fs::create_dir_all(&netdev).unwrap();
        fs::write(netdev.join("ifindex"), "7\n").unwrap();
        assert!(!is_alive(root.path(), gone, Effort::Quick), "the VF is back");
        assert!(is_alive(root.path(), own, Effort::Full), "the VF was moved back by hand");
    }

    #[test]
    fn a_claim_of_a_pod_lives_as_long_as_a_process_of_the_pod() {
        let (mut container, netns) = process_in_new_netns();
        let [namespace, name, sandbox] = ["acme", "sensor", "5a"].map(str::to_owned);
        let pod = Some(Pod { namespace, name, sandbox });
        // No process has this pid.
        let init = Some(ProcessId { pid: i32::MAX, start_time: 1 });
        let of_container = Claim { version: 1, init, ..netns_claim(VF, netns) };
        let of_pod = Claim { pod, ..of_container.clone() };
        assert!(of_container.is_abandoned(Effort::Quick));
        assert!(!of_pod.is_abandoned(Effort::Full), "the sandbox has ended, the container not");
        container.kill().unwrap();
        container.wait().unwrap();
        assert!(of_pod.is_abandoned(Effort::Quick));
    }

    #[test]
    fn a_netns_claim_in_progress_lives_as_long_as_its_worker() {
        let own = Netns::own().unwrap().record().unwrap();
        let worker = ProcessId::own().unwrap();
        let claiming = Claim { state: State::Claiming, worker, ..netns_claim(VF, own) };
        assert!(!claiming.is_abandoned(Effort::Full));
        let worker = ProcessId { start_time: worker.start_time + 1, ..worker };
        assert!(Claim { worker, ..claiming }.is_abandoned(Effort::Quick));
    }
}
