//! The terminal of a container. libcontainer creates it inside the container and sends its master
//! end to a Unix socket (runc `docs/terminals.md`). With `--detach` this is the engine's socket. In
//! the foreground it is a socket of runvf, and runvf copies between the container's terminal and
//! the user's.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::Error;

/// The master end is sent while the container is created, so the timeout must be long enough for a
/// slow host.
const CONSOLE_TIMEOUT_MS: u16 = 10_000;

/// The socket that receives the master end of the terminal.
pub(crate) enum Console {
    /// The process has no terminal.
    None,
    /// A socket of the engine.
    Engine(PathBuf),
    /// A socket of runvf, in a temporary folder.
    Own { listener: UnixListener, folder: tempfile::TempDir },
}

impl Console {
    /// Accepts the same combinations as runc (`utils_linux.go`, `checkTerminal`).
    pub(crate) fn new(terminal: bool, detach: bool, socket: Option<&Path>) -> Result<Self, Error> {
        let refuse = |what| Err(Error::Unsupported { what });
        match (terminal, detach, socket) {
            (true, true, Some(socket)) => Ok(Self::Engine(socket.to_owned())),
            (true, true, None) => {
                refuse("cannot allocate a terminal when detaching without --console-socket")
            }
            (_, _, Some(_)) => {
                refuse("--console-socket requires a process with a terminal, and --detach")
            }
            (true, false, None) => Self::bind_own(),
            (false, _, None) => Ok(Self::None),
        }
    }

    fn bind_own() -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::file("write to", std::env::temp_dir()))?;
        let path = folder.path().join("console");
        let listener = UnixListener::bind(&path).map_err(Error::file("listen at", path))?;
        Ok(Self::Own { listener, folder })
    }

    /// The path of the socket that libcontainer sends the master end to.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        match self {
            Self::None => None,
            Self::Engine(path) => Some(path.clone()),
            Self::Own { folder, .. } => Some(folder.path().join("console")),
        }
    }

    /// Receives the terminal after the container was created. Returns `None` if the engine receives
    /// it, or if there is none.
    pub(crate) fn terminal(self) -> Result<Option<Terminal>, Error> {
        let Self::Own { listener, .. } = self else { return Ok(None) };
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let action = "receive the container's terminal";
        let count = poll(&mut ready, PollTimeout::from(CONSOLE_TIMEOUT_MS))
            .map_err(Error::kernel(action))?;
        if count == 0 {
            return Err(Error::Unsupported { what: "the container did not send its terminal" });
        }
        let (stream, _) = listener
            .accept()
            .map_err(Error::file("accept a connection at", "the console socket"))?;
        let master = receive(&stream).map_err(Error::kernel(action))?;
        let master =
            master.ok_or(Error::Unsupported { what: "the container did not send its terminal" })?;
        Ok(Some(Terminal::new(master)))
    }
}

/// Receives the descriptor of the master end.
fn receive(stream: &UnixStream) -> nix::Result<Option<OwnedFd>> {
    let mut name = [0; 4096];
    let mut buffers = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!([libc::c_int; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
    let descriptor = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: recvmsg(2) has just created this descriptor in this process, and no other code uses
    // its number.
    Ok(descriptor.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// The master end of the container's terminal. The user's terminal is in raw mode until this value
/// is dropped.
pub(crate) struct Terminal {
    pub(crate) master: std::fs::File,
    /// The settings of the user's terminal before raw mode. `None` if stdin is no terminal.
    saved: Option<Termios>,
}

impl Terminal {
    fn new(master: OwnedFd) -> Self {
        let saved = tcgetattr(io::stdin()).ok();
        if let Some(saved) = &saved {
            let mut raw = saved.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        }
        let terminal = Self { master: master.into(), saved };
        terminal.copy_size();
        terminal
    }

    /// Sets the size of the container's terminal to the size of the user's.
    pub(crate) fn copy_size(&self) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both requests access one `winsize`, which lives longer than the calls.
        unsafe {
            if libc::ioctl(libc::STDIN_FILENO, libc::TIOCGWINSZ, &mut size) == 0 {
                libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size);
            }
        }
    }

    /// Copies one buffer from the user to the container. Returns `false` at the end of the input.
    pub(crate) fn copy_in(&mut self) -> bool {
        copy(&mut io::stdin().lock(), &mut self.master)
    }

    /// Copies one buffer from the container to the user. Returns `false` if no process has the
    /// terminal open.
    pub(crate) fn copy_out(&mut self) -> bool {
        // The read fails with EIO if no process has the terminal open, pty(7).
        copy(&mut self.master, &mut io::stdout().lock())
    }
}

fn copy(from: &mut impl io::Read, to: &mut impl io::Write) -> bool {
    let mut buffer = [0; 8192];
    match from.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(length) => to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok(),
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // This fails only if the terminal was closed, and then it has no settings.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, saved);
        }
    }
}
