//! The locks of this process, with the threads that hold them.
//!
//! A child that hangs in a driver keeps the descriptors of its parent, so that its PF stays locked
//! until the driver returns. It must not keep the lock of another PF, which another thread of the
//! monitor holds at the moment of the fork.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;
use nix::unistd::gettid;

/// More locks than threads of the monitor. A lock without a slot is inherited by children.
const SLOTS: usize = 128;
const FREE: u64 = u64::MAX;

/// A thread id in the upper half, a descriptor in the lower one.
static HELD: [AtomicU64; SLOTS] = [const { AtomicU64::new(FREE) }; SLOTS];

/// Names the calling thread as the holder of a lock, until it is dropped.
pub(crate) struct HeldLock {
    slot: Option<usize>,
}

impl HeldLock {
    pub(crate) fn register(lock: &impl AsRawFd) -> Self {
        let value = entry(own_thread(), lock.as_raw_fd());
        let take = |slot: &AtomicU64| {
            slot.compare_exchange(FREE, value, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        Self { slot: HELD.iter().position(take) }
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            HELD[slot].store(FREE, Ordering::SeqCst);
        }
    }
}

pub(super) fn own_thread() -> u32 {
    gettid().as_raw().cast_unsigned()
}

fn entry(thread: u32, fd: RawFd) -> u64 {
    (u64::from(thread) << 32) | u64::from(fd.cast_unsigned())
}

/// Runs in a child: closes the locks that threads other than `thread` held at the fork. It makes
/// only system calls.
pub(super) fn close_others(thread: u32) {
    for slot in &HELD {
        let value = slot.load(Ordering::SeqCst);
        if value != FREE && (value >> 32) as u32 != thread {
            // SAFETY: the child uses none of these descriptors.
            unsafe { libc::close((value as u32).cast_signed()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_named_while_it_is_held() {
        let file = tempfile::tempfile().unwrap();
        let is_named = || {
            let value = entry(own_thread(), file.as_raw_fd());
            HELD.iter().any(|slot| slot.load(Ordering::SeqCst) == value)
        };
        let held = HeldLock::register(&file);
        assert!(is_named());
        drop(held);
        assert!(!is_named());
    }
}
