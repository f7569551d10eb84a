//! The procedures that are broken at their fault points. Their commands are functions of
//! `scripts/fault_points.sh`; `$first_vf` is the PCI address of the first VF.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Procedure {
    pub(crate) name: &'static str,
    /// Makes the state before `run`.
    pub(crate) prepare: &'static str,
    /// The command that meets the fault.
    pub(crate) run: &'static str,
    /// The ways to fail: `kill`, `error`, `lie`.
    pub(crate) ways: &'static [&'static str],
    /// The points at which it is broken; empty: all.
    pub(crate) only: &'static [&'static str],
    /// The state of the claim after a run without a fault, if a claim is left.
    pub(crate) leaves: Option<&'static str>,
}

pub(crate) const CREATION: Procedure = Procedure {
    name: "attach on a PF without VFs or drivers for them",
    prepare: "echo 0 > /sys/class/net/pf0/device/sriov_numvfs; holder a",
    run: "attach",
    ways: &["kill", "error", "lie"],
    // Creating VFs takes seconds, and every other attach passes the other points, too.
    only: &["lock", "numvfs", "sysfs-wait", "claim-create", "driver-override", "probe"],
    leaves: Some("attached"),
};
pub(crate) const ATTACH: Procedure = Procedure {
    name: "attach",
    prepare: "holder a",
    run: "attach",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: Some("attached"),
};
/// The second of two VFs meets the fault, while the first is in the container already.
pub(crate) const PAIR: Procedure = Procedure {
    name: "attach of two VFs",
    prepare: "holder a",
    run: "attach_pair",
    ways: &["kill", "error", "lie"],
    only: &["claim-create", "vf-set", "claim-replace", "move"],
    leaves: Some("attached"),
};
pub(crate) const DETACH: Procedure = Procedure {
    name: "detach",
    prepare: "holder a; hook attach a 11 && end a",
    run: "hook detach a 11",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: None,
};
pub(crate) const GC: Procedure = Procedure {
    name: "gc of a VF after the end of its container",
    prepare: "holder a; hook attach a 11 && end a",
    run: "timeout 100 runvfctl gc",
    ways: &["kill", "error"],
    only: &[],
    leaves: None,
};
pub(crate) const REPAIR: Procedure = Procedure {
    name: "repair",
    prepare: "holder a; hook attach a 11 && end a; RUNVF_FAULT=probe:1:error hook detach a 11",
    run: "timeout 100 runvfctl repair",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: None,
};
pub(crate) const UNREADABLE: Procedure = Procedure {
    name: "repair of a VF with an unreadable claim",
    prepare: "holder a; hook attach a 11 && end a; echo > /run/runvf/claims/$first_vf.json",
    run: "repair_unreadable",
    // As soon as its claim can be read, this is a repair like any other.
    ways: &["kill"],
    only: &[],
    leaves: None,
};
/// The audit log cannot be written, because users other than root can write to its folder.
pub(crate) const SPOOL: Procedure = Procedure {
    name: "detach while the audit log cannot be written",
    prepare: "holder a; hook attach a 11 && end a; chmod 777 /var/log/runvf",
    run: "hook detach a 11",
    ways: &["kill", "error"],
    only: &["audit-spool", "audit-spool-rename"],
    leaves: None,
};
pub(crate) const FLUSH: Procedure = Procedure {
    name: "gc that appends a spooled audit entry",
    prepare: "holder a; hook attach a 11 && end a; chmod 777 /var/log/runvf; hook detach a 11; chmod 750 /var/log/runvf",
    run: "timeout 100 runvfctl gc",
    ways: &["kill", "error"],
    only: &["audit-spool-remove"],
    leaves: None,
};
/// The only tenant has another name.
pub(crate) const REFUSAL: Procedure = Procedure {
    name: "refusal",
    prepare: "holder a",
    run: "refused",
    ways: &["kill", "error"],
    only: &["refusals", "refusals-rename"],
    leaves: None,
};
pub(crate) const LOSS: Procedure = Procedure {
    name: "gc of a container that lost its VF",
    prepare: "holder a; hook attach a 11 && echo $first_vf > /sys/bus/pci/devices/$first_vf/driver/unbind",
    run: "timeout 100 runvfctl gc",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: Some("lost"),
};
