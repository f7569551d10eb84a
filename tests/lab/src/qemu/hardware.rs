//! The virtual hardware: three igb PFs, each on a wire with its mirror port.

use std::path::Path;

/// The files a machine runs on. `memory` is the guest's RAM as a file, see [`Memory`].
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) disk: &'a Path,
    pub(crate) memory: &'a Path,
}

/// The guest's RAM is a file: the machine that makes the snapshot writes it, and every restored
/// machine maps it copy-on-write. So a restore reads no memory at all but what the guest then
/// touches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Written,
    CopyOnWrite,
}

/// What defines the virtual hardware. A snapshot is good only for the machine it was made with, so
/// this is one of the image's inputs.
pub(crate) fn arguments(parts: &Parts<'_>, memory: Memory) -> Vec<String> {
    let sharing = match memory {
        Memory::Written => "share=on",
        Memory::CopyOnWrite => "share=off,readonly=on,rom=off",
    };
    // What is cheap for a processor and dear for QEMU is taken from the CPU. In CPU time of a `docker run`:
    // - Fast byte-wise string instructions (`rep stosb` becomes a loop over single bytes), a fifth: the kernel and the C library then
    //   copy and clear by words.
    // - XSAVE, a tenth: every switch of tasks saves and loads 2.5 KiB of registers one by one. Without it there is no AVX either, and
    //   FXSAVE does.
    let mut words: Vec<String> =
        "-nodefaults -display none -machine q35,memory-backend=ram -accel tcg,thread=multi \
         -cpu max,erms=off,fsrm=off,fsrs=off,fzrm=off,xsave=off \
         -smp 2 -m 3G -device intel-iommu,intremap=on \
         -netdev user,id=ctl,restrict=on,hostfwd=tcp:127.0.0.1:0-:22 \
         -device virtio-net-pci,netdev=ctl,mac=52:54:00:00:00:01,romfile="
            .split_whitespace()
            .map(str::to_owned)
            .collect();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add(
        "-object",
        format!("memory-backend-file,id=ram,size=3G,mem-path={},{sharing}", parts.memory.display()),
    );
    add("-drive", format!("file={},if=virtio,format=qcow2,cache=unsafe", parts.disk.display()));
    add("-kernel", parts.kernel.display().to_string());
    add("-initrd", parts.initrd.display().to_string());
    // The last line is what hardens a kernel against itself, each page cleared once more, each copy and each stack checked, and the audit
    // of every system call, which nobody reads: a fifth of a `docker run`, and nothing that a container or a driver can see.
    add(
        "-append",
        "root=/dev/vda rw console=ttyS0 quiet intel_iommu=on iommu=pt mitigations=off \
         init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off audit=0"
            .into(),
    );
    for port in 0..3 {
        // The two NICs of a hub are the two ends of a wire.
        let (chassis, hub) = (port + 1, port + 1);
        add("-device", format!("pcie-root-port,id=rp{port},chassis={chassis}"));
        add("-netdev", format!("hubport,id=pf{port},hubid={hub}"));
        add(
            "-device",
            format!("igb,bus=rp{port},netdev=pf{port},mac=52:54:00:01:00:0{port},romfile="),
        );
        add("-netdev", format!("hubport,id=mirror{port},hubid={hub}"));
        add(
            "-device",
            format!("virtio-net-pci,netdev=mirror{port},mac=52:54:00:02:00:0{port},romfile="),
        );
    }
    words
}
