//! Channels, rings, interrupts and offloads of a sensor's netdev.
//!
//! They are set while the netdev is down and before it is promiscuous, because on iavf a change of
//! the channels resets the VF (`iavf_set_channels`), and so does one of the rings while it is up
//! (`iavf_set_ringparam`); such a reset ends the promiscuity. A netdev that is down also needs no
//! new buffers for each change.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::Error;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::ethtool;
use crate::kernel::ethtool::{Channels, RxCoalesce, RxRing};
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::retry::retry_while_busy;
use crate::nic::error::NicError;
use crate::policy::config::{Capture, Figure, Offloads};

/// The offloads that merge received frames into one (`net/ethtool/common.c`), which breaks the stream
/// reassembly of every IDS.
const MERGING: [&str; 5] =
    ["rx-gro", "rx-gro-hw", "rx-gro-list", "rx-lro", "rx-udp-gro-forwarding"];
/// The beginnings of the names of offloads that split frames on their way out. While one of them is
/// on, libpcap expects frames of 64 KiB (`iface_get_offload`, `pcap-linux.c`), so that the buffer of
/// tcpdump holds 16 frames in a MiB instead of 650.
const SPLITTING: [&str; 4] = ["tx-generic-segmentation", "tx-gso-", "tx-tcp", "tx-udp"];
/// The beginnings of the names that [`Offloads::Off`] adds.
const FURTHER: [&str; 3] = ["rx-checksum", "tx-checksum-", "tx-scatter-gather"];
/// By how many microseconds a driver may round `rx_usecs`: iavf has steps of 2, others of 4 or 8.
const USECS_TOLERANCE: u32 = 8;

/// How long iavf may take for a change of the channels, which resets the VF. iavf itself waits half as
/// long (`iavf_wait_for_reset`), which is too short on a busy machine.
const CHANNELS_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time the change is asked for again, because iavf forgets it if the PF resets the VF at
/// the same time.
const CHANNELS_RETRY: Duration = Duration::from_secs(1);
const CHANNELS_POLL: Duration = Duration::from_millis(10);

/// The settings that a netdev has. `None`: the driver has no such setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CaptureState {
    pub(crate) channels: Option<Channels>,
    /// Whether both directions of a flow arrive in the same channel.
    pub(crate) symmetric: Option<bool>,
    pub(crate) rx_ring: Option<RxRing>,
    pub(crate) coalesce: Option<RxCoalesce>,
    /// The names of the active offloads.
    pub(crate) offloads: Vec<String>,
}

/// A step from what a netdev has to what its pool wants.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Channels(u32),
    SymmetricKey,
    RxRing(u32),
    RxUsecs(u32),
    OffloadsOff(Vec<String>),
}

impl CaptureState {
    /// Reads the settings of an interface in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's errno; `ENODEV` when there is no such interface.
    pub(crate) fn read(interface: &str) -> Result<Self, Errno> {
        let offloads = ethtool::offloads(interface)?.into_iter();
        Ok(Self {
            channels: ethtool::channels(interface)?,
            symmetric: ethtool::is_symmetric(interface)?,
            rx_ring: ethtool::rx_ring(interface)?,
            coalesce: ethtool::rx_coalesce(interface)?,
            offloads: offloads.filter(|offload| offload.active).map(|one| one.name).collect(),
        })
    }

    /// The active offloads that merge received frames.
    pub(crate) fn merging(&self) -> impl Iterator<Item = &str> {
        self.offloads.iter().map(String::as_str).filter(|name| MERGING.contains(name))
    }

    fn wanted_channels(&self, want: &Capture) -> Option<u32> {
        self.channels.and_then(|have| resolve(want.channels, have.max))
    }

    /// What the driver cannot do.
    fn unsupported(&self, want: &Capture) -> Option<String> {
        let too_much = |key: &str, figure: Figure, max: Option<u32>| match (figure, max) {
            (Figure::Number(number), Some(max)) if number > max => {
                Some(format!("`{key}` is {number}, and its driver supports at most {max}"))
            }
            _ => None,
        };
        match want.channels {
            Figure::Number(2..) if self.channels.is_none() => {
                Some("its driver has a fixed number of channels".to_owned())
            }
            _ if self.wanted_channels(want) > Some(1) && self.symmetric.is_none() => Some(
                "several channels need a symmetric RSS key, and its driver has no key".to_owned(),
            ),
            channels => too_much("channels", channels, self.channels.map(|have| have.max))
                .or_else(|| too_much("rx_ring", want.rx_ring, self.rx_ring.map(|have| have.max))),
        }
    }

    /// The wanted settings with the driver's maxima of now. One setting can change the maximum of
    /// another: bnxt has larger rings without its hardware GRO (`bnxt_get_ringparam`).
    fn resolved(&self, want: &Capture) -> Capture {
        let number = |figure: Figure, max: Option<u32>| match (figure, max) {
            (Figure::Max, Some(max)) => Figure::Number(max),
            _ => figure,
        };
        Capture {
            channels: number(want.channels, self.channels.map(|have| have.max)),
            rx_ring: number(want.rx_ring, self.rx_ring.map(|have| have.max)),
            ..*want
        }
    }

    /// The steps, the first one to do first: a change of the channels makes new rings
    /// with a moderation of their own.
    fn changes(&self, want: &Capture) -> Vec<Change> {
        let channels = self.wanted_channels(want);
        let ring = self
            .rx_ring
            .and_then(|have| resolve(want.rx_ring, have.max).filter(|size| *size != have.size));
        let usecs = self.coalesce.and_then(|have| match want.rx_usecs {
            Figure::Number(usecs) if have.adaptive || have.usecs != usecs => Some(usecs),
            _ => None,
        });
        let begins = |name: &str, all: &[&str]| all.iter().any(|start| name.starts_with(start));
        let changes_frames = |name: &str| MERGING.contains(&name) || begins(name, &SPLITTING);
        let is_unwanted = |name: &&String| match want.offloads {
            Offloads::Keep => false,
            Offloads::Frames => changes_frames(name),
            Offloads::Off => changes_frames(name) || begins(name, &FURTHER),
        };
        let offloads: Vec<String> = self.offloads.iter().filter(is_unwanted).cloned().collect();
        let changed = channels.filter(|count| Some(*count) != self.channels.map(|it| it.receiving));
        let is_several = channels > Some(1) && self.symmetric == Some(false);
        let all = [
            changed.map(Change::Channels),
            is_several.then_some(Change::SymmetricKey),
            ring.map(Change::RxRing),
            usecs.map(Change::RxUsecs),
            (!offloads.is_empty()).then_some(Change::OffloadsOff(offloads)),
        ];
        all.into_iter().flatten().collect()
    }

    /// The first setting that differs from the pool's after the changes.
    fn difference(&self, want: &Capture) -> Option<String> {
        self.changes(want).into_iter().find_map(|change| match change {
            Change::Channels(count) => {
                Some(format!("has {} channels instead of {count}", self.channels?.receiving))
            }
            Change::SymmetricKey => Some("has no symmetric RSS key".to_owned()),
            // A driver may round up.
            Change::RxRing(size) if self.rx_ring?.size < size => {
                Some(format!("has a ring of {} instead of {size}", self.rx_ring?.size))
            }
            Change::RxUsecs(usecs)
                if self.coalesce?.adaptive
                    || self.coalesce?.usecs.abs_diff(usecs) > USECS_TOLERANCE =>
            {
                Some(format!("has {} µs instead of {usecs}", self.coalesce?.usecs))
            }
            // The other offloads concern frames that are sent, or change no frame.
            Change::OffloadsOff(_) => self.merging().next().map(|name| format!("still has {name}")),
            Change::RxRing(_) | Change::RxUsecs(_) => None,
        })
    }
}

fn resolve(figure: Figure, max: u32) -> Option<u32> {
    match figure {
        Figure::Keep => None,
        Figure::Max => Some(max),
        Figure::Number(number) => Some(number),
    }
}

/// Gives a netdev the settings of its pool, and reads them back. The netdev is down, and in the
/// network namespace of the calling thread.
///
/// # Errors
/// [`NicError::Setting`] for a setting that the driver does not have or did not apply;
/// [`KernelError::Link`] with the answer of the driver.
pub(crate) fn apply(
    netlink: &Netlink,
    ifindex: u32,
    interface: &str,
    vf: &str,
    want: &Capture,
) -> Result<(), Error> {
    // A driver that cannot report a setting must not refuse a container that asks for none.
    if *want == (Capture { interrupts: want.interrupts, ..Capture::KEEP }) {
        return Ok(());
    }
    let object = || format!("{interface} (VF {vf})");
    let failed = |action: &'static str| {
        move |errno| {
            let source = NetlinkError::Refused(errno);
            Error::Kernel(KernelError::Link { action, object: object(), source })
        }
    };
    let refused = |problem| Error::Nic(NicError::Setting { netdev: object(), problem });
    let read = || CaptureState::read(interface).map_err(failed("read the settings of"));
    let before = read()?;
    if let Some(problem) = before.unsupported(want) {
        return Err(refused(problem));
    }
    let want = &before.resolved(want);
    let changes = before.changes(want);
    if changes.is_empty() {
        return Ok(());
    }
    for change in &changes {
        let (action, step): (_, &dyn Fn() -> Result<(), Errno>) = match change {
            Change::Channels(count) => {
                ("set the channels of", &|| set_channels(netlink, ifindex, interface, *count))
            }
            Change::SymmetricKey => ("set the RSS key of", &|| ethtool::set_symmetric(interface)),
            Change::RxRing(size) => {
                ("set the receive ring of", &|| ethtool::set_rx_ring(interface, *size))
            }
            Change::RxUsecs(usecs) => {
                ("set the interrupt moderation of", &|| ethtool::set_rx_usecs(interface, *usecs))
            }
            Change::OffloadsOff(names) => ("turn off the offloads of", &|| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                ethtool::turn_offloads_off(interface, &names)
            }),
        };
        // iavf is busy during its resets.
        retry_while_busy(|errno| Some(*errno), step).map_err(failed(action))?;
    }
    match read()?.difference(want) {
        Some(problem) => Err(refused(problem)),
        None => Ok(()),
    }
}

/// Sets the channels and waits until the driver has them and the reset of the VF has ended.
///
/// iavf wakes its caller when a reset ends, which may be an earlier one than that of the change.
///
/// # Errors
/// `ETIMEDOUT` when the driver does not have the channels in time. No other setting may be changed
/// then, because the reset may still come: see [`wait_for_reset`].
fn set_channels(netlink: &Netlink, ifindex: u32, interface: &str, count: u32) -> Result<(), Errno> {
    let deadline = Instant::now() + CHANNELS_TIMEOUT;
    loop {
        ethtool::set_channels(interface, count)?;
        let again = Instant::now() + CHANNELS_RETRY;
        while Instant::now() < again {
            if ethtool::channels(interface)?.is_some_and(|have| have.receiving == count) {
                return wait_for_reset(netlink, ifindex);
            }
            thread::sleep(CHANNELS_POLL);
        }
        if Instant::now() >= deadline {
            return Err(Errno::ETIMEDOUT);
        }
    }
}

/// Waits until iavf has ended a reset that has begun, by opening the netdev and closing it again.
///
/// iavf reports the new number of channels before their rings have interrupts. A change of the
/// moderation in between follows a null pointer (`iavf_set_itr_per_queue`, seen on Linux 6.12), and
/// the thread dies with the RTNL: from then on no process of the host can change any link. iavf opens
/// a netdev only after the reset, and answers `EBUSY` until then (`iavf_open`).
fn wait_for_reset(netlink: &Netlink, ifindex: u32) -> Result<(), Errno> {
    let errno = |error: NetlinkError| error.errno().unwrap_or(Errno::EIO);
    let up = Flags { up: true, ..Flags::default() };
    retry_while_busy(NetlinkError::errno, || netlink.add_flags(ifindex, up)).map_err(errno)?;
    netlink.clear_flags(ifindex, up).map_err(errno)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod in_a_netns;
