//! Bounded appends to a log file: a child process opens the file and writes, because the file
//! system of a log may hang (a full queue of a network file system, a frozen disk).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::fault;
use crate::kernel::bounded_child::{self, End, Keep};

/// Appends a line, or without a line checks that the file can be opened for that. Creates the file
/// with its folder if necessary. `lock` is a lock file that the child keeps open, so that the lock
/// lasts as long as a child that hangs.
///
/// Follows no symbolic link, neither to the folder nor to the file. The group of a log daemon may
/// be able to write to `/var/log`, and a link there must not make root append to another file.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] after `timeout`. The child is then killed, but if it hangs in the
/// write itself, the line may still be appended later.
pub(crate) fn append(
    path: &Path,
    line: Option<&str>,
    lock: Option<&impl AsFd>,
    timeout: Duration,
) -> io::Result<()> {
    let target = Target::new(path, line)?;
    fault::point("audit")?;
    let keep = Keep::Only(lock.map(AsFd::as_fd));
    // SAFETY: `Target::append` makes only system calls, on memory that was allocated before.
    match unsafe { bounded_child::run("audit-wait", keep, timeout, || target.append()) }? {
        End::Result(0) => Ok(()),
        End::Result(FOLDER_NOT_PRIVATE) => {
            Err(io::Error::other("users other than root can write to its folder"))
        }
        End::Result(NOT_A_FILE) => Err(io::Error::other("it is not a regular file")),
        End::Result(errno) => Err(io::Error::from_raw_os_error(errno)),
        End::Timeout(child) => {
            let _ = kill(child, Signal::SIGKILL);
            bounded_child::reap_later(child);
            let seconds = timeout.as_secs_f32().ceil();
            let what = format!("its file system did not answer within {seconds} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        }
    }
}

/// Results of the child besides 0 and an errno.
const FOLDER_NOT_PRIVATE: i32 = -1;
const NOT_A_FILE: i32 = -2;

/// What the child needs, because it cannot allocate.
struct Target {
    /// The folders above the file, from the top down.
    folders: Vec<CString>,
    folder: CString,
    name: CString,
    /// A line feed, the line, and a line feed.
    line: Option<Vec<u8>>,
    uid: u32,
}

impl Target {
    fn new(path: &Path, line: Option<&str>) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let mut folders = folder.ancestors().map(text).collect::<Result<Vec<_>, _>>()?;
        folders.reverse();
        Ok(Self {
            folders,
            folder: text(folder)?,
            name: CString::new(name.as_bytes())?,
            line: line.map(|line| format!("\n{line}\n").into_bytes()),
            uid: geteuid().as_raw(),
        })
    }

    /// Runs in the child. Returns 0, an errno, [`FOLDER_NOT_PRIVATE`] or [`NOT_A_FILE`].
    fn append(&self) -> i32 {
        match self.try_append() {
            Ok(()) => 0,
            Err(failure) => failure,
        }
    }

    fn try_append(&self) -> Result<(), i32> {
        let folder = self.open_folder()?;
        let metadata = status(folder)?;
        if metadata.st_uid != self.uid || metadata.st_mode & 0o022 != 0 {
            return Err(FOLDER_NOT_PRIVATE);
        }
        let flags = libc::O_RDWR
            | libc::O_APPEND
            | libc::O_CREAT
            | libc::O_NOFOLLOW
            | libc::O_NONBLOCK
            | libc::O_CLOEXEC;
        // SAFETY: the name is zero-terminated.
        let file = checked(unsafe { libc::openat(folder, self.name.as_ptr(), flags, 0o640) })?;
        let metadata = status(file)?;
        if metadata.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(NOT_A_FILE);
        }
        let Some(line) = &self.line else { return Ok(()) };
        // A full disk may have cut off the last line. A new line is started first, because the two
        // would become one damaged line.
        let start = usize::from(ends_with_line_feed(file, metadata.st_size)?);
        let line = &line[start..];
        // SAFETY: the line is valid for its length.
        let written = unsafe { libc::write(file, line.as_ptr().cast(), line.len()) };
        match usize::try_from(written) {
            Err(_) => Err(Errno::last_raw()),
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(libc::ENOSPC),
        }
    }

    fn open_folder(&self) -> Result<RawFd, i32> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: the path is zero-terminated.
        let open = || checked(unsafe { libc::open(self.folder.as_ptr(), flags) });
        match open() {
            Err(libc::ENOENT) => {
                for folder in &self.folders {
                    // An error is ignored, because most of the folders exist.
                    // SAFETY: the path is zero-terminated.
                    unsafe { libc::mkdir(folder.as_ptr(), 0o750) };
                }
                open()
            }
            opened => opened,
        }
    }
}

fn checked(result: i32) -> Result<i32, i32> {
    if result < 0 { Err(Errno::last_raw()) } else { Ok(result) }
}

fn status(fd: RawFd) -> Result<libc::stat, i32> {
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `found` is as large as the kernel expects, and the kernel fills it if it succeeds.
    unsafe {
        checked(libc::fstat(fd, found.as_mut_ptr()))?;
        Ok(found.assume_init())
    }
}

/// Whether the file is empty or its last byte is a line feed.
fn ends_with_line_feed(file: RawFd, size: i64) -> Result<bool, i32> {
    let mut last = b'\n';
    if size > 0 {
        // SAFETY: `last` is one byte.
        let read = unsafe { libc::pread(file, (&raw mut last).cast(), 1, size - 1) };
        if read < 0 {
            return Err(Errno::last_raw());
        }
    }
    Ok(last == b'\n')
}
