//! Reads the eswitch mode of a PF from devlink, over generic netlink. The query takes two messages,
//! so no library is used.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::fault;

// `include/uapi/linux/netlink.h`, `genetlink.h`
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
// `include/uapi/linux/devlink.h`
const DEVLINK_CMD_ESWITCH_GET: u8 = 29;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_ESWITCH_MODE: u16 = 25;

/// The length of `nlmsghdr` and `genlmsghdr`, in bytes.
const HEADERS: usize = 20;
const ANSWER_TIMEOUT_SECONDS: i64 = 5;

/// Returns the mode of the PF's embedded switch: `legacy`, `switchdev`, or `mode N` for a mode that
/// is newer than this code.
///
/// # Errors
/// `ENODEV` for a device that devlink does not know, `EOPNOTSUPP` for a driver without an embedded
/// switch, `ENOENT` for a kernel without devlink; other errnos of the socket calls.
pub(crate) fn eswitch_mode(pci: &str) -> Result<String, Errno> {
    fault::point("read-devlink")?;
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    setsockopt(&kernel, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_TIMEOUT_SECONDS, 0))?;
    let name = [(CTRL_ATTR_FAMILY_NAME, "devlink")];
    let family = query(&kernel, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name, CTRL_ATTR_FAMILY_ID)?;
    let device = [(DEVLINK_ATTR_BUS_NAME, "pci"), (DEVLINK_ATTR_DEV_NAME, pci)];
    let mode = query(&kernel, family, DEVLINK_CMD_ESWITCH_GET, &device, DEVLINK_ATTR_ESWITCH_MODE)?;
    Ok(match mode {
        0 => "legacy".to_owned(),
        1 => "switchdev".to_owned(),
        other => format!("mode {other}"),
    })
}

/// Sends a command with text attributes and returns the attribute `wanted`, a `u16`, from the
/// answer.
fn query(
    kernel: &OwnedFd,
    family: u16,
    command: u8,
    attributes: &[(u16, &str)],
    wanted: u16,
) -> Result<u16, Errno> {
    let message = build_request(family, command, attributes);
    sendto(kernel.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut buffer = [0; 8192];
    let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    parse_answer(&buffer[..length], wanted)
}

fn build_request(family: u16, command: u8, attributes: &[(u16, &str)]) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(family.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port id: the kernel accepts zeros.
    message.extend([0; 8]);
    // Both families have version 1.
    message.extend([command, 1, 0, 0]);
    for (kind, text) in attributes {
        let length = 4 + text.len() + 1;
        message.extend((length as u16).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(text.as_bytes());
        message.resize((message.len() + 1).next_multiple_of(4), 0);
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn parse_answer(message: &[u8], wanted: u16) -> Result<u16, Errno> {
    let field = |at: usize| Some(u16::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    if field(4) == Some(NLMSG_ERROR) {
        let code = message.get(16..).and_then(|rest| rest.first_chunk());
        return Err(Errno::from_raw(-code.map_or(0, |code| i32::from_ne_bytes(*code))));
    }
    let mut at = HEADERS;
    while let (Some(length), Some(kind)) = (field(at), field(at + 2)) {
        if kind == wanted {
            return field(at + 4).ok_or(Errno::EBADMSG);
        }
        at += usize::from(length.max(4)).next_multiple_of(4);
    }
    Err(Errno::ENODATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_padded_and_has_its_length_in_the_header() {
        let message =
            build_request(0x1c, DEVLINK_CMD_ESWITCH_GET, &[(1, "pci"), (2, "0000:41:00.0")]);
        assert_eq!(message.len(), 20 + 8 + 20);
        assert_eq!(message[..4], 48_u32.to_ne_bytes());
        assert_eq!(&message[24..28], b"pci\0");
        assert_eq!(&message[32..45], b"0000:41:00.0\0");
    }

    #[test]
    fn an_answer_holds_the_attribute_or_an_errno() {
        let mut message = build_request(0x1c, 1, &[(1, "pci")]);
        message.extend([6, 0, 25, 0, 1, 0, 0, 0]);
        assert_eq!(parse_answer(&message, 25), Ok(1));
        assert_eq!(parse_answer(&message, 26), Err(Errno::ENODATA));
        let mut refusal = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        refusal.extend((-95_i32).to_ne_bytes());
        assert_eq!(parse_answer(&refusal, 25), Err(Errno::EOPNOTSUPP));
        assert_eq!(parse_answer(&[], 25), Err(Errno::ENODATA));
    }
}
