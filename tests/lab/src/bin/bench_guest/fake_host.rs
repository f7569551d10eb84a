//! A folder shaped like `/sys` with one PF of any number of VFs, in a network namespace that has their netdevs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use vf::Host;

use crate::Result;

#[derive(Default)]
pub(crate) struct Trees(HashMap<(u32, u32), Tree>);

pub(crate) struct Tree {
    host: Host,
    vfs: u32,
    netns: File,
    home: File,
}

impl Trees {
    pub(crate) fn get(&mut self, vfs: u32, claimed: u32) -> Result<&Tree> {
        if let std::collections::hash_map::Entry::Vacant(free) = self.0.entry((vfs, claimed)) {
            free.insert(Tree::make(vfs, claimed)?);
        }
        Ok(&self.0[&(vfs, claimed)])
    }
}

const PF: &str = "0000:01:00.0";
/// The first index of a netdev, out of the way of `lo`.
const FIRST: u32 = 1000;

impl Tree {
    fn make(vfs: u32, claimed: u32) -> Result<Self> {
        let root = PathBuf::from(format!("/run/bench-{vfs}-{claimed}"));
        let host = Host {
            sysfs: root.join("sys"),
            run: root.join("run"),
            config: root.join("config.toml"),
            audit: root.join("audit.jsonl"),
        };
        fs::create_dir_all(&root)?;
        fs::write(&host.config, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n")?;
        let home = File::open("/proc/self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let netns = File::open("/proc/self/ns/net")?;
        let made = fill(&host, vfs, claimed);
        setns(&home, CloneFlags::CLONE_NEWNET)?;
        made?;
        Ok(Self { host, vfs, netns, home })
    }

    pub(crate) fn claim(&self) -> Result<()> {
        setns(&self.netns, CloneFlags::CLONE_NEWNET)?;
        let claimed = vf::claim_and_forget(&self.host, self.vfs);
        setns(&self.home, CloneFlags::CLONE_NEWNET)?;
        claimed.map_err(|error| error.line())?.map(drop).ok_or("no VF was free".into())
    }
}

fn fill(host: &Host, vfs: u32, claimed: u32) -> Result<()> {
    let devices = host.sysfs.join("bus/pci/devices");
    let pf = devices.join(PF);
    netdev(&pf, "pf0", FIRST)?;
    fs::write(pf.join("sriov_totalvfs"), vfs.to_string())?;
    fs::create_dir_all(host.sysfs.join("class/net/pf0"))?;
    symlink(&pf, host.sysfs.join("class/net/pf0/device"))?;
    let mut links = String::from("link set lo up\n");
    for index in 0..vfs {
        let address = address(index);
        let vf = devices.join(&address);
        let (name, ifindex) = (format!("v{index}"), FIRST + 1 + index);
        netdev(&vf, &name, ifindex)?;
        fs::write(vf.join("driver_override"), "(null)\n")?;
        symlink("../../drivers/igbvf", vf.join("driver"))?;
        symlink(&pf, vf.join("physfn"))?;
        symlink(format!("../{address}"), pf.join(format!("virtfn{index}")))?;
        // A dummy is made without ARP, which a free VF never is.
        links += &format!("link add {name} index {ifindex} type dummy\nlink set {name} arp on\n");
    }
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    ip.stdin.take().ok_or("no pipe")?.write_all(links.as_bytes())?;
    if !ip.wait()?.success() {
        return Err("ip cannot make the netdevs".into());
    }
    let folder = host.run.join("claims");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    for index in 0..claimed {
        // Anything in a claim's place keeps its VF; what cannot be read costs its reader about as much.
        fs::write(folder.join(format!("{}.json", address(index))), "{}")?;
    }
    Ok(())
}

fn netdev(device: &Path, name: &str, ifindex: u32) -> Result<()> {
    let folder = device.join("net").join(name);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join("ifindex"), format!("{ifindex}\n"))?)
}

fn address(index: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 2 + index / 256, index / 8 % 32, index % 8)
}
