//! The terminal of a container. libcontainer makes it inside the container and sends its master to a Unix socket
//! (runc `docs/terminals.md`): the engine's with `--detach`, and in the foreground our own, at which we then sit between
//! the container and the person.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::Error;

/// Long enough for a slow machine: the master is sent while the container is being made.
const CONSOLE_TIMEOUT_MS: u16 = 10_000;

pub(crate) enum Console {
    None,
    Engine(PathBuf),
    Ours { listener: UnixListener, folder: tempfile::TempDir },
}

impl Console {
    /// The combinations that runc accepts (`utils_linux.go`, `checkTerminal`).
    pub(crate) fn new(terminal: bool, detach: bool, socket: Option<&Path>) -> Result<Self, Error> {
        let refuse = |what| Err(Error::Unsupported { what });
        match (terminal, detach, socket) {
            (true, true, Some(socket)) => Ok(Self::Engine(socket.to_owned())),
            (true, true, None) => {
                refuse("cannot allocate a terminal when detaching without --console-socket")
            }
            (_, _, Some(_)) => refuse(
                "cannot use --console-socket unless the process has a terminal and runvf detaches",
            ),
            (true, false, None) => Self::ours(),
            (false, _, None) => Ok(Self::None),
        }
    }

    fn ours() -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::file("write to", std::env::temp_dir()))?;
        let path = folder.path().join("console");
        let listener = UnixListener::bind(&path).map_err(Error::file("listen at", path))?;
        Ok(Self::Ours { listener, folder })
    }

    /// For libcontainer to send the master to.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        match self {
            Self::None => None,
            Self::Engine(path) => Some(path.clone()),
            Self::Ours { folder, .. } => Some(folder.path().join("console")),
        }
    }

    /// Ours, once the container is made.
    pub(crate) fn terminal(self) -> Result<Option<Terminal>, Error> {
        let Self::Ours { listener, .. } = self else { return Ok(None) };
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let action = "receive the terminal of the container";
        let count = poll(&mut ready, PollTimeout::from(CONSOLE_TIMEOUT_MS))
            .map_err(Error::kernel(action))?;
        if count == 0 {
            return Err(Error::Unsupported { what: "the container sent no terminal" });
        }
        let (stream, _) =
            listener.accept().map_err(Error::file("accept at", "the console socket"))?;
        let master = receive(&stream).map_err(Error::kernel(action))?;
        let master = master.ok_or(Error::Unsupported { what: "the container sent no terminal" })?;
        Ok(Some(Terminal::new(master)))
    }
}

fn receive(stream: &UnixStream) -> nix::Result<Option<OwnedFd>> {
    let mut name = [0; 4096];
    let mut buffers = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!([libc::c_int; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
    let rights = message.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    Ok(rights.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// The master, and the person's own terminal in raw mode until this is dropped.
pub(crate) struct Terminal {
    pub(crate) master: std::fs::File,
    before: Option<Termios>,
}

impl Terminal {
    fn new(master: OwnedFd) -> Self {
        // Without a terminal at stdin there is nothing to switch.
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        }
        let terminal = Self { master: master.into(), before };
        terminal.copy_size();
        terminal
    }

    /// The container's terminal gets the size of the person's.
    pub(crate) fn copy_size(&self) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both requests read or write one `winsize`, which lives until after the calls.
        unsafe {
            if libc::ioctl(libc::STDIN_FILENO, libc::TIOCGWINSZ, &mut size) == 0 {
                libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size);
            }
        }
    }

    /// One piece from the person to the container; `false` when there will be no more.
    pub(crate) fn copy_in(&mut self) -> bool {
        copy(&mut io::stdin().lock(), &mut self.master)
    }

    /// One piece from the container to the person; `false` when there will be no more.
    pub(crate) fn copy_out(&mut self) -> bool {
        // EIO: no process has the terminal open any more, pty(7).
        copy(&mut self.master, &mut io::stdout().lock())
    }
}

fn copy(from: &mut impl io::Read, to: &mut impl io::Write) -> bool {
    let mut piece = [0; 8192];
    match from.read(&mut piece) {
        Ok(0) | Err(_) => false,
        Ok(length) => to.write_all(&piece[..length]).and_then(|()| to.flush()).is_ok(),
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that hung up needs no restoring.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
