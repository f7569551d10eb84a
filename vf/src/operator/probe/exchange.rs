//! Frames sent and counted.
//!
//! Frames do not overtake each other on their way from one VF to another but for queues of one card, and those are emptied in
//! no time. So whoever has got a control frame that was sent after all others, and has waited a moment longer, has got all that will come.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{EVERYBODY, GROUP, Mark, NOBODY, decode, encode};
use super::options::Watch;
use super::topology::{Flow, Role, To, flows};
use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::mac::MacAddress;
use crate::kernel::packet::Port;

/// Of each flow but the control.
pub(super) const FRAMES: u16 = 10;
/// Between two of them: no card loses one for being in a hurry.
const GAP: Duration = Duration::from_millis(1);

/// Between two rounds of control frames.
const ROUND: Duration = Duration::from_millis(100);
/// A VF may have a carrier some time before the card's switch knows of it.
const OPENING: Duration = Duration::from_secs(15);
const CLOSING: Duration = Duration::from_secs(5);
/// After the last control frame, for what took another queue.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// A VF that takes part.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) role: Role,
    /// As people know it.
    pub(super) name: String,
    pub(super) mac: MacAddress,
    pub(super) port: Port,
}

/// What arrived where.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    arrived: BTreeMap<(Flow, Role), BTreeSet<u16>>,
    tagged: BTreeMap<Role, usize>,
    /// Who got a control frame before the others were sent, and who got one after.
    pub(super) opened: BTreeSet<Role>,
    pub(super) closed: BTreeSet<Role>,
}

impl Seen {
    pub(super) fn add(&mut self, flow: Flow, at: Role, number: u16, tagged: bool) {
        self.arrived.entry((flow, at)).or_default().insert(number);
        *self.tagged.entry(at).or_default() += usize::from(tagged);
    }

    /// How many frames of a flow arrived there, each counted once.
    pub(super) fn count(&self, from: Role, to: To, at: Role) -> usize {
        self.arrived.get(&(Flow { from, to }, at)).map_or(0, BTreeSet::len)
    }

    /// The same, of all that came from there.
    pub(super) fn all(&self, from: Role, at: Role) -> usize {
        let theirs = |((flow, seen_at), _): &(&(Flow, Role), &BTreeSet<u16>)| {
            flow.from == from && *seen_at == at
        };
        self.arrived.iter().filter(theirs).map(|(_, numbers)| numbers.len()).sum()
    }

    /// How many of those that arrived there had a tag.
    pub(super) fn tagged(&self, at: Role) -> usize {
        self.tagged.get(&at).copied().unwrap_or(0)
    }

    fn has_control_since(&self, number: u16, at: Role) -> bool {
        let control = |flow: &Flow| flow.to == To::Control && flow.from.is_other() == at.is_other();
        self.arrived.iter().any(|((flow, seen_at), numbers)| {
            control(flow) && *seen_at == at && numbers.last().is_some_and(|last| *last >= number)
        })
    }
}

/// Sends it all and listens meanwhile. Bounded by [`OPENING`], [`CLOSING`] and what the frames take.
///
/// # Errors
/// [`KernelError::Link`] when an interface takes or gives no frames; [`OperatorError::Stopped`].
pub(super) fn exchange(
    stations: &[Station],
    nonce: u64,
    pf: &str,
    watch: Watch<'_>,
) -> Result<Seen, Error> {
    let roles: Vec<Role> = stations.iter().map(|station| station.role).collect();
    let mut exchange = Exchange {
        stations,
        nonce,
        flows: flows(&roles),
        round: 0,
        pf,
        watch,
        seen: Seen::default(),
    };
    exchange.seen.opened = exchange.control(OPENING)?;
    // Where nothing passes, what does not arrive says nothing.
    if !exchange.seen.opened.is_empty() {
        exchange.send_flows()?;
        exchange.seen.closed = exchange.control(CLOSING)?;
        exchange.listen(STRAGGLERS)?;
    }
    Ok(exchange.seen)
}

struct Exchange<'a> {
    stations: &'a [Station],
    nonce: u64,
    flows: Vec<Flow>,
    /// Of control frames.
    round: u16,
    pf: &'a str,
    watch: Watch<'a>,
    seen: Seen,
}

impl Exchange<'_> {
    fn send_flows(&mut self) -> Result<(), Error> {
        for (place, flow) in self.flows.clone().into_iter().enumerate() {
            let Some(to) = self.address(flow.to) else { continue };
            self.watch.go_on(self.pf)?;
            for number in 0..FRAMES {
                self.send(flow.from, to, place, number)?;
                thread::sleep(GAP);
            }
            self.listen(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Sends control frames until everybody who only listens has got one, and says who has.
    fn control(&mut self, timeout: Duration) -> Result<BTreeSet<Role>, Error> {
        let (first, deadline) = (self.round, Instant::now() + timeout);
        loop {
            self.watch.go_on(self.pf)?;
            for (place, flow) in self.flows.clone().into_iter().enumerate() {
                if flow.to == To::Control {
                    self.send_round(flow.from, place)?;
                }
            }
            self.round += 1;
            self.listen(ROUND)?;
            let listeners =
                self.stations.iter().map(|station| station.role).filter(|role| !role.sends());
            let (there, missing): (BTreeSet<Role>, BTreeSet<Role>) =
                listeners.partition(|role| self.seen.has_control_since(first, *role));
            if missing.is_empty() || Instant::now() >= deadline {
                return Ok(there);
            }
        }
    }

    fn send_round(&self, from: Role, place: usize) -> Result<(), Error> {
        let same = |role: Role| role != from && role.is_other() == from.is_other();
        let theirs = self.stations.iter().filter(|one| same(one.role)).map(|one| one.mac);
        for to in theirs.chain([EVERYBODY]) {
            self.send(from, to, place, self.round)?;
        }
        Ok(())
    }

    /// `None`: each round of the control has several.
    fn address(&self, to: To) -> Option<MacAddress> {
        match to {
            To::Broadcast => Some(EVERYBODY),
            To::Group => Some(GROUP),
            To::Nobody => Some(NOBODY),
            To::Role(role) => self.station(role).map(|station| station.mac),
            To::Control => None,
        }
    }

    fn station(&self, role: Role) -> Option<&Station> {
        self.stations.iter().find(|station| station.role == role)
    }

    fn send(&self, from: Role, to: MacAddress, place: usize, number: u16) -> Result<(), Error> {
        let Some(station) = self.station(from) else { return Ok(()) };
        let mark = Mark { nonce: self.nonce, flow: place as u8, number };
        station.port.send(&encode(station.mac, to, mark)).map_err(failed("send on", station))
    }

    /// Takes in what comes within this time, and what is there already.
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
                self.take_in(station)?;
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, station: &Station) -> Result<(), Error> {
        while let Some(frame) = station.port.receive().map_err(failed("receive on", station))? {
            let Some(mark) = decode(&frame.bytes).filter(|mark| mark.nonce == self.nonce) else {
                continue;
            };
            // A card may hand a sender its own broadcast back.
            if let Some(flow) = self.flows.get(usize::from(mark.flow))
                && flow.from != station.role
            {
                self.seen.add(*flow, station.role, mark.number, frame.tagged);
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
