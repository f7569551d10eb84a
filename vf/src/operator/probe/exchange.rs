//! Sends the frames and counts their arrival.
//!
//! Frames between two VFs stay in order, except across different queues of the card, which drain
//! within a moment. So once a VF has received a control frame that was sent after all others, and
//! [`STRAGGLER_TIME`] has passed, no other frame will arrive.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::evidence::Arrivals;
use super::frame::{BROADCAST, GROUP, Mark, UNKNOWN_ADDRESS, decode, encode};
use super::options::Watch;
use super::topology::{Flow, Role, To, flows};
use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::mac::MacAddress;
use crate::kernel::packet::Port;

/// The number of frames in each flow except [`To::Control`].
pub(super) const FRAMES: u16 = 10;
/// The time between two frames. It is long enough that no card drops frames because of the rate.
const FRAME_INTERVAL: Duration = Duration::from_millis(1);

/// The time between two rounds of control frames.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// How long to send control frames before the other frames: a VF can have a carrier before the
/// card's switch forwards its frames.
const OPENING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to send control frames after the other frames.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to listen after the last control frame, for frames in other queues.
const STRAGGLER_TIME: Duration = Duration::from_millis(300);

/// A VF that takes part in the exchange.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) role: Role,
    /// The interface and the VF, for messages.
    pub(super) name: String,
    pub(super) mac: MacAddress,
    pub(super) port: Port,
}

/// Sends all frames and counts arrivals meanwhile. The time is bounded by [`OPENING_TIMEOUT`],
/// [`CLOSING_TIMEOUT`] and the number of frames.
///
/// # Errors
/// [`KernelError::Link`] when a netdev refuses to send or receive; [`OperatorError::Stopped`].
pub(super) fn exchange(
    stations: &[Station],
    nonce: u64,
    pf: &str,
    watch: Watch<'_>,
) -> Result<Arrivals, Error> {
    let roles: Vec<Role> = stations.iter().map(|station| station.role).collect();
    let mut exchange = Exchange {
        stations,
        nonce,
        flows: flows(&roles),
        round: 0,
        pf,
        watch,
        arrivals: Arrivals::default(),
    };
    exchange.arrivals.reached_before = exchange.exchange_control(OPENING_TIMEOUT)?;
    // If no control frame arrives, missing frames prove nothing, so no other frames are sent.
    if !exchange.arrivals.reached_before.is_empty() {
        exchange.send_flows()?;
        exchange.arrivals.reached_after = exchange.exchange_control(CLOSING_TIMEOUT)?;
        exchange.listen(STRAGGLER_TIME)?;
    }
    Ok(exchange.arrivals)
}

struct Exchange<'a> {
    stations: &'a [Station],
    nonce: u64,
    flows: Vec<Flow>,
    /// The number of the next round of control frames.
    round: u16,
    pf: &'a str,
    watch: Watch<'a>,
    arrivals: Arrivals,
}

impl Exchange<'_> {
    fn send_flows(&mut self) -> Result<(), Error> {
        for (index, flow) in self.flows.clone().into_iter().enumerate() {
            let Some(to) = self.address(flow.to) else { continue };
            self.watch.check_stop(self.pf)?;
            for number in 0..FRAMES {
                self.send(flow.from, to, index, number)?;
                thread::sleep(FRAME_INTERVAL);
            }
            self.listen(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Sends control frames until every listener has received one, and returns the listeners that
    /// have.
    fn exchange_control(&mut self, timeout: Duration) -> Result<BTreeSet<Role>, Error> {
        let (first, deadline) = (self.round, Instant::now() + timeout);
        loop {
            self.watch.check_stop(self.pf)?;
            for (index, flow) in self.flows.clone().into_iter().enumerate() {
                if flow.to == To::Control {
                    self.send_control_round(flow.from, index)?;
                }
            }
            self.round += 1;
            self.listen(ROUND_INTERVAL)?;
            let listeners =
                self.stations.iter().map(|station| station.role).filter(|role| !role.sends());
            let (reached, missing): (BTreeSet<Role>, BTreeSet<Role>) =
                listeners.partition(|role| self.arrivals.has_control_since(first, *role));
            if missing.is_empty() || Instant::now() >= deadline {
                return Ok(reached);
            }
        }
    }

    fn send_control_round(&self, from: Role, index: usize) -> Result<(), Error> {
        let same_vlan =
            |role: Role| role != from && role.is_on_other_vlan() == from.is_on_other_vlan();
        let addresses = self
            .stations
            .iter()
            .filter(|station| same_vlan(station.role))
            .map(|station| station.mac);
        for to in addresses.chain([BROADCAST]) {
            self.send(from, to, index, self.round)?;
        }
        Ok(())
    }

    /// The destination address of a flow. `None` for control frames, which have several.
    fn address(&self, to: To) -> Option<MacAddress> {
        match to {
            To::Broadcast => Some(BROADCAST),
            To::Group => Some(GROUP),
            To::UnknownAddress => Some(UNKNOWN_ADDRESS),
            To::Role(role) => self.station(role).map(|station| station.mac),
            To::Control => None,
        }
    }

    fn station(&self, role: Role) -> Option<&Station> {
        self.stations.iter().find(|station| station.role == role)
    }

    fn send(&self, from: Role, to: MacAddress, index: usize, number: u16) -> Result<(), Error> {
        let Some(station) = self.station(from) else { return Ok(()) };
        let mark = Mark { nonce: self.nonce, flow: index as u8, number };
        station.port.send(&encode(station.mac, to, mark)).map_err(failed("send on", station))
    }

    /// Counts frames that arrive within this time, and frames that have arrived before.
    fn listen(&mut self, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds: Vec<PollFd<'_>> = self
                .stations
                .iter()
                .map(|station| PollFd::new(station.port.as_fd(), PollFlags::POLLIN))
                .collect();
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, timeout) {
                Ok(0) if left.is_zero() => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(source) => {
                    return Err(Error::Kernel(KernelError::Call {
                        action: "wait for frames",
                        source,
                    }));
                }
            }
            for station in self.stations {
                self.count_frames(station)?;
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn count_frames(&mut self, station: &Station) -> Result<(), Error> {
        while let Some(frame) = station.port.receive().map_err(failed("receive on", station))? {
            let Some(mark) = decode(&frame.bytes).filter(|mark| mark.nonce == self.nonce) else {
                continue;
            };
            // A card may deliver a sender's own broadcast to the sender.
            if let Some(flow) = self.flows.get(usize::from(mark.flow))
                && flow.from != station.role
            {
                self.arrivals.add(*flow, station.role, mark.number, frame.tagged);
            }
        }
        Ok(())
    }
}

fn failed(action: &'static str, station: &Station) -> impl FnOnce(Errno) -> Error {
    let object = station.name.clone();
    move |errno| {
        Error::Kernel(KernelError::Link { action, object, source: NetlinkError::Refused(errno) })
    }
}
