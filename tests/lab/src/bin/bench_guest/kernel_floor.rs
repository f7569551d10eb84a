//! The kernel's own part of an attach, and nothing else: VLAN and trust by the PF, the move under a new name, flags and up. One
//! process that is there already, three messages, no look at anything.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::thread;

use lab::bench_protocol::Floor;
use nix::libc;
use nix::sched::{CloneFlags, setns};

use crate::Result;
use crate::netlink::{Kernel, Message};

// `include/uapi/linux/if_link.h`
const IFLA_IFNAME: u16 = 3;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_VF_INFO: u16 = 1;
const IFLA_VF_VLAN: u16 = 2;
const IFLA_VF_TRUST: u16 = 9;

/// All that can be known before.
pub(crate) struct Ready {
    floor: Floor,
    pf: u32,
    vf: u32,
    home: File,
    there: File,
    kernel: Kernel,
}

impl Ready {
    pub(crate) fn new(floor: &Floor) -> Result<Self> {
        let device = format!("/sys/class/net/{}/device/virtfn{}/net", floor.pf, floor.index);
        let netdev = fs::read_dir(device)?.next().ok_or("the VF has no netdev")??.path();
        let pid = fs::read_to_string(&floor.pid)?;
        Ok(Self {
            floor: floor.clone(),
            pf: number(&format!("/sys/class/net/{}/ifindex", floor.pf))?,
            vf: number(&netdev.join("ifindex").to_string_lossy())?,
            home: File::open("/proc/self/ns/net")?,
            there: File::open(format!("/proc/{}/ns/net", pid.trim()))?,
            kernel: Kernel::open()?,
        })
    }

    pub(crate) fn perform(&self) -> Result<()> {
        const SENSOR: i32 = libc::IFF_UP | libc::IFF_PROMISC | libc::IFF_ALLMULTI | libc::IFF_NOARP;
        let Floor { index, vlan, name, .. } = &self.floor;
        self.kernel.ask(Message::link(self.pf, 0).nested(IFLA_VFINFO_LIST, |list| {
            list.nested(IFLA_VF_INFO, |info| {
                info.with(IFLA_VF_VLAN, &words(&[*index, *vlan, 0]))
                    .with(IFLA_VF_TRUST, &words(&[*index, 1]))
            })
        }))?;
        let name = [name.as_bytes(), &[0]].concat();
        let there = (self.there.as_raw_fd() as u32).to_ne_bytes();
        let moved = Message::link(self.vf, 0).with(IFLA_NET_NS_FD, &there);
        self.kernel.ask(moved.with(IFLA_IFNAME, &name))?;
        setns(&self.there, CloneFlags::CLONE_NEWNET)?;
        let up = Kernel::open()?.ask(Message::link(self.vf, SENSOR as u32));
        setns(&self.home, CloneFlags::CLONE_NEWNET)?;
        Ok(up?)
    }
}

pub(crate) fn all_at_once(floors: &[Ready]) -> Result<()> {
    thread::scope(|scope| {
        let perform = |floor: &Ready| floor.perform().map_err(|error| error.to_string());
        let all: Vec<_> = floors.iter().map(|floor| scope.spawn(move || perform(floor))).collect();
        all.into_iter().try_for_each(|one| Ok(one.join().map_err(|_| "a thread panicked")??))
    })
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn number(path: &str) -> Result<u32> {
    Ok(fs::read_to_string(path)?.trim().parse()?)
}
