//! Recorded hosts, and what is to be said of each.
//!
//! A record in `hosts/` is text: `PATH = CONTENT`, `PATH -> TARGET`, `PATH/`, `facts PF = JSON`, `without PATH` and, in the
//! first line, `like OTHER` for what it has in common with another. Below a line of `====` is what the doctor is to say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::findings;
use super::machine::Machine;

fn record(name: &str) -> (String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator/doctor/hosts");
    let text = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let (record, said) = text.split_once("====\n").unwrap();
    (record.to_owned(), said.to_owned())
}

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

fn as_line(finding: &Finding, root: &Path) -> String {
    let mark = match finding.severity {
        Severity::Ok => "ok     ",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Failure => "FAILURE",
    };
    let of = finding.of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
    let mend = finding.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
    let line = format!("{mark} {}{of}: {}{mend}\n", finding.check, finding.evidence);
    line.replace(&*root.to_string_lossy(), "")
}

fn diagnosis(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (record, said) = record(name);
    let mut facts = Facts::new();
    lay_out(folder.path(), &record, &mut facts);
    let findings = findings(&Machine::below(folder.path(), facts));
    (findings.iter().map(|finding| as_line(finding, folder.path())).collect(), said)
}

fn diagnosed(name: &str) {
    let (now, expected) = diagnosis(name);
    assert_eq!(now, expected, "{name}");
}

#[test]
fn well() {
    diagnosed("i40e-well");
}

#[test]
fn the_flag_is_off_and_the_pf_down() {
    diagnosed("i40e-flag-off");
}

#[test]
fn the_second_port_of_an_ice() {
    diagnosed("ice-port-1");
}

#[test]
fn an_82599() {
    diagnosed("ixgbe-82599");
}

#[test]
fn an_ixgbe_whose_pf_is_not_promiscuous() {
    diagnosed("ixgbe-x550");
}

#[test]
fn a_mlx5_in_switchdev_mode() {
    diagnosed("mlx5-switchdev");
}

#[test]
fn no_iommu_and_an_old_kernel() {
    diagnosed("old");
}

#[test]
fn no_driver_for_vfs() {
    diagnosed("no-vf-driver");
}

#[test]
fn network_managers() {
    diagnosed("managers");
}

#[test]
fn managers_that_were_there_first() {
    diagnosed("managers-first");
}

#[test]
fn no_config() {
    diagnosed("no-config");
}

#[test]
fn claims_gone_wrong() {
    diagnosed("quarantine");
}

#[test]
fn claims_that_nobody_brings_any_further() {
    diagnosed("abandoned");
}
