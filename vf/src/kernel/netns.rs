//! Network namespaces: identify them, open them, and run code inside them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::marker::PhantomData;
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

/// The device and inode number of a namespace on nsfs (`namespaces(7)`). Unique only while the
/// namespace exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetnsId {
    pub dev: u64,
    pub ino: u64,
}

/// The network namespace of the calling thread.
const OWN_NETNS: &str = "/proc/thread-self/ns/net";

impl NetnsId {
    /// Identifies the network namespace of the calling thread.
    pub(crate) fn own() -> Result<Self, Error> {
        let metadata = fs::metadata(OWN_NETNS).map_err(Error::file("inspect", OWN_NETNS))?;
        Ok(Self { dev: metadata.dev(), ino: metadata.ino() })
    }
}

/// A network namespace as claims record it. The [`NetnsId`] finds it quickly; only the cookie
/// identifies it for sure, because a later namespace can have the same [`NetnsId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsRecord {
    #[serde(flatten)]
    pub id: NetnsId,
    pub cookie: u64,
}

/// `include/uapi/asm-generic/socket.h`
const SO_NETNS_COOKIE: i32 = 71;

/// Returns the cookie of the calling thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14). It
/// is unique until the next boot, whereas the kernel reuses inode numbers.
///
/// # Errors
/// [`KernelError::Call`] when the kernel does not support network namespace cookies.
pub(crate) fn cookie() -> Result<u64, Error> {
    let failed = |source| {
        Error::Kernel(KernelError::Call {
            action: "read the cookie of a network namespace (needs Linux 5.14)",
            source,
        })
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(failed)?;
    let mut cookie = 0_u64;
    let mut size = 8;
    // SAFETY: the option is a u64, and `size` is the size of a u64; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    Errno::result(result).map_err(failed)?;
    Ok(cookie)
}

/// An open network namespace. It exists at least as long as this value.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    pub(crate) id: NetnsId,
}

impl Netns {
    /// Opens the network namespace at `path`: `/proc/PID/ns/net` or a bind mount.
    ///
    /// # Errors
    /// [`KernelError::File`] when there is no network namespace at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = Error::file("open network namespace", path);
        // O_PATH, because another file may be at this path by now, and opening some files has
        // effects: a FIFO waits for a writer, a watchdog starts.
        let mut options = OpenOptions::new();
        let handle = options.read(true).custom_flags(libc::O_PATH).open(path).map_err(&failed)?;
        let fd_link = format!("/proc/self/fd/{}", handle.as_raw_fd());
        // A namespace has a link text that only the kernel assigns (`ns_dname`, `fs/nsfs.c`): it
        // contains no slash, so it is never a path. A bind-mounted namespace has the path of its
        // mount, so its file system is checked instead. The file system is not checked below
        // `/proc`: a file there (`/proc/PID/fd/N`) may belong to a FUSE server, and fstatfs(2)
        // would wait for its answer.
        let name = fs::read_link(&fd_link).map_err(&failed)?;
        let has_netns_name = name.to_string_lossy().starts_with("net:[");
        let is_on_nsfs =
            || fstatfs(&handle).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC);
        if !has_netns_name && (path.starts_with("/proc") || !is_on_nsfs()) {
            return Err(failed(io::Error::other("not a network namespace")));
        }
        let file = File::open(fd_link).map_err(&failed)?;
        let metadata = file.metadata().map_err(&failed)?;
        Ok(Self { file, id: NetnsId { dev: metadata.dev(), ino: metadata.ino() } })
    }

    /// Creates a network namespace without a process or a name. It ends when its last file
    /// descriptor is closed; the kernel then moves its physical netdevs back to the host netns.
    pub(crate) fn create() -> Result<Self, Error> {
        let action = "create a network namespace";
        on_own_thread(action, || {
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
        Self::open(Path::new(OWN_NETNS))
    }

    /// Runs `work` inside the namespace, on a thread of its own: the thread ends afterwards, so no
    /// thread of this process can stay in the namespace.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let namespace = self.file.as_fd();
        let action = "enter a network namespace";
        on_own_thread(action, move || {
            fault::point("enter-netns")
                .and_then(|()| setns(namespace, CloneFlags::CLONE_NEWNET))
                .map_err(|source| Error::Kernel(KernelError::Call { action, source }))?;
            work()
        })
    }
}

/// A thread that visits network namespaces, one after the other. The value exists only on that
/// thread.
pub(crate) struct Visitor(PhantomData<*const ()>);

impl Visitor {
    /// Moves the thread into a namespace, where it stays until the next call.
    ///
    /// # Errors
    /// [`KernelError::Call`] when the kernel refuses.
    pub(crate) fn enter(&self, netns: &Netns) -> Result<(), Error> {
        setns(netns, CloneFlags::CLONE_NEWNET).map_err(|source| {
            Error::Kernel(KernelError::Call { action: "enter a network namespace", source })
        })
    }
}

/// Runs `work` on a thread of its own that visits network namespaces. One thread for all of them
/// costs less than [`Netns::inside`] for each.
///
/// # Errors
/// [`KernelError::Call`] when the thread cannot be created, and the errors of `work`.
pub(crate) fn visit<T: Send>(
    work: impl FnOnce(&Visitor) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    on_own_thread("enter a network namespace", move || work(&Visitor(PhantomData)))
}

/// Runs `work` on a new thread. If the thread cannot be created, the error names `action`.
fn on_own_thread<T: Send>(
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

/// Whether `path` is the network namespace of the caller, which is the one with the PFs.
///
/// # Errors
/// [`KernelError::File`] when there is no network namespace at `path`.
pub fn is_host_netns(path: &Path) -> Result<bool, Error> {
    Ok(Netns::open(path)?.id == NetnsId::own()?)
}

/// Brings `lo` up in the network namespace of `pid`, as runc does for each network namespace that
/// it creates.
///
/// # Errors
/// [`KernelError::File`] when the process is gone, [`KernelError::Link`] when the kernel refuses.
pub fn loopback_up(pid: i32) -> Result<(), Error> {
    /// `LOOPBACK_IFINDEX`, `include/net/net_namespace.h`: the ifindex of `lo` in every network
    /// namespace.
    const LOOPBACK_IFINDEX: u32 = 1;
    Netns::open(Path::new(&format!("/proc/{pid}/ns/net")))?.inside(|| {
        let up = Flags { up: true, ..Flags::default() };
        Netlink::open()?.set_flags(LOOPBACK_IFINDEX, up).map_err(|source| {
            Error::Kernel(KernelError::Link { action: "bring up", object: "lo".to_owned(), source })
        })
    })
}

/// The first of the names `mon0`, `mon1`, … that no interface of the network namespace at `path` has.
///
/// # Errors
/// [`KernelError::File`] when there is no network namespace at `path`.
pub fn unused_interface(path: &Path) -> Result<String, Error> {
    let links = Netns::open(path)?.inside(|| Netlink::open()?.links())?;
    let is_used =
        |name: &String| links.iter().any(|link| link.name == *name || link.altnames.contains(name));
    // The namespace has finitely many names, so this ends.
    let mut names = (0..).map(|number: u32| format!("mon{number}"));
    Ok(names.find(|name| !is_used(name)).unwrap_or_default())
}

/// Writes an IPv6 sysctl of one interface. `/proc/sys/net` shows the network namespace of the
/// thread that opens it (`net/sysctl_net.c`), so call this inside [`Netns::inside`].
///
/// Succeeds if the kernel has no such file, because a kernel without IPv6 sends no IPv6 packets.
pub(crate) fn set_ipv6_sysctl(interface: &str, name: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(interface).join(name);
    fault::point("ipv6-sysctl").map_err(Error::errno("write", &path))?;
    match fs::write(&path, value) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::file("write", path)),
    }
}
