//! Fake hosts for the claim of a VF: a folder like `/sys` with one PF and any number of VFs, and a
//! network namespace with their netdevs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use vf::Host;

use crate::error::Result;

/// The fake hosts by their numbers of VFs and of claimed VFs.
#[derive(Default)]
pub(crate) struct FakeHosts(HashMap<(u32, u32), FakeHost>);

pub(crate) struct FakeHost {
    host: Host,
    vfs: u32,
    netns: File,
    host_netns: File,
}

impl FakeHosts {
    /// Returns the fake host with these numbers, and creates it first if necessary.
    pub(crate) fn get(&mut self, vfs: u32, claimed: u32) -> Result<&FakeHost> {
        if let Entry::Vacant(entry) = self.0.entry((vfs, claimed)) {
            entry.insert(FakeHost::create(vfs, claimed)?);
        }
        Ok(&self.0[&(vfs, claimed)])
    }
}

const PF: &str = "0000:01:00.0";
/// The ifindex of the PF, far above the ifindex of `lo`. The VFs have the following ones.
const PF_IFINDEX: u32 = 1000;

impl FakeHost {
    fn create(vfs: u32, claimed: u32) -> Result<Self> {
        let root = PathBuf::from(format!("/run/bench-{vfs}-{claimed}"));
        let host = Host {
            sysfs: root.join("sys"),
            run: root.join("run"),
            config: root.join("config.toml"),
            audit: root.join("audit.jsonl"),
        };
        fs::create_dir_all(&root)?;
        fs::write(&host.config, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n")?;
        let host_netns = File::open("/proc/self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let netns = File::open("/proc/self/ns/net")?;
        let populated = populate(&host, vfs, claimed);
        setns(&host_netns, CloneFlags::CLONE_NEWNET)?;
        populated?;
        Ok(Self { host, vfs, netns, host_netns })
    }

    /// Chooses a free VF, claims it and removes the claim.
    pub(crate) fn claim(&self) -> Result<()> {
        setns(&self.netns, CloneFlags::CLONE_NEWNET)?;
        let claimed = vf::claim_and_forget(&self.host, self.vfs);
        setns(&self.host_netns, CloneFlags::CLONE_NEWNET)?;
        claimed.map_err(|error| error.line())?.map(drop).ok_or("no VF is free".into())
    }
}

/// Creates the devices and the claims, and the netdevs in the current network namespace.
fn populate(host: &Host, vfs: u32, claimed: u32) -> Result<()> {
    let devices = host.sysfs.join("bus/pci/devices");
    let pf = devices.join(PF);
    add_netdev(&pf, "pf0", PF_IFINDEX)?;
    fs::write(pf.join("sriov_totalvfs"), vfs.to_string())?;
    fs::create_dir_all(host.sysfs.join("class/net/pf0"))?;
    symlink(&pf, host.sysfs.join("class/net/pf0/device"))?;
    let mut links = String::from("link set lo up\n");
    for index in 0..vfs {
        let address = address(index);
        let vf = devices.join(&address);
        let (name, ifindex) = (format!("v{index}"), PF_IFINDEX + 1 + index);
        add_netdev(&vf, &name, ifindex)?;
        fs::write(vf.join("driver_override"), "(null)\n")?;
        symlink("../../drivers/igbvf", vf.join("driver"))?;
        symlink(&pf, vf.join("physfn"))?;
        symlink(format!("../{address}"), pf.join(format!("virtfn{index}")))?;
        // The kernel creates dummies with ARP off (IFF_NOARP), but a free VF has ARP on.
        links += &format!("link add {name} index {ifindex} type dummy\nlink set {name} arp on\n");
    }
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    ip.stdin.take().ok_or("ip has no standard input")?.write_all(links.as_bytes())?;
    if !ip.wait()?.success() {
        return Err("ip cannot create the netdevs".into());
    }
    let folder = host.run.join("claims");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    for index in 0..claimed {
        // Any file in place of a claim makes its VF unavailable. Reading an invalid claim takes
        // about as long as reading a valid one.
        fs::write(folder.join(format!("{}.json", address(index))), "{}")?;
    }
    Ok(())
}

fn add_netdev(device: &Path, name: &str, ifindex: u32) -> Result<()> {
    let folder = device.join("net").join(name);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join("ifindex"), format!("{ifindex}\n"))?)
}

/// The PCI address of a VF.
fn address(index: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 2 + index / 256, index / 8 % 32, index % 8)
}
