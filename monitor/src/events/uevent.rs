//! Uevents of the kernel: which PCI function one concerns.

use std::io;

use rtnetlink::sys::protocols::NETLINK_KOBJECT_UEVENT;
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use super::readable::readable;

/// The kernel's own uevents. Group 2 has those that udev sends on.
const KERNEL_GROUP: u32 = 1;

/// The kernel's limit is 2 KiB for the variables and a path before them (`UEVENT_BUFFER_SIZE`,
/// `include/linux/kobject.h`).
const UEVENT_BYTES: usize = 8192;

pub(crate) fn open() -> io::Result<AsyncFd<Socket>> {
    let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, KERNEL_GROUP))?;
    readable(socket)
}

/// Returns the PCI address that the next uevent concerns. `None`: it concerns none.
///
/// # Errors
/// `ENOBUFS` when the kernel dropped uevents.
pub(crate) async fn next(socket: &AsyncFd<Socket>) -> io::Result<Option<String>> {
    loop {
        let mut ready = socket.readable().await?;
        let mut buffer = Vec::with_capacity(UEVENT_BYTES);
        match ready.try_io(|socket| socket.get_ref().recv_from(&mut buffer, 0)) {
            Err(_would_block) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Ok(Ok((_, from))) => {
                let is_kernel = from.port_number() == 0;
                return Ok(is_kernel.then(|| pci_address(&buffer)).flatten());
            }
        }
    }
}

/// The PCI function of a uevent of the subsystems `pci` and `net`: the last one in its path. The
/// message is `ACTION@PATH`, then `KEY=VALUE` for each variable, each with a zero byte at its end
/// (`kobject_uevent_env`, `lib/kobject_uevent.c`).
pub(crate) fn pci_address(message: &[u8]) -> Option<String> {
    let mut parts = message.split(|byte| *byte == 0);
    let path = std::str::from_utf8(parts.next()?).ok()?.split_once('@')?.1;
    let is_ours = |part: &[u8]| part == b"SUBSYSTEM=pci" || part == b"SUBSYSTEM=net";
    if !parts.any(is_ours) {
        return None;
    }
    path.rsplit('/').find(|name| vf::is_pci_address(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_function_is_the_last_one_in_the_path() {
        let of = |path: &str, subsystem: &str| {
            let text = format!("add@{path}\0ACTION=add\0DEVPATH={path}\0SUBSYSTEM={subsystem}\0");
            pci_address(text.as_bytes())
        };
        let vf = "/devices/pci0000:00/0000:00:02.0/0000:01:10.0";
        assert_eq!(of(vf, "pci").as_deref(), Some("0000:01:10.0"));
        assert_eq!(of(&format!("{vf}/net/mon0"), "net").as_deref(), Some("0000:01:10.0"));
        assert_eq!(of(&format!("{vf}/msi_irqs/12"), "msi"), None);
        assert_eq!(of("/devices/virtual/net/veth0", "net"), None);
        // Of udev, which uses the same format behind a header.
        assert_eq!(pci_address(b"libudev\0\xfe\xed\xca\xfe"), None);
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(message in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = pci_address(&message);
        }
    }
}
