//! Proof of `runvf events` and `runvf update`: resource use is printed as runc prints it, and
//! limits change.

use serde_json::Value;

use crate::host::{leave, prepared, state};

#[test]
fn resource_use_is_printed_as_runc_does() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(include_str!("scripts/plain_bundle.sh")).unwrap();
    let (ours, runcs) = (lab.json("runvf events --stats c"), lab.json("runc events --stats r"));
    let (ours, runcs) = (ours.unwrap(), runcs.unwrap());
    assert_eq!((&ours["type"], &ours["id"]), (&"stats".into(), &"c".into()), "{ours}");
    for path in ["/data/memory/usage/usage", "/data/pids/current", "/data/cpu/usage/total"] {
        let number = |stats: &Value| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        assert!(number(&ours) > 0 && number(&runcs) > 0, "{path}: {ours} {runcs}");
    }
    for key in ["cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(ours["data"].get(key).is_some() && runcs["data"].get(key).is_some(), "{key}");
    }
    let types = lab.ok(include_str!("scripts/events.sh"));
    assert_eq!(types.unwrap().text(), "stats");
    lab.ok("runvf run -d --bundle /tmp/b c </dev/null >/dev/null 2>&1").unwrap();
    lab.ok("runvf update --memory 64m --memory-swap -1 --pids-limit 9 c").unwrap();
    lab.ok("cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/$(runvf state c | jq .pid)/cgroup)
         [ $(cat memory.max) = 67108864 ] && [ $(cat pids.max) = 9 ]")
        .unwrap();
    let output = lab.sh("runvf update --memory-swap 1m c").unwrap();
    assert!(output.stderr.contains("is lower than the memory limit (67108864)"), "{output}");
    lab.ok("runvf delete -f c; rm -r /tmp/b /tmp/events").unwrap();
    leave(lab, &before);
}
