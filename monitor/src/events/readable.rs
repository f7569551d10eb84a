//! Descriptors that the event loop waits for.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the event loop, for reading. `source` owns its descriptor, and has
/// the same one until it is dropped.
///
/// # Errors
/// When the kernel has no room for it.
pub(super) fn readable<T: AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: this module's callers pass sockets, a pidfd and an inotify instance. Each owns its
    // descriptor, and none can be given another one.
    let registered = unsafe { AsyncFd::register_with_interest(source, Interest::READABLE) };
    Ok(registered?)
}
