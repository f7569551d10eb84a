//! Builds the probe of `differential/` as a static program, because it runs in root file systems
//! that contain nothing else.

use std::path::Path;
use std::process::{Command, exit};
use std::{env, fs};

const SOURCE: &str = "differential/probe.rs";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let probe = Path::new(&variable("OUT_DIR")).join("probe");
    let built = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-name=probe", "--target", &variable("TARGET")])
        .args(["-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Copt-level=s", "-Cstrip=symbols"])
        .arg(SOURCE)
        .arg("-o")
        .arg(&probe)
        .status();
    if !built.is_ok_and(|status| status.success()) || fs::metadata(&probe).is_err() {
        eprintln!("cannot build {SOURCE}");
        exit(1);
    }
}
