//! The check of the VF driver: its kernel module is loaded or built in, or udev can load it from a
//! file.

use super::finding::Finding;
use super::machine::Machine;
use crate::nic::driver::driver;

/// Directories of modprobe.d(5).
const MODPROBE_FOLDERS: [&str; 4] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];

/// Checks the driver that the VFs of a PF with the driver `pf_driver` need.
pub(super) fn vf_driver(machine: &Machine, pf_driver: Option<&str>) -> Finding {
    const CHECK: &str = "vf-driver";
    let Some(name) = driver(pf_driver).vf else {
        return Finding::unknown(CHECK, "the VF driver for this PF driver is not known");
    };
    let loaded = machine.has(&format!("/sys/module/{name}"));
    if let Some(file) = blocking_file(machine, name).filter(|_| !loaded) {
        let remedy = format!("remove {name} from {file} and run `modprobe {name}`");
        return Finding::failure(CHECK, format!("{name} is blocked by {file}"), remedy);
    }
    if loaded {
        // Only a driver that was built outside the kernel's source has a version of its own.
        let version = machine.read(&format!("/sys/module/{name}/version"));
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        return Finding::ok(CHECK, format!("{name}{version} is loaded"));
    }
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let listed = |list: &str| {
        let text = machine.read(&format!("/lib/modules/{release}/{list}")).unwrap_or_default();
        let file = format!("/{name}.ko");
        text.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains(&file)))
    };
    if listed("modules.dep") || listed("modules.builtin") {
        return Finding::ok(CHECK, format!("{name} is installed"));
    }
    Finding::failure(
        CHECK,
        format!("{name} is neither loaded nor in /lib/modules/{release}"),
        format!(
            "install the kernel package that contains {name} (Ubuntu: linux-modules-extra) and run `modprobe {name}`"
        ),
    )
}

/// The file of modprobe.d(5) that prevents udev from loading a module for a device.
fn blocking_file(machine: &Machine, module: &str) -> Option<String> {
    for folder in MODPROBE_FOLDERS {
        for entry in std::fs::read_dir(machine.at(folder)).into_iter().flatten().flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let text = machine.read(&path).unwrap_or_default();
            let blocks = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                matches!(words[..], ["blacklist", name] if name == module)
                    || matches!(words[..], ["install", name, "/bin/false" | "/bin/true", ..] if name == module)
            };
            if path.ends_with(".conf") && text.lines().any(blocks) {
                return Some(path);
            }
        }
    }
    None
}
