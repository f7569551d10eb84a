//! Network namespaces: which one, and work inside another one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::kernel::error::errno_of;
use crate::kernel::netlink::{Flags, Netlink};

/// Names a namespace for as long as it lives: device and inode on nsfs (`namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetnsId {
    pub dev: u64,
    pub ino: u64,
}

/// The calling thread's.
const OWN: &str = "/proc/thread-self/ns/net";

impl NetnsId {
    pub(crate) fn own() -> Result<Self, Error> {
        let metadata = fs::metadata(OWN).map_err(Error::file("look at", OWN))?;
        Ok(Self { dev: metadata.dev(), ino: metadata.ino() })
    }
}

/// A namespace in a record. Its [`NetnsId`] says where to look for it first; only its cookie names it after it has gone as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsRecord {
    #[serde(flatten)]
    pub id: NetnsId,
    pub cookie: u64,
}

/// `include/uapi/asm-generic/socket.h`
const SO_NETNS_COOKIE: i32 = 71;

/// The number of the calling thread's namespace, which no other has had or will have until the next boot
/// (`SO_NETNS_COOKIE`, Linux 5.14; an inode number is used again).
///
/// # Errors
/// [`KernelError::Call`] when the kernel has no such number.
pub(crate) fn cookie() -> Result<u64, Error> {
    let failed = |source| {
        Error::Kernel(KernelError::Call {
            action: "tell network namespaces apart (Linux 5.14)",
            source,
        })
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(failed)?;
    let mut cookie = 0_u64;
    let mut size = 8;
    // SAFETY: the option is a u64, and `size` says that there is room for one; both outlive the call.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    Errno::result(got).map_err(failed)?;
    Ok(cookie)
}

/// An open network namespace. It lives at least as long as this does.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    pub(crate) id: NetnsId,
}

impl Netns {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = Error::file("open network namespace", path);
        // Something else may be there by now, and opening some files does something: a FIFO waits for a writer, a watchdog starts.
        let mut options = OpenOptions::new();
        let place = options.read(true).custom_flags(libc::O_PATH).open(path).map_err(&failed)?;
        let here = format!("/proc/self/fd/{}", place.as_raw_fd());
        // By its name, which only the kernel gives (`ns_dname`, `fs/nsfs.c`), paths having slashes. A mounted one has its mount's. To ask for
        // the file system is no way for what a process has put into its `/proc`: it may mean to ask a server that does not answer.
        let name = fs::read_link(&here).map_err(&failed)?;
        let named = name.to_string_lossy().starts_with("net:[");
        let mounted = || fstatfs(&place).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC);
        if !named && (path.starts_with("/proc") || !mounted()) {
            return Err(failed(io::Error::other("it is no network namespace")));
        }
        let file = File::open(here).map_err(&failed)?;
        let metadata = file.metadata().map_err(&failed)?;
        Ok(Self { file, id: NetnsId { dev: metadata.dev(), ino: metadata.ino() } })
    }

    /// A new one. It has no process and no name, so that it is gone with whoever holds it, and its interfaces are the host's again.
    pub(crate) fn create() -> Result<Self, Error> {
        let action = "make a network namespace";
        apart(action, || {
            fault::point("make-netns")
                .and_then(|()| unshare(CloneFlags::CLONE_NEWNET))
                .map_err(|source| Error::Kernel(KernelError::Call { action, source }))?;
            Self::own()
        })
    }

    pub(crate) fn record(&self) -> Result<NetnsRecord, Error> {
        Ok(NetnsRecord { id: self.id, cookie: self.inside(cookie)? })
    }

    pub(crate) fn own() -> Result<Self, Error> {
        Self::open(Path::new(OWN))
    }

    /// Does the work on a thread of its own inside the namespace: only a thread that ends can be trusted to be out of it
    /// again.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let namespace = self.file.as_fd();
        let action = "enter a network namespace";
        apart(action, move || {
            fault::point("enter-netns")
                .and_then(|()| setns(namespace, CloneFlags::CLONE_NEWNET))
                .map_err(|source| Error::Kernel(KernelError::Call { action, source }))?;
            work()
        })
    }
}

/// Does the work on a thread of its own. There may be none to be had: `action` is what cannot be done then.
fn apart<T: Send>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let failed = |source| Error::Kernel(KernelError::Call { action, source });
    thread::scope(|scope| {
        let worker = thread::Builder::new().spawn_scoped(scope, work);
        let worker = worker.map_err(|error| failed(errno_of(&error).unwrap_or(Errno::EAGAIN)))?;
        worker.join().unwrap_or(Err(failed(Errno::EIO)))
    })
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether `path` is the network namespace of the caller, where the PFs are.
///
/// # Errors
/// [`KernelError::File`] when there is no namespace at `path`.
pub fn is_host_netns(path: &Path) -> Result<bool, Error> {
    Ok(Netns::open(path)?.id == NetnsId::own()?)
}

/// Brings `lo` up in the network namespace of `pid`, which is what runc does for a namespace it has made.
///
/// # Errors
/// [`KernelError::File`] when the process is gone, [`KernelError::Link`] when the kernel refuses.
pub fn loopback_up(pid: i32) -> Result<(), Error> {
    /// `LOOPBACK_IFINDEX`, `include/net/net_namespace.h`: the same in every namespace.
    const LOOPBACK: u32 = 1;
    Netns::open(Path::new(&format!("/proc/{pid}/ns/net")))?.inside(|| {
        let up = Flags { up: true, ..Flags::default() };
        Netlink::open()?.set_flags(LOOPBACK, up).map_err(|source| {
            Error::Kernel(KernelError::Link { action: "bring up", object: "lo".to_owned(), source })
        })
    })
}

/// Writes a sysctl of one interface. `/proc/sys/net` shows the namespace of the thread that opens it
/// (`net/sysctl_net.c`), so this belongs into [`Netns::inside`].
///
/// A kernel without IPv6 has no such file; there is no chatter to suppress then.
pub(crate) fn set_ipv6_sysctl(interface: &str, name: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(interface).join(name);
    fault::point("ipv6-sysctl").map_err(Error::errno("write", &path))?;
    match fs::write(&path, value) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::file("write", path)),
    }
}
