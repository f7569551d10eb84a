//! Retries while a driver is busy: i40e and ice during a reset of the PF or the VF, iavf while it
//! waits for its PF.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// How long a driver may stay busy. On i40e an operation waits 300 ms for the reset of the previous
/// operation; a reset of the PF takes seconds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn is_busy(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::EAGAIN | Errno::EBUSY))
}

/// Repeats `attempt` while it fails with EAGAIN or EBUSY. After [`BUSY_TIMEOUT`] it returns the
/// last error.
pub(crate) fn retry_while_busy<T, E>(
    errno: impl Fn(&E) -> Option<Errno>,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match attempt() {
            Err(error) if is_busy(errno(&error)) && Instant::now() < deadline => {
                thread::sleep(RETRY_INTERVAL);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_busy_errors_are_retried() {
        let mut answers = [Err(Errno::EBUSY), Err(Errno::EAGAIN), Ok(7), Ok(8)].into_iter();
        assert_eq!(retry_while_busy(|errno| Some(*errno), || answers.next().unwrap()), Ok(7));
        let mut answers = [Err(Errno::EIO), Ok(8)].into_iter();
        let refused = retry_while_busy(|errno| Some(*errno), || answers.next().unwrap());
        assert_eq!(refused, Err(Errno::EIO));
    }
}
