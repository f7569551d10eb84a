//! The streams of a process that runs in the foreground without a terminal. As under runc, the process
//! gets pipes, and runvf copies. Its user becomes the owner of the pipes (`libcontainer/stdio.rs`), and
//! the owner of runvf's own terminal or log file does not change.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use crate::error::Error;

/// The ends of the pipes that the process gets as stdin, stdout and stderr.
pub(crate) struct ProcessEnds(pub(crate) [OwnedFd; 3]);

/// runvf's ends of the pipes.
pub(crate) struct Streams {
    stdin: PipeWriter,
    stdout: PipeReader,
    stderr: PipeReader,
}

impl Streams {
    /// Creates the pipes, unless the process gets runvf's own streams or a terminal.
    pub(crate) fn if_wanted(wanted: bool) -> Result<(Option<Self>, Option<ProcessEnds>), Error> {
        match wanted {
            true => Self::new().map(|(streams, ends)| (Some(streams), Some(ends))),
            false => Ok((None, None)),
        }
    }

    fn new() -> Result<(Self, ProcessEnds), Error> {
        let pipe = || io::pipe().map_err(Error::file("create", "a pipe for the container"));
        let ((read_in, stdin), (stdout, write_out), (stderr, write_err)) =
            (pipe()?, pipe()?, pipe()?);
        let ends = [read_in.into(), write_out.into(), write_err.into()];
        Ok((Self { stdin, stdout, stderr }, ProcessEnds(ends)))
    }

    /// Copies in threads. They inherit the signals that the caller blocks. Must be called after the
    /// process was created, because libcontainer forks.
    pub(crate) fn copy(self) -> Copies {
        let Self { mut stdin, mut stdout, mut stderr } = self;
        thread::spawn(move || copy_all(&mut io::stdin(), &mut stdin));
        let stdout = thread::spawn(move || copy_all(&mut stdout, &mut io::stdout()));
        let stderr = thread::spawn(move || copy_all(&mut stderr, &mut io::stderr()));
        Copies([stdout, stderr])
    }
}

/// Copies until the source ends. If the target is closed, the copy ends, and the next write to the
/// source fails.
fn copy_all(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// The running copies of stdout and stderr.
pub(crate) struct Copies([JoinHandle<()>; 2]);

impl Copies {
    /// Waits until no process has the pipes open, like runc.
    pub(crate) fn finish(self) {
        for copy in self.0 {
            let _ = copy.join();
        }
    }
}
