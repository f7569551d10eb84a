//! `/sys/bus/pci` and `/sys/class/net` under a root that the caller names.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::kernel::proc_file;
use crate::kernel::process::is_absence;

/// `/sys` or, in a test, a folder shaped like it.
#[derive(Debug, Clone)]
pub(crate) struct Sysfs(pub(crate) PathBuf);

impl Sysfs {
    pub(crate) fn pci_device(&self, pci: &str) -> PathBuf {
        self.0.join("bus/pci/devices").join(pci)
    }

    /// The PCI address behind a netdev's name; `None` for a name that is not there or not on PCI. A virtio NIC's device is a
    /// bus of its own below the PCI function.
    pub(crate) fn pci_of_netdev(&self, name: &str) -> Option<String> {
        let device = fs::canonicalize(self.0.join("class/net").join(name).join("device")).ok()?;
        let mut names = device.ancestors().filter_map(|folder| folder.file_name()?.to_str());
        names.find(|name| is_pci_address(name)).map(str::to_owned)
    }

    /// The netdevs_or_empty of a PCI function that are in the namespace this sysfs was mounted in. None if that cannot be found out.
    pub(crate) fn netdevs_or_empty(&self, pci: &str) -> Vec<(String, u32)> {
        self.netdevs(pci).unwrap_or_default()
    }

    /// The same, for those to whom "none" may not come from an error.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(crate) fn netdevs(&self, pci: &str) -> Result<Vec<(String, u32)>, Error> {
        let folder = self.pci_device(pci).join("net");
        let entries = match fs::read_dir(&folder) {
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list", &folder))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::file("list", &folder))?;
            // A container may have given it a name that is no UTF-8.
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path().join("ifindex");
            match proc_file::read(&path) {
                // It has just been moved or renamed.
                Err(error) if is_absence(&error) => {}
                text => {
                    let text = text.map_err(Error::file("read", path))?;
                    found.extend(text.trim().parse().ok().map(|ifindex| (name, ifindex)));
                }
            }
        }
        Ok(found)
    }

    /// Whether another interface stands on one (macvlan, ipvlan, VLAN), `netdev_adjacent_sysfs_add` (`net/core/dev.c`). One in another
    /// network namespace is not told of.
    pub(crate) fn has_upper(&self, pci: &str, netdev: &str) -> bool {
        let entries = fs::read_dir(self.pci_device(pci).join("net").join(netdev));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.as_bytes().starts_with(b"upper_"))
    }

    /// Has udev go through its rules for an interface as if something of it had changed (`uevent_store`, `drivers/base/core.c`).
    ///
    /// # Errors
    /// When the interface is gone.
    pub(crate) fn announce(&self, pci: &str, netdev: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("net").join(netdev).join("uevent");
        write_until("uevent", &path, "change", DRIVER, || false)
    }

    /// The VFs of a PF: index and PCI address. Counts links rather than reading `sriov_numvfs`, which takes the PF's device
    /// lock and would wait for a driver that hangs.
    pub(crate) fn virtfns(&self, pf: &str) -> Vec<(u32, String)> {
        let Ok(entries) = fs::read_dir(self.pci_device(pf)) else { return Vec::new() };
        let mut found: Vec<(u32, String)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let index = entry.file_name().to_str()?.strip_prefix("virtfn")?.parse().ok()?;
                Some((index, link_name(&entry.path())?))
            })
            .collect();
        found.sort();
        found
    }

    /// One of them, by its index.
    pub(crate) fn virtfn(&self, pf: &str, index: u32) -> Option<String> {
        link_name(&self.pci_device(pf).join(format!("virtfn{index}")))
    }

    /// The PF of a VF, and the VF's index there; `None` for what is no VF.
    pub(crate) fn pf_of(&self, vf: &str) -> Option<(String, u32)> {
        let pf = link_name(&self.pci_device(vf).join("physfn"))?;
        let (index, _) = self.virtfns(&pf).into_iter().find(|(_, pci)| pci == vf)?;
        Some((pf, index))
    }

    /// `None`: the device has no SR-IOV.
    pub(crate) fn totalvfs(&self, pf: &str) -> Option<usize> {
        read_number(&self.pci_device(pf).join("sriov_totalvfs")).and_then(|n| n.try_into().ok())
    }

    pub(crate) fn driver(&self, pci: &str) -> Option<String> {
        link_name(&self.pci_device(pci).join("driver"))
    }

    /// As [`Sysfs::netdevs`]: whether it has a driver.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(crate) fn has_driver(&self, pci: &str) -> Result<bool, Error> {
        let link = self.pci_device(pci).join("driver");
        match fs::read_link(&link) {
            Err(error) if is_absence(&error) => Ok(false),
            driver => driver.map(|_| true).map_err(Error::file("read", link)),
        }
    }

    /// The PCI device number of a PF's VFs, hexadecimal (`sriov_vf_device_show`, `drivers/pci/iov.c`).
    pub(crate) fn vf_device(&self, pf: &str) -> Option<String> {
        let text = proc_file::read(&self.pci_device(pf).join("sriov_vf_device")).ok()?;
        Some(text.trim().trim_start_matches("0x").to_owned())
    }

    /// What somebody wrote to `driver_override`, as one does to give a device to vfio.
    pub(crate) fn driver_override(&self, pci: &str) -> Option<String> {
        let text = proc_file::read(&self.pci_device(pci).join("driver_override")).ok()?;
        let name = text.trim();
        (!name.is_empty() && name != "(null)").then(|| name.to_owned())
    }

    /// A device that cannot be looked at is there: whatever follows from its absence would be wrong.
    pub(crate) fn exists(&self, pci: &str) -> bool {
        match fs::metadata(self.pci_device(pci)) {
            Ok(_) => true,
            // Without its folder nothing is told of any device.
            Err(error) => {
                !is_absence(&error) || fs::metadata(self.0.join("bus/pci/devices")).is_err()
            }
        }
    }

    /// Every PCI function with SR-IOV: PCI address and netdev name.
    pub(crate) fn sriov_netdevs(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.0.join("bus/pci/devices")) else { return Vec::new() };
        let mut found: Vec<(String, String)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|pci| self.totalvfs(pci).is_some_and(|total| total > 0))
            .filter_map(|pci| Some((self.netdevs_or_empty(&pci).into_iter().next()?.0, pci)))
            .map(|(name, pci)| (pci, name))
            .collect();
        found.sort();
        found
    }

    pub(crate) fn unbind(&self, pci: &str, driver: &str) -> Result<(), Error> {
        let path = self.0.join("bus/pci/drivers").join(driver).join("unbind");
        write_until("unbind", &path, pci, DRIVER, || self.driver(pci).is_none())?;
        match self.driver(pci) {
            None => Ok(()),
            Some(_) => Err(Error::Kernel(KernelError::Dirty {
                vf: pci.to_owned(),
                what: "is still bound to its driver",
            })),
        }
    }

    /// Asks the kernel to find the driver. With `sriov_drivers_autoprobe` 0 it does so for a VF only by an override
    /// (`pci_device_can_probe`, `drivers/pci/pci-driver.c`), and says nothing when it does not: then `driver` is named for the
    /// time being.
    pub(crate) fn probe(&self, pci: &str, driver: Option<&str>) -> Result<(), Error> {
        let named = driver.filter(|_| !self.autoprobes(pci) && self.driver_override(pci).is_none());
        named.map_or(Ok(()), |driver| self.name_driver(pci, driver))?;
        let probed = self.probe_until_bound(pci, named.is_some());
        named.map_or(Ok(()), |_| self.name_driver(pci, "\n"))?;
        probed
    }

    /// Says which driver alone may have a device; a line without a name says that any may.
    pub(crate) fn name_driver(&self, pci: &str, driver: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("driver_override");
        write_until("driver-override", &path, driver, DRIVER, || false)
    }

    /// A driver that is not loaded yet is no error to the kernel, and once it is loaded it takes only what it may bind by itself:
    /// `wait` asks again and again, for as long as udev may take to load it.
    fn probe_until_bound(&self, pci: &str, wait: bool) -> Result<(), Error> {
        let path = self.0.join("bus/pci/drivers_probe");
        let deadline = Instant::now() + LOADING;
        loop {
            write_until("probe", &path, pci, DRIVER, || self.driver(pci).is_some())?;
            if !wait || self.driver(pci).is_some() || Instant::now() >= deadline {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the kernel binds drivers to VFs by itself (`sriov_drivers_autoprobe` of the VF's PF).
    pub(crate) fn autoprobes(&self, vf: &str) -> bool {
        read_number(&self.pci_device(vf).join("physfn/sriov_drivers_autoprobe")) != Some(0)
    }

    /// Whether the VF can be reset alone (FLR, PCI Express base specification 6.6.2). A bus reset would take its neighbours
    /// along.
    pub(crate) fn has_flr(&self, pci: &str) -> bool {
        let methods = proc_file::read(&self.pci_device(pci).join("reset_method"));
        methods.is_ok_and(|methods| methods.split_whitespace().any(|method| method.contains("flr")))
    }

    /// Function-level reset. The VF must have no driver that would be surprised by it.
    pub(crate) fn flr(&self, pci: &str) -> Result<(), Error> {
        let path = self.pci_device(pci).join("reset");
        write_until("flr", &path, "1", DRIVER, || false)
    }

    /// Makes VFs on a PF that has none. The kernel refuses to change one count into another (`sriov_numvfs_store`,
    /// `drivers/pci/pci-sysfs.c`), so that a process which was faster keeps its VFs.
    pub(crate) fn set_numvfs(&self, pf: &str, count: usize) -> Result<(), Error> {
        let path = self.pci_device(pf).join("sriov_numvfs");
        // The count that is there already is no change to the kernel.
        write_until("numvfs", &path, &count.to_string(), NUMVFS, || false)
    }
}

/// Binding takes 0.1 s on igb; iavf waits seconds for a PF that is busy. Docker gives a `delete` 30 s (moby `daemon/monitor.go`), in which
/// what came of it is to be on record.
const DRIVER: Duration = Duration::from_secs(25);
const LOADING: Duration = Duration::from_secs(10);
/// 64 VFs take 22 s on i40e, and i40e has been seen to hang for ever.
const NUMVFS: Duration = Duration::from_secs(120);

/// `domain:bus:device.function`, as sysfs writes it.
pub fn is_pci_address(text: &str) -> bool {
    let shape = "xxxx:xx:xx.x";
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, like)| match like {
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == like,
        })
}

fn link_name(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.file_name()?.to_str().map(str::to_owned)
}

fn read_number(path: &Path) -> Option<u64> {
    proc_file::read(path).ok()?.trim().parse().ok()
}

/// As [`write_bounded`], and again if its child was killed, as anybody can be: unless what it was to do is done.
fn write_until(
    point: &'static str,
    path: &Path,
    text: &str,
    bound: Duration,
    done: impl Fn() -> bool,
) -> Result<(), Error> {
    if fault::lie(point).map_err(Error::errno("write", path))? {
        return Ok(());
    }
    let mut again = 2;
    loop {
        match write_bounded(path, text, bound) {
            Err(Error::Kernel(KernelError::File { source, .. }))
                if again > 0 && source.kind() == io::ErrorKind::UnexpectedEof =>
            {
                if done() {
                    return Ok(());
                }
                again -= 1;
            }
            other => return other,
        }
    }
}

/// Writes in a child process and waits for it no longer than `bound`: a driver that hangs leaves the writer unkillable,
/// and that must not be the process which a container engine waits for. A thread would not do: a process does not end
/// before its last thread has.
fn write_bounded(path: &Path, text: &str, bound: Duration) -> Result<(), Error> {
    let failed = Error::file("write", path);
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let (answer, asked) = pipe().map_err(|errno| failed(errno.into()))?;
    // SAFETY: the child calls only async-signal-safe functions (close, open, write, _exit) on memory made before the fork.
    match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
        ForkResult::Child => write_and_exit(&name, text.as_bytes(), asked.into_raw_fd()),
        ForkResult::Parent { child } => {
            drop(asked);
            fault::point("sysfs-wait").map_err(|errno| failed(errno.into()))?;
            let timeout = PollTimeout::try_from(bound).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(answer.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout).map_err(|errno| failed(errno.into()))? == 0 {
                let what = format!("writing {}", path.display());
                return Err(Error::Kernel(KernelError::Timeout { what, seconds: bound.as_secs() }));
            }
            let mut errno = [0; 4];
            let answered = fs::File::from(answer).read_exact(&mut errno);
            // Whoever waits for all children of this process may have been first.
            let _ = waitpid(child, None);
            let killed = |error: io::Error| match error.kind() {
                kind @ io::ErrorKind::UnexpectedEof => {
                    io::Error::new(kind, "the process that was to write it was killed")
                }
                _ => error,
            };
            answered.map_err(killed).map_err(&failed)?;
            match i32::from_ne_bytes(errno) {
                0 => Ok(()),
                errno => Err(failed(io::Error::from_raw_os_error(errno))),
            }
        }
    }
}

fn write_and_exit(path: &CString, text: &[u8], answer: i32) -> ! {
    // SAFETY: `path` is zero-terminated, `text` and `errno` are valid for their lengths, and none of these calls
    // allocates or takes a lock that another thread could have held at the fork.
    unsafe {
        // A caller that reads this program's output to the end must not wait for a writer that hangs.
        for standard in 0..=2 {
            libc::close(standard);
        }
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let written = if fd < 0 { -1 } else { libc::write(fd, text.as_ptr().cast(), text.len()) };
        let errno = if written < 0 { Errno::last_raw() } else { 0 };
        libc::write(answer, errno.to_ne_bytes().as_ptr().cast(), 4);
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_has_one_shape() {
        assert!(is_pci_address("0000:01:10.0") && is_pci_address("abcd:EF:1f.7"));
        for wrong in
            ["", "01:10.0", "0000:01:10.00", "0000-01:10.0", "../../../etc", "0000:01:1g.0"]
        {
            assert!(!is_pci_address(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_bounded_write_arrives_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        write_bounded(&path, "7", Duration::from_secs(10)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "7");
        let missing = folder.path().join("none");
        let error = write_bounded(&missing, "7", Duration::from_secs(10)).unwrap_err();
        assert_eq!(
            error.line(),
            format!("cannot write {}: No such file or directory (os error 2)", missing.display())
        );
    }

    /// What a writer writes to a FIFO, however late it comes.
    fn first_byte(fifo: &Path) -> u8 {
        let mut both = fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap();
        let mut fds = [PollFd::new(both.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000_u16)), Ok(1), "nobody writes");
        let mut written = [0];
        both.read_exact(&mut written).unwrap();
        written[0]
    }

    /// The children of one of our threads, `/proc/PID/task/TID/children`, proc(5).
    fn children(thread: nix::unistd::Pid) -> Vec<i32> {
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    #[test]
    fn a_writer_that_is_killed_has_a_successor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let fifo = path.clone();
        let writing = thread::spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            write_until("probe", &fifo, "7", Duration::from_secs(20), || false)
        });
        let thread_id = told.recv().unwrap();
        let first = loop {
            assert!(!writing.is_finished());
            match children(thread_id).first() {
                Some(pid) => break *pid,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::SIGKILL)
            .unwrap();
        while children(thread_id).contains(&first) {
            assert!(!writing.is_finished());
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(first_byte(&path), b'7');
        writing.join().unwrap().unwrap();
    }

    #[test]
    fn a_write_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        // Opening a FIFO nobody reads is as stuck as a driver.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = write_bounded(&path, "7", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Kernel(KernelError::Timeout { .. })), "{error:?}");
        // Lets the child go, which may not have come to its opening yet.
        assert_eq!(first_byte(&path), b'7');
    }
}
