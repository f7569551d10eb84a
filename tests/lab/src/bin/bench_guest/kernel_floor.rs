//! The floor: only the kernel's part of an attach, in three messages from a process that is already
//! running.
//!
//! The messages set VLAN and trust on the PF, move the netdev under its new name, and set its
//! flags. Only the carrier is waited for.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use lab::bench_protocol::Floor;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns};

use crate::error::Result;
use crate::netlink::{SetLink, Socket};

// `include/uapi/linux/if_link.h`
const IFLA_IFNAME: u16 = 3;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_VF_INFO: u16 = 1;
const IFLA_VF_VLAN: u16 = 2;
const IFLA_VF_TRUST: u16 = 9;
/// `IFF_LOWER_UP` (`include/uapi/linux/if.h`).
const LOWER_UP: u32 = 1 << 16;
/// From the first request to the carrier.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A floor with everything that is read before the timed part.
pub(crate) struct PreparedFloor {
    floor: Floor,
    pf_ifindex: u32,
    vf_ifindex: u32,
    host_netns: File,
    container_netns: File,
    socket: Socket,
}

impl PreparedFloor {
    pub(crate) fn new(floor: &Floor) -> Result<Self> {
        let device = format!("/sys/class/net/{}/device/virtfn{}/net", floor.pf, floor.index);
        let netdev = fs::read_dir(device)?.next().ok_or("the VF has no netdev")??.path();
        let pid = fs::read_to_string(&floor.pid)?;
        Ok(Self {
            floor: floor.clone(),
            pf_ifindex: read_number(&format!("/sys/class/net/{}/ifindex", floor.pf))?,
            vf_ifindex: read_number(&netdev.join("ifindex").to_string_lossy())?,
            host_netns: File::open("/proc/self/ns/net")?,
            container_netns: File::open(format!("/proc/{}/ns/net", pid.trim()))?,
            socket: Socket::open()?,
        })
    }

    /// Attaches the VF.
    pub(crate) fn perform(&self) -> Result<()> {
        const FLAGS: i32 = libc::IFF_UP | libc::IFF_PROMISC | libc::IFF_ALLMULTI | libc::IFF_NOARP;
        let Floor { index, vlan, name, .. } = &self.floor;
        self.socket.request(SetLink::new(self.pf_ifindex, 0).nested(IFLA_VFINFO_LIST, |list| {
            list.nested(IFLA_VF_INFO, |info| {
                info.with(IFLA_VF_VLAN, &to_bytes(&[*index, *vlan, 0]))
                    .with(IFLA_VF_TRUST, &to_bytes(&[*index, 1]))
            })
        }))?;
        let name = [name.as_bytes(), &[0]].concat();
        let netns = (self.container_netns.as_raw_fd() as u32).to_ne_bytes();
        let moved = SetLink::new(self.vf_ifindex, 0).with(IFLA_NET_NS_FD, &netns);
        self.socket.request(moved.with(IFLA_IFNAME, &name))?;
        setns(&self.container_netns, CloneFlags::CLONE_NEWNET)?;
        let up = self.bring_up(FLAGS as u32);
        setns(&self.host_netns, CloneFlags::CLONE_NEWNET)?;
        up
    }

    /// Sets the flags, and waits for the carrier. iavf refuses the flags, or has detached its
    /// netdev, while it handles the reset that the new VLAN and trust have caused.
    fn bring_up(&self, flags: u32) -> Result<()> {
        let socket = Socket::open()?;
        let deadline = Instant::now() + TIMEOUT;
        let in_time = || {
            thread::sleep(POLL_INTERVAL);
            let no_carrier = || format!("{} has no carrier", self.floor.name);
            (Instant::now() < deadline).then_some(()).ok_or_else(no_carrier)
        };
        loop {
            match socket.request(SetLink::new(self.vf_ifindex, flags)) {
                Err(Errno::EBUSY | Errno::EAGAIN | Errno::ENODEV) => in_time()?,
                done => break done?,
            }
        }
        while socket.flags(self.vf_ifindex)? & LOWER_UP == 0 {
            in_time()?;
        }
        Ok(())
    }
}

/// Performs each floor in its own thread.
pub(crate) fn perform_concurrently(floors: &[PreparedFloor]) -> Result<()> {
    thread::scope(|scope| {
        let perform = |floor: &PreparedFloor| floor.perform().map_err(|error| error.to_string());
        let threads: Vec<_> =
            floors.iter().map(|floor| scope.spawn(move || perform(floor))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| Ok(thread.join().map_err(|_| "a thread panicked")??))
    })
}

fn to_bytes(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

fn read_number(path: &str) -> Result<u32> {
    Ok(fs::read_to_string(path)?.trim().parse()?)
}
