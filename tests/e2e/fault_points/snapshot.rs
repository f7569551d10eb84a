//! What is there after each step of a broken procedure, and what must hold of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::Lab;
use serde_json::Value;

/// Functions for the guest. `holder` starts the process whose namespace gets a VF, `hook` does what an engine does for it, `look`
/// prints what [`Snapshot`] is made of. By the shell's own means where it has some: an emulated CPU starts thirty programs a second.
pub(super) const FUNCTIONS: &str = r#"
holder() { unshare -n sleep 1000 </dev/null >/dev/null 2>&1 & target=$!
    until [ -e /proc/$target/ns/net ] && ! [ /proc/$target/ns/net -ef /proc/self/ns/net ]; do :; done
    echo $target > /tmp/$1.pid; }
hook() { echo "{\"id\":\"$2\",\"pid\":$(< /tmp/$2.pid),\"annotations\":{\"io.runvf.vlan\":\"$3\",
    \"io.runvf.mac\":\"02:00:00:00:00:$3\",\"io.runvf.mtu\":\"1400\"$more}}" |
    timeout 100 /usr/libexec/runvf/runvf-hook $1; }
end() { [ -e /tmp/$1.pid ] || return 0
    local pid=$(< /tmp/$1.pid); kill -9 $pid 2>/dev/null
    while [ -e /proc/$pid/ns/net ]; do sleep 0.01; done; true; }
look() {  # MARK
    local file vf value
    echo $1; ip -j link show pf0
    echo $1; cat /run/runvf/claims/0*.json 2>/dev/null
    echo $1; for file in /run/runvf/claims/*; do [ ! -e $file ] || echo ${file##*/}; done
    echo $1; for vf in /sys/class/net/pf0/device/virtfn*; do
        [ -e $vf/driver ] || continue
        file=($vf/net/*/flags); [ -e $file ] && echo $(< $file) || echo away
    done
    for file in /sys/class/net/pf0/device/virtfn*/driver_override; do
        [ ! -e $file ] || value=$(< $file); [ "$value" = '(null)' ] || echo $value; done
    echo $1; for file in /run/runvf/claims/0*.json; do
        [ -e $file ] || continue
        [[ $(< $file) =~ '"state": "attached"'.*'"interface": "'([a-z0-9]+)'"'.*'"init": {'[^}]*'"pid": '([0-9]+) ]] || continue
        [ -e /proc/${BASH_REMATCH[2]}/ns/net ] || continue
        nsenter -n -t ${BASH_REMATCH[2]} ip -j link show ${BASH_REMATCH[1]} || echo '[]'; done 2>/dev/null
}
"#;

/// The PF's word on its VFs, and the claims, after a script.
pub(super) struct Snapshot {
    pub(super) case: String,
    pub(super) text: String,
    vfs: Vec<Value>,
    claims: Vec<Value>,
    /// The files of claims, readable or not.
    taken: Vec<String>,
    /// Of each VF that has a driver, the flags of its interface at home; and drivers that VFs are set aside for.
    pub(super) flags: Vec<String>,
    /// The interfaces of those claims that say "attached" of a process which lives.
    inside: Vec<Value>,
}

impl Snapshot {
    /// Runs scripts one after the other in one shell, and looks after each.
    pub(super) fn after(lab: &Lab, scripts: &[&str], case: &str) -> Vec<Self> {
        Self::after_with_settings(lab, scripts, case).0
    }

    /// The same, and what is set on the first VF in the end of what an operator had set.
    pub(super) fn after_with_settings(
        lab: &Lab,
        scripts: &[&str],
        case: &str,
    ) -> (Vec<Self>, String) {
        const MARK: &str = "=====";
        let mut script = "source /tmp/functions\n".to_owned();
        for step in scripts {
            script.push_str(&format!("{{ {step}\n}} 2>&1; look {MARK}; echo {MARK}\n"));
        }
        script.push_str(
            "ip link show enp1s0v0 2>/dev/null | grep -oE 'mtu [0-9]+|qlen [0-9]+|alias .*'
             ethtool -k enp1s0v0 2>/dev/null | grep '^generic-seg'",
        );
        // Each of the steps is bounded by itself.
        let output = lab.sh_within(Duration::from_secs(600), &script).unwrap();
        let parts: Vec<&str> = output.stdout.split(MARK).collect();
        let case = format!("{case}\n{output}");
        let see = |part: &[&str]| {
            let link: Value = serde_json::from_str(part[1]).expect(&case);
            let all = |part: &str| {
                let all = serde_json::Deserializer::from_str(part).into_iter();
                all.map(|one| one.expect(&case)).collect()
            };
            Self {
                case: case.clone(),
                text: part[0].to_owned(),
                vfs: link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default(),
                claims: all(part[2]),
                taken: part[3].split_whitespace().map(str::to_owned).collect(),
                flags: part[4].split_whitespace().map(str::to_owned).collect(),
                inside: all(part[5]),
            }
        };
        let (after_all, steps) = parts.split_last().unwrap();
        (steps.chunks_exact(6).map(see).collect(), after_all.trim().to_owned())
    }

    /// The state that all claims are in, or of one that tells more of it the key.
    pub(super) fn state(&self) -> Option<String> {
        assert_eq!(self.claims.len(), self.taken.len(), "{}", self.case);
        let state = |claim: &Value| {
            let told = claim["state"].as_object().and_then(|told| told.keys().next().cloned());
            told.or_else(|| claim["state"].as_str().map(str::to_owned))
        };
        let states: BTreeSet<_> = self.claims.iter().filter_map(state).collect();
        assert!(states.len() <= 1, "{states:?} after {}", self.case);
        states.into_iter().next()
    }

    pub(super) fn dirty(&self) -> impl Iterator<Item = &Value> {
        let vlan = |vf: &Value| vf["vlan_list"][0]["vlan"].as_u64().unwrap_or(0);
        self.vfs.iter().filter(move |vf| vlan(vf) != 0 || vf["trust"] == true)
    }

    /// "A VF is free while it carries a tenant's VLAN or trust" must hold at no moment.
    pub(super) fn assert_nothing_dirty_is_free(&self) {
        for vf in self.dirty() {
            let file = ["0000:01:10.0.json", "0000:01:10.2.json"][usize::from(vf["vf"] == 1)];
            let claimed = self.taken.iter().any(|taken| taken == file);
            assert!(claimed, "nobody claims {vf} after {}", self.case);
        }
    }

    /// "Attached" is written down last: whoever reads it finds the VF on its VLAN, trusted, and up and promiscuous where it belongs.
    pub(super) fn assert_rightfully_attached(&self) {
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

    pub(super) fn assert_all_clean(&self) {
        assert_eq!(self.dirty().next(), None, "{}", self.case);
        let json = |name: &&String| name.starts_with('0');
        assert_eq!(self.taken.iter().find(json), None, "{}", self.case);
        // BROADCAST and MULTICAST: DOWN, at home, and not promiscuous.
        assert!(self.flags.iter().all(|flags| flags == "0x1002"), "{}", self.case);
        // The address that the first container had asked for.
        assert!(!format!("{:?}", self.vfs).contains("02:00:00:00:00:11"), "{}", self.case);
    }

    /// Once all containers are dead and `gc` has been there, what is claimed at all is in quarantine.
    pub(super) fn assert_gc_was_enough(&self) {
        let (_, rest) = self.text.split_once("after gc:").expect(&self.case);
        let (claims, _) = rest.split_once("after that:").expect(&self.case);
        for state in claims.split("\"state\":").skip(1) {
            let state: String = state.chars().filter(|c| c.is_ascii_graphic()).collect();
            assert_eq!(state, "{\"quarantined\"", "{}", self.case);
        }
    }

    /// After an attach that met an error: it came through whole, or nothing of it is left but what must not be used.
    pub(super) fn assert_attached_or_refused(&self) {
        let state = self.state();
        match self.text.contains("ended with 0") {
            true => {
                assert_eq!(state.as_deref(), Some("attached"), "{}", self.case);
                let vlan = |vf: &Value| vf["vlan_list"][0]["vlan"] == 11 && vf["trust"] == true;
                assert!(self.vfs.iter().any(vlan), "{}", self.case);
            }
            // A release that fails, too, leaves a claim that the next to come takes care of.
            false => assert_ne!(state.as_deref(), Some("attached"), "{}", self.case),
        }
    }

    /// The second container must have got a VF on its own VLAN that nobody else has.
    pub(super) fn assert_another_attached(&self) {
        assert!(self.text.contains("b: 0") && self.text.contains("b sees"), "{}", self.case);
        let theirs: Vec<_> = self.claims.iter().filter(|claim| claim["container"] == "b").collect();
        let [claim] = theirs[..] else { panic!("{theirs:?} after {}", self.case) };
        let vf = self.vfs.iter().find(|vf| vf["vf"] == claim["index"]).unwrap();
        assert_eq!(
            (&vf["vlan_list"][0]["vlan"], &vf["trust"], &claim["state"]),
            (&22.into(), &true.into(), &"attached".into()),
            "{}",
            self.case
        );
    }
}
