//! Events of the host: links, PCI functions, claims.

use std::io;
use std::path::Path;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt as _;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::sys::{Socket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::HostEvent;
use super::claims_folder::ClaimsFolder;
use super::uevent;

type Message = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// All sources of the host.
///
/// The link messages are parsed by rtnetlink, which drops a message with a name that is not UTF-8. A
/// container can give its VF such a name, and the VF brings it to the host netns. The uevents and
/// the init process tell of that VF, too. Events inside a container's namespace are parsed by `vf`,
/// which ignores names.
pub(crate) struct HostEvents {
    links: UnboundedReceiver<Message>,
    /// Sends no request. The connection ends when it is dropped.
    _handle: Handle,
    connection: JoinHandle<()>,
    uevents: AsyncFd<Socket>,
    claims: ClaimsFolder,
}

impl HostEvents {
    /// Opens all sources. What happens from now on is an event.
    pub(crate) fn open(claims: &Path) -> io::Result<Self> {
        let (connection, handle, links) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
        Ok(Self {
            links,
            _handle: handle,
            connection: tokio::spawn(connection),
            uevents: uevent::open()?,
            claims: ClaimsFolder::watch(claims)?,
        })
    }

    /// Returns the next events. The loop that calls this must be faster than the kernel sends
    /// messages on average; it only notes where to look.
    ///
    /// # Errors
    /// When a source is broken. The caller opens all of them again.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<HostEvent>> {
        tokio::select! {
            message = self.links.next() => match message {
                Some((message, _)) => Ok(link(&message).into_iter().collect()),
                None => Err(io::Error::other("the connection for link events has ended")),
            },
            pci = uevent::next(&self.uevents) => match pci {
                Ok(pci) => Ok(pci.map(|pci| HostEvent::Device { pci }).into_iter().collect()),
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    Ok(vec![HostEvent::Overrun])
                }
                Err(error) => Err(error),
            },
            events = self.claims.next() => events,
        }
    }
}

impl Drop for HostEvents {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn link(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<HostEvent> {
    match &message.payload {
        NetlinkPayload::Overrun(_) => Some(HostEvent::Overrun),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
        ) => Some(HostEvent::Link { ifindex: link.header.index, parent: parent(link) }),
        _ => None,
    }
}

fn parent(link: &LinkMessage) -> Option<String> {
    let name = |attribute: &LinkAttribute| match attribute {
        LinkAttribute::ParentDevName(name) => Some(name.clone()),
        _ => None,
    };
    link.attributes.iter().find_map(name).filter(|name| vf::is_pci_address(name))
}

#[cfg(test)]
mod in_a_netns;
