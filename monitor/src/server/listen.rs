//! The listeners: the Unix socket and loopback TCP.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::config::Config;
use crate::log;
use crate::server::connection::{self, Times};
use crate::server::site::{Origin, Site};

/// The most connections of one listener. Others wait in its queue until one ends, so users of TCP
/// cannot keep users of the Unix socket out.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// Between two attempts to start a listener, or to open the audit log.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// After a failed accept(2), such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Owner and group. The group is the monitor's own (`Group=` of its unit).
const SOCKET_MODE: u32 = 0o660;

/// A socket that clients connect to.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Serves the Unix socket, if the configuration has one.
pub(super) async fn unix(config: &Config, site: Arc<Site>) {
    if config.socket.as_os_str().is_empty() {
        return;
    }
    let name = config.socket.display().to_string();
    let listener = retry(&name, || bind_unix(&config.socket)).await;
    accept_all(listener, site, Times::default()).await;
}

/// Serves the TCP port, if the configuration has one.
pub(super) async fn tcp(config: &Config, site: Arc<Site>) {
    let Some(address) = config.listen else { return };
    let listener = retry(&address.to_string(), || bind_tcp(address)).await;
    accept_all(listener, site, Times::default()).await;
}

/// Tries until a listener has started. The first failure is logged.
async fn retry(name: &str, start: impl Fn() -> io::Result<Listener>) -> Listener {
    let mut is_logged = false;
    loop {
        match start() {
            Ok(listener) => return listener,
            Err(error) if !is_logged => {
                log::warning(format!("cannot listen on {name}: {error}"));
                is_logged = true;
            }
            Err(_) => {}
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Accepts connections, [`MAX_CONNECTIONS`] at the same time.
pub(super) async fn accept_all(listener: Listener, site: Arc<Site>, times: Times) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&places).acquire_owned().await {
        let site = Arc::clone(&site);
        let accepted = match &listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(connection::run(stream, Origin::Unix, site, times, permit));
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(connection::run(stream, Origin::Tcp, site, times, permit));
            }),
        };
        if accepted.is_err() {
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

pub(super) fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Listener::Tcp)
}

/// Makes the Unix socket under another name first. So no client connects before it has its mode,
/// and the socket of a monitor that was killed is replaced.
///
/// # Errors
/// Also when something that is not a socket is in the way.
pub(super) fn bind_unix(path: &Path) -> io::Result<Listener> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.file_type().is_socket()) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file there is not a socket"));
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(&temporary)?)?;
    // Before listen(2), the kernel refuses every connection.
    fs::set_permissions(&temporary, Permissions::from_mode(SOCKET_MODE))?;
    listen(&socket, Backlog::MAXCONN)?;
    fs::rename(&temporary, path)?;
    UnixListener::from_std(StdUnixListener::from(socket)).map(Listener::Unix)
}
