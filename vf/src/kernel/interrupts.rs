//! The CPUs of a process, of the NUMA nodes, and of the interrupts of a PCI function.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fault;
use crate::kernel::cpu_set::CpuSet;
use crate::kernel::proc_file;
use crate::kernel::sysfs::Sysfs;

/// The CPUs that a process may run on, which its cpuset limits (`proc_pid_status(5)`).
pub(crate) fn cpus_of_process(pid: i32) -> Option<CpuSet> {
    cpus_in_status(&proc_file::read(Path::new(&format!("/proc/{pid}/status"))).ok()?)
}

fn cpus_in_status(text: &str) -> Option<CpuSet> {
    text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.parse().ok()
}

impl Sysfs {
    /// The CPUs that are online.
    pub(crate) fn online_cpus(&self) -> Option<CpuSet> {
        proc_file::read(&self.0.join("devices/system/cpu/online")).ok()?.parse().ok()
    }

    /// The CPUs near a PCI function, on its NUMA node. `None`: the firmware names no node.
    pub(crate) fn local_cpus(&self, pci: &str) -> Option<CpuSet> {
        let device = self.pci_device(pci);
        let node = proc_file::read(&device.join("numa_node")).ok()?;
        // -1: no node (`Documentation/ABI/testing/sysfs-bus-pci`).
        node.trim().parse::<u32>().ok()?;
        proc_file::read(&device.join("local_cpulist")).ok()?.parse().ok()
    }

    /// The numbers of the interrupts of a PCI function.
    fn interrupts(&self, pci: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.pci_device(pci).join("msi_irqs"));
        let names = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        found.sort_unstable();
        found
    }

    /// The CPUs that may handle the interrupts of a PCI function, one entry for each interrupt that
    /// its driver uses.
    pub(crate) fn interrupt_cpus(&self, pci: &str) -> Vec<CpuSet> {
        let read = |number| proc_file::read(&affinity_file(number)).ok()?.parse().ok();
        self.interrupts(pci).into_iter().filter_map(read).collect()
    }

    /// Lets only these CPUs handle the interrupts of a PCI function. An interrupt that the kernel
    /// manages itself (mlx5) stays where it is, and so does an unused interrupt.
    pub(crate) fn set_interrupt_cpus(&self, pci: &str, cpus: &CpuSet) {
        for number in self.interrupts(pci) {
            // An error costs speed, and no frame is seen by another container.
            if fault::point("irq-affinity").is_ok() {
                let _ = fs::write(affinity_file(number), cpus.to_string());
            }
        }
    }
}

fn affinity_file(number: u32) -> PathBuf {
    PathBuf::from(format!("/proc/irq/{number}/smp_affinity_list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_of_a_process_are_in_its_status() {
        let text = "Name:\ta\nCpus_allowed:\t0f\nCpus_allowed_list:\t0-3\nMems_allowed:\t1\n";
        assert_eq!(cpus_in_status(text).unwrap().to_string(), "0-3");
        assert_eq!(cpus_in_status("Name:\ta\n"), None);
        assert!(cpus_of_process(std::process::id() as i32).is_some());
    }

    #[test]
    fn the_numbers_of_interrupts_are_read_from_sysfs() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = Sysfs(root.path().to_owned());
        assert!(sysfs.interrupts("0000:01:10.0").is_empty());
        for number in ["41", "7", "x"] {
            let folder = root.path().join("bus/pci/devices/0000:01:10.0/msi_irqs");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(number), "msix\n").unwrap();
        }
        assert_eq!(sysfs.interrupts("0000:01:10.0"), [7, 41]);
    }
}
