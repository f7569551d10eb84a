//! Recorded hosts and their expected findings.
//!
//! A record in `hosts/` is a text with the lines `PATH = CONTENT`, `PATH -> TARGET`, `PATH/`,
//! `facts PF = JSON`, `without PATH`. The first line may be `like OTHER`: the record then starts as
//! a copy of another record. The expected findings follow the line `====`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::findings;
use super::machine::Machine;

/// Reads a record: its host, and the expected findings.
fn record(name: &str) -> (String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator/doctor/hosts");
    let text = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let (record, expected) = text.split_once("====\n").unwrap();
    (record.to_owned(), expected.to_owned())
}

/// Creates the files of a record below `root` and collects its facts.
fn lay_out(root: &Path, record_text: &str, facts: &mut Facts) {
    for line in record_text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let parent = |path: &str| fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        if let Some(other) = line.strip_prefix("like ") {
            lay_out(root, &record(other).0, facts);
        } else if let Some(path) = line.strip_prefix("without ") {
            match at(path).is_dir() && !at(path).is_symlink() {
                true => fs::remove_dir_all(at(path)).unwrap(),
                false => fs::remove_file(at(path)).unwrap(),
            }
        } else if let Some((pf, json)) =
            line.strip_prefix("facts ").and_then(|l| l.split_once(" = "))
        {
            facts.insert(pf.to_owned(), serde_json::from_str(json).unwrap());
        } else if let Some((path, target)) = line.split_once(" -> ") {
            parent(path);
            let _ = fs::remove_file(at(path));
            symlink(target, at(path)).unwrap();
        } else if let Some((path, content)) = line.split_once(" = ") {
            parent(path);
            fs::write(at(path), format!("{content}\n")).unwrap();
        } else {
            assert!(line.ends_with('/'), "{line}");
            fs::create_dir_all(at(line)).unwrap();
        }
    }
}

/// A finding as a line of a record.
fn as_line(finding: &Finding, root: &Path) -> String {
    let mark = match finding.severity {
        Severity::Ok => "ok     ",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Failure => "FAILURE",
    };
    let of = finding.of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
    let remedy = finding.remedy.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
    let line = format!("{mark} {}{of}: {}{remedy}\n", finding.check, finding.evidence);
    line.replace(&*root.to_string_lossy(), "")
}

/// The findings for a record, and the expected ones.
fn diagnosis(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (record, expected) = record(name);
    let mut facts = Facts::new();
    lay_out(folder.path(), &record, &mut facts);
    let findings = findings(&Machine::with_root(folder.path(), facts));
    (findings.iter().map(|finding| as_line(finding, folder.path())).collect(), expected)
}

fn assert_findings(name: &str) {
    let (actual, expected) = diagnosis(name);
    assert_eq!(actual, expected, "{name}");
}

#[test]
fn a_healthy_host_has_no_warnings() {
    assert_findings("i40e-healthy");
}

#[test]
fn versions_with_a_public_report_are_warnings() {
    assert_findings("reported-versions");
}

#[test]
fn a_flag_that_is_off_and_a_pf_that_is_down_are_failures() {
    assert_findings("i40e-flag-off");
}

#[test]
fn a_missing_monitor_is_a_warning_and_without_the_timer_a_failure() {
    assert_findings("no-monitor");
}

#[test]
fn the_second_port_of_an_ice_needs_function_0() {
    assert_findings("ice-port-1");
}

#[test]
fn an_82599_has_no_promiscuous_vfs() {
    assert_findings("ixgbe-82599");
}

#[test]
fn ixgbe_needs_a_promiscuous_pf() {
    assert_findings("ixgbe-x550");
}

#[test]
fn mlx5_in_switchdev_mode_is_a_failure() {
    assert_findings("mlx5-switchdev");
}

#[test]
fn a_port_of_a_bond_and_vfs_kept_for_another_driver_are_found() {
    assert_findings("pf-in-a-bond");
}

#[test]
fn a_pf_in_another_netns_and_a_representor_are_failures() {
    assert_findings("pf-in-another-netns");
}

#[test]
fn an_old_kernel_is_a_failure_and_a_missing_iommu_a_warning() {
    assert_findings("old-kernel");
}

#[test]
fn a_blocked_vf_driver_is_a_failure() {
    assert_findings("no-vf-driver");
}

#[test]
fn a_network_manager_without_its_rule_is_a_warning() {
    assert_findings("network-managers");
}

#[test]
fn vfs_that_are_older_than_the_udev_rules_are_a_warning() {
    assert_findings("vfs-before-udev-rules");
}

#[test]
fn a_missing_config_is_a_failure() {
    assert_findings("no-config");
}

#[test]
fn lost_and_quarantined_vfs_are_warnings() {
    assert_findings("unhealthy-claims");
}

#[test]
fn abandoned_claims_are_warnings() {
    assert_findings("abandoned-claims");
}
