//! The kernel's log, `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`): what a driver says about a
//! device.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The longest record (`PRINTKRB_RECORD_MAX`, `kernel/printk/printk.c`, with room for later
/// kernels). The kernel returns one record for each read(2), and fails if the buffer is too small.
const MAX_RECORD: usize = 16 * 1024;

/// The records of the kernel's log from the call of [`KernelLog::open_at_end`] on.
pub(crate) struct KernelLog(File);

/// Whether this process can read the kernel's log. Without it, runvf only assumes that a VF driver
/// has told its PF about promiscuity.
pub fn can_read_kernel_log() -> bool {
    KernelLog::open_at_end().is_some()
}

impl KernelLog {
    /// `None`: the log cannot be read here.
    pub(crate) fn open_at_end() -> Option<Self> {
        Self::open(Path::new("/dev/kmsg")).ok()
    }

    /// A log that always has another record, and none about a device.
    #[cfg(test)]
    pub(crate) fn of_others() -> Self {
        Self(File::open("/dev/zero").expect("/dev/zero"))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// Waits for a record of the kernel about a PCI function that contains one of `texts`. Returns whether
    /// there is one before `deadline`. Records before the found one are skipped.
    pub(crate) fn wait_for(&mut self, pci: &str, texts: &[&str], deadline: Instant) -> bool {
        let mut buffer = vec![0; MAX_RECORD];
        loop {
            match self.0.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    let record = String::from_utf8_lossy(&buffer[..length]);
                    if is_about(&record, pci) && texts.iter().any(|text| record.contains(text)) {
                        return true;
                    }
                }
                // EPIPE: the kernel has overwritten the next record; the next read continues after
                // the gap.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait_for_record(deadline) {
                        return false;
                    }
                }
                _ => return false,
            }
            // Other records may come faster than this process reads them.
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Waits for the next record. `false`: the deadline is over.
    fn wait_for_record(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, because a timeout of 0 ms would poll without a pause.
        let left = PollTimeout::try_from(left.as_millis() + u128::from(!left.is_zero()));
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, left.unwrap_or(PollTimeout::MAX)) {
            Ok(count) => count > 0,
            Err(errno) => errno == Errno::EINTR,
        }
    }
}

/// Whether the kernel wrote a record about a PCI function (`dev_printk_emit`,
/// `drivers/base/core.c`). A process that writes to the log has another facility than 0, and no
/// device.
fn is_about(record: &str, pci: &str) -> bool {
    let priority = record.split(',').next().and_then(|number| number.parse::<u64>().ok());
    let device = format!("DEVICE=+pci:{pci}");
    priority.is_some_and(|priority| priority < 8)
        && record.lines().skip(1).any(|line| line.trim_start() == device)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;

    use super::*;

    const VF: &str = "0000:01:02.0";

    fn record(priority: u32, pci: &str, text: &str) -> String {
        format!(
            "{priority},1523,84726401,-;iavf {pci}: {text}\n SUBSYSTEM=pci\n DEVICE=+pci:{pci}\n"
        )
    }

    #[test]
    fn only_the_kernel_speaks_about_a_device() {
        assert!(is_about(&record(6, VF, "Entering promiscuous mode"), VF));
        assert!(!is_about(&record(6, "0000:01:02.1", "x"), VF));
        assert!(!is_about(&record(14, VF, "x"), VF), "a process wrote this record");
        assert!(!is_about(&format!("6,1,2,-;DEVICE=+pci:{VF}\n"), VF), "that is its text");
        assert!(!is_about("", VF));
    }

    /// A FIFO has no records, so each is written as one.
    #[test]
    fn a_record_of_the_device_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmsg");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut log = KernelLog(
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap(),
        );
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(!log.wait_for(VF, &["promiscuous"], soon()));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                let record = record(6, VF, "Entering promiscuous mode");
                io::Write::write_all(&mut writer, record.as_bytes()).unwrap();
            });
            assert!(log.wait_for(VF, &["promiscuous"], Instant::now() + Duration::from_secs(20)));
        });
        assert!(
            !log.wait_for(VF, &["promiscuous"], soon()),
            "the same record does not count twice"
        );
    }

    /// A log that always has another record.
    #[test]
    fn a_flood_of_other_records_does_not_extend_the_wait() {
        let mut log = KernelLog::of_others();
        assert!(!log.wait_for(VF, &["promiscuous"], Instant::now() + Duration::from_millis(50)));
    }
}
