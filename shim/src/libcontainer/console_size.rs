//! The size of the terminal of the init process (`process.consoleSize`). libcontainer ignores it.
//! Docker sets it for `docker run -t`, and changes the size only if the user's terminal changes.
//!
//! A process that `exec` adds runs already when libcontainer returns, and could exchange its stdin for
//! any file. So only the engine sets the size of its terminal.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use libcontainer::oci_spec::runtime::Process;
use nix::errno::Errno;
use nix::libc;

use crate::error::Error;

/// Sets the size, while the init process waits.
pub(crate) fn set(process: &Process, pid: i32) -> Result<(), Error> {
    let Some(size) = process.console_size() else { return Ok(()) };
    let length = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
    let (rows, columns) = (length(size.height()), length(size.width()));
    if process.terminal() != Some(true) || (rows, columns) == (0, 0) {
        return Ok(());
    }
    let path = format!("/proc/{pid}/fd/0");
    let terminal =
        OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(&path);
    let terminal = terminal.map_err(Error::file("open", &path))?;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the request reads one `winsize`, which outlives the call.
    let set = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(set).map(drop).map_err(Error::kernel("set the size of the container's terminal"))
}
