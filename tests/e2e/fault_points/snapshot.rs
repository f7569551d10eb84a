//! What a host looks like after each step of a broken procedure, and what must hold of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::Lab;
use serde_json::Value;

use crate::card::Card;

/// The VFs as the PF shows them, and the claims, after a step.
pub(crate) struct Snapshot {
    /// The name of the case, and the output of all steps.
    pub(crate) case: String,
    /// The output of this step.
    pub(crate) text: String,
    card: Card,
    vfs: Vec<Value>,
    claims: Vec<Value>,
    /// The names of the claim files, readable or not.
    claim_files: Vec<String>,
    /// For each VF with a driver, the flags of its netdev in the host netns; then the
    /// `driver_override` of each VF that has one.
    pub(crate) flags: Vec<String>,
    /// The interfaces of the claims that say "attached" of a living process.
    inside: Vec<Value>,
}

impl Snapshot {
    /// Runs the steps one after the other in one shell, and takes a snapshot after each.
    pub(crate) fn after(lab: &Lab, steps: &[&str], case: &str) -> Vec<Self> {
        Self::after_with_settings(lab, steps, case).0
    }

    /// The same, with those final settings of the first VF that an operator has changed.
    pub(crate) fn after_with_settings(
        lab: &Lab,
        steps: &[&str],
        case: &str,
    ) -> (Vec<Self>, String) {
        const MARK: &str = "=====";
        let mut script = "source /tmp/functions\n".to_owned();
        for step in steps {
            script.push_str(&format!("{{ {step}\n}} 2>&1; look {MARK}; echo {MARK}\n"));
        }
        script.push_str("settings");
        // Each step has its own timeout.
        let output = lab.sh_within(Duration::from_secs(600), &script).unwrap();
        let parts: Vec<&str> = output.stdout.split(MARK).collect();
        let case = format!("{case}\n{output}");
        let snapshot = |part: &[&str]| {
            let link: Value = serde_json::from_str(part[1]).expect(&case);
            let all = |part: &str| {
                let all = serde_json::Deserializer::from_str(part).into_iter();
                all.map(|one| one.expect(&case)).collect()
            };
            Self {
                case: case.clone(),
                text: part[0].to_owned(),
                card: Card::of(lab),
                vfs: link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default(),
                claims: all(part[2]),
                claim_files: part[3].split_whitespace().map(str::to_owned).collect(),
                flags: part[4].split_whitespace().map(str::to_owned).collect(),
                inside: all(part[5]),
            }
        };
        let (settings, snapshots) = parts.split_last().unwrap();
        (snapshots.chunks_exact(6).map(snapshot).collect(), settings.trim().to_owned())
    }

    /// The state of all claims, which must be the same. A state with details is the only key of an
    /// object.
    pub(crate) fn state(&self) -> Option<String> {
        assert_eq!(self.claims.len(), self.claim_files.len(), "{}", self.case);
        let state = |claim: &Value| {
            let key = claim["state"].as_object().and_then(|state| state.keys().next().cloned());
            key.or_else(|| claim["state"].as_str().map(str::to_owned))
        };
        let states: BTreeSet<_> = self.claims.iter().filter_map(state).collect();
        assert!(states.len() <= 1, "{states:?} after {}", self.case);
        states.into_iter().next()
    }

    /// The VFs with a VLAN or trust.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = &Value> {
        let vlan = |vf: &Value| vf["vlan_list"][0]["vlan"].as_u64().unwrap_or(0);
        self.vfs.iter().filter(move |vf| vlan(vf) != 0 || vf["trust"] == true)
    }

    /// At no moment may a VF be free while it carries a VLAN or trust of a tenant.
    pub(crate) fn assert_no_free_vf_is_dirty(&self) {
        for vf in self.dirty() {
            let index = usize::from(vf["vf"] == 1);
            let file = format!("{}.json", self.card.vf(index));
            let claimed = self.claim_files.contains(&file);
            assert!(claimed, "no claim for {vf} after {}", self.case);
        }
    }

    /// A claim becomes "attached" last: by then the VF has its VLAN and trust, and is up and
    /// promiscuous in its container.
    pub(crate) fn assert_attached_claims_are_true(&self) {
        for claim in self.claims.iter().filter(|claim| claim["state"] == "attached") {
            let vf = self.vfs.iter().find(|vf| vf["vf"] == claim["index"]).expect(&self.case);
            let have = (&vf["vlan_list"][0]["vlan"], &vf["trust"]);
            assert_eq!(have, (&claim["want"]["vlan"], &true.into()), "{}", self.case);
        }
        for links in &self.inside {
            let flags = links[0]["flags"].as_array().expect(&self.case);
            let both = ["UP", "PROMISC"].iter().all(|flag| flags.contains(&(*flag).into()));
            assert!(both, "{}", self.case);
        }
    }

    pub(crate) fn assert_all_clean(&self) {
        assert_eq!(self.dirty().next(), None, "{}", self.case);
        let json = |name: &&String| name.starts_with('0');
        assert_eq!(self.claim_files.iter().find(json), None, "{}", self.case);
        // BROADCAST and MULTICAST: DOWN, in the host netns, and not promiscuous.
        assert!(self.flags.iter().all(|flags| flags == "0x1002"), "{}", self.case);
        // The address that the first container asked for.
        assert!(!format!("{:?}", self.vfs).contains("02:00:00:00:00:11"), "{}", self.case);
    }

    /// After the end of all containers and a gc, only quarantined VFs may still be claimed.
    pub(crate) fn assert_gc_was_enough(&self) {
        let (_, rest) = self.text.split_once("after gc:").expect(&self.case);
        let (claims, _) = rest.split_once("after that:").expect(&self.case);
        for state in claims.split("\"state\":").skip(1) {
            let state: String = state.chars().filter(|c| c.is_ascii_graphic()).collect();
            assert_eq!(state, "{\"quarantined\"", "{}", self.case);
        }
    }

    /// After an attach that met an error: it is complete, or it has failed and no claim says
    /// "attached".
    pub(crate) fn assert_attached_or_refused(&self) {
        let state = self.state();
        match self.text.contains("ended with 0") {
            true => {
                assert_eq!(state.as_deref(), Some("attached"), "{}", self.case);
                let vlan = |vf: &Value| vf["vlan_list"][0]["vlan"] == 11 && vf["trust"] == true;
                assert!(self.vfs.iter().any(vlan), "{}", self.case);
            }
            // The undo may have failed, too. It leaves a claim, which the next attach or gc
            // releases.
            false => assert_ne!(state.as_deref(), Some("attached"), "{}", self.case),
        }
    }

    /// The second container must have a VF of its own on its own VLAN.
    pub(crate) fn assert_another_attached(&self) {
        let attached = self.text.contains("b: 0") && self.text.contains("b is promiscuous");
        assert!(attached, "{}", self.case);
        let claims: Vec<_> = self.claims.iter().filter(|claim| claim["container"] == "b").collect();
        let [claim] = claims[..] else { panic!("{claims:?} after {}", self.case) };
        let vf = self.vfs.iter().find(|vf| vf["vf"] == claim["index"]).unwrap();
        assert_eq!(
            (&vf["vlan_list"][0]["vlan"], &vf["trust"], &claim["state"]),
            (&22.into(), &true.into(), &"attached".into()),
            "{}",
            self.case
        );
    }
}
