//! The virtual hardware: PFs, each wired to a mirror port.

use std::path::Path;

use crate::qemu::host_kind::{Kernel, Nic};

/// The files of a machine. `memory` is the file that holds the guest's RAM, see [`Memory`].
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) disk: &'a Path,
    pub(crate) memory: &'a Path,
    pub(crate) release: Kernel,
    pub(crate) card: Card<'a>,
}

/// The NIC, with the files of the X710's device model: the plugin, and the journal that it writes.
#[derive(Clone, Copy)]
pub(crate) enum Card<'a> {
    Intel82576,
    IntelX710 { plugin: &'a Path, journal: &'a Path },
}

impl Card<'_> {
    fn nic(self) -> Nic {
        match self {
            Self::Intel82576 => Nic::Intel82576,
            Self::IntelX710 { .. } => Nic::IntelX710,
        }
    }
}

/// How QEMU maps the file that holds the guest's RAM.
///
/// The machine that makes the snapshot writes the file; every restored machine maps it
/// copy-on-write. So a restore reads only the pages that the guest touches later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Shared,
    CopyOnWrite,
}

/// The kernel's command line, without the number of PFs.
///
/// `no_timer_check`: at boot the kernel waits a few ticks for the timer and panics if they do not
/// come ("timer doesn't work through Interrupt-remapped IO-APIC"). On a busy machine QEMU is late
/// with them.
///
/// The last line turns off hardening (clearing pages, checking copies and stacks) and the audit of
/// system calls, which no test reads. Together these cost a fifth of the CPU time of a `docker run`,
/// and neither containers nor drivers notice their absence.
const KERNEL_COMMAND_LINE: &str = "root=/dev/vda rw console=ttyS0 quiet \
     intel_iommu=on iommu=pt mitigations=off no_timer_check \
     init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off audit=0";

/// QEMU still reports AVX when XSAVE is off. The backports' kernel uses AVX for its own ciphers early in
/// the boot, and panics.
const WITHOUT_AVX: &str = "clearcpuid=avx";

/// CPU, memory, IOMMU and the NIC for ssh.
///
/// The CPU lacks features that are cheap in hardware but expensive under emulation. Their shares of
/// the CPU time of a `docker run`:
///
/// - Fast string instructions (ERMS, FSRM, FSRS, FZRM), a fifth: QEMU emulates `rep stosb` byte by
///   byte. Without these flags the kernel and the C library copy and clear whole words.
/// - XSAVE, a tenth: each task switch saves and loads 2.5 KiB of registers one by one. Without it
///   there is no AVX either, and FXSAVE is enough.
const BASE: &str = "-nodefaults -display none \
     -machine q35,memory-backend=ram -accel tcg,thread=multi \
     -cpu max,erms=off,fsrm=off,fsrs=off,fzrm=off,xsave=off \
     -smp 2 -m 3G -device intel-iommu,intremap=on \
     -netdev user,id=ctl,restrict=on,hostfwd=tcp:127.0.0.1:0-:22 \
     -device virtio-net-pci,netdev=ctl,mac=52:54:00:00:00:01,romfile=";

/// QEMU's arguments that define the virtual hardware.
///
/// A snapshot fits only the hardware it was made on, so these are among the inputs of the image.
pub(crate) fn arguments(parts: &Parts<'_>, memory: Memory) -> Vec<String> {
    let sharing = match memory {
        Memory::Shared => "share=on",
        Memory::CopyOnWrite => "share=off,readonly=on,rom=off",
    };
    let mut arguments: Vec<String> = BASE.split_whitespace().map(str::to_owned).collect();
    let ram =
        format!("memory-backend-file,id=ram,size=3G,mem-path={},{sharing}", parts.memory.display());
    let drive = format!("file={},if=virtio,format=qcow2,cache=unsafe", parts.disk.display());
    for (option, value) in [
        ("-object", ram),
        ("-drive", drive),
        ("-kernel", parts.kernel.display().to_string()),
        ("-initrd", parts.initrd.display().to_string()),
        ("-append", kernel_command_line(parts)),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    if let Card::IntelX710 { plugin, .. } = parts.card {
        arguments.extend(["-plugin".to_owned(), format!("file={}", plugin.display())]);
    }
    let ports = 0..parts.card.nic().pfs();
    ports.for_each(|port| arguments.extend(pf_and_mirror_port(port, parts.card)));
    arguments
}

fn kernel_command_line(parts: &Parts<'_>) -> String {
    let line = format!("{KERNEL_COMMAND_LINE} lab.ports={}", parts.card.nic().pfs());
    match parts.release {
        Kernel::Stable => line,
        Kernel::Backports => format!("{line} {WITHOUT_AVX}"),
    }
}

/// QEMU's id of a PF of the X710.
pub(crate) fn x710_id(port: u8) -> String {
    format!("x710-{port}")
}

/// A PF and its mirror port, which are the only two NICs of one hub: a wire between them.
fn pf_and_mirror_port(port: u8, card: Card<'_>) -> Vec<String> {
    let (chassis, hub) = (port + 1, port + 1);
    let device = match card {
        Card::Intel82576 => "igb,romfile=".to_owned(),
        Card::IntelX710 { journal, .. } => {
            format!("x710,id={},journal={}", x710_id(port), journal.display())
        }
    };
    // Without ACS, all functions below the port of the last 82576 are in one IOMMU group.
    let acs = match card {
        Card::Intel82576 if port + 1 == card.nic().pfs() => ",disable-acs=on",
        _ => "",
    };
    let options = [
        ("-device", format!("pcie-root-port,id=rp{port},chassis={chassis}{acs}")),
        ("-netdev", format!("hubport,id=pf{port},hubid={hub}")),
        ("-device", format!("{device},bus=rp{port},netdev=pf{port},mac=52:54:00:01:00:0{port}")),
        ("-netdev", format!("hubport,id=mirror{port},hubid={hub}")),
        (
            "-device",
            format!("virtio-net-pci,netdev=mirror{port},mac=52:54:00:02:00:0{port},romfile="),
        ),
    ];
    options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
}
