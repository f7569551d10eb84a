//! Drivers that call themselves busy: i40e and ice while the PF or the VF is in a reset, iavf while it waits for its PF.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// How long one may. i40e lets the next operation wait 300 ms for the reset of the last one; a reset of the PF takes seconds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn is_busy(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::EAGAIN | Errno::EBUSY))
}

/// Tries until the answer is another than EAGAIN or EBUSY, and no longer than [`BUSY_TIMEOUT`]: then that is the answer.
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
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_busy_is_asked_again_and_nobody_else() {
        let mut answers = [Err(Errno::EBUSY), Err(Errno::EAGAIN), Ok(7), Ok(8)].into_iter();
        assert_eq!(retry_while_busy(|errno| Some(*errno), || answers.next().unwrap()), Ok(7));
        let mut answers = [Err(Errno::EIO), Ok(8)].into_iter();
        let refused = retry_while_busy(|errno| Some(*errno), || answers.next().unwrap());
        assert_eq!(refused, Err(Errno::EIO));
    }
}
