//! The folder of the claims, watched by inotify.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::HostEvent;
use super::readable::readable;

/// Room for several events. The longest has a name of 255 bytes.
const BUFFER: usize = 4096;

/// How long the first event waits for others. A `gc` writes each claim, one after the other, and
/// should not wake the monitor for each of them.
const COLLECT_TIME: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct ClaimsFolder {
    inotify: AsyncFd<OwnedFd>,
    /// When the events that wait now are read. It is kept here, because the caller drops the future
    /// of [`ClaimsFolder::next`] when another source has an event.
    due: Option<Instant>,
}

impl ClaimsFolder {
    pub(crate) fn watch(folder: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // A record is written to a temporary file and renamed, and removed at its end. A record that
        // is written in place is not one of runvf, but tells of a change as well.
        let flags = WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, folder, flags)?;
        Ok(Self { inotify: readable(inotify)?, due: None })
    }

    /// Returns the next events. [`HostEvent::Overrun`]: the folder must be listed, and if it was
    /// replaced, be watched again.
    ///
    /// # Errors
    /// When inotify cannot be read.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<HostEvent>> {
        loop {
            let mut ready = self.inotify.readable().await?;
            sleep_until(*self.due.get_or_insert_with(|| Instant::now() + COLLECT_TIME)).await;
            self.due = None;
            let mut events = Vec::new();
            let read = ready.try_io(|inotify| {
                let mut buffer = [MaybeUninit::uninit(); BUFFER];
                let mut reader = inotify::Reader::new(inotify.get_ref(), &mut buffer);
                // One read, so that a flood does not keep the loop here.
                loop {
                    let event = reader.next()?;
                    let name = event.file_name().and_then(|name| name.to_str().ok());
                    events.extend(meaning(event.events(), name));
                    if reader.is_buffer_empty() {
                        return Ok(());
                    }
                }
            });
            match read {
                Err(_would_block) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Ok(Ok(())) if events.is_empty() => {}
                Ok(Ok(())) => return Ok(events),
            }
        }
    }
}

/// `None`: a temporary file, or a file that is no claim.
fn meaning(events: ReadFlags, name: Option<&str>) -> Option<HostEvent> {
    let lost = ReadFlags::QUEUE_OVERFLOW
        | ReadFlags::DELETE_SELF
        | ReadFlags::MOVE_SELF
        | ReadFlags::UNMOUNT
        | ReadFlags::IGNORED;
    if events.intersects(lost) {
        return Some(HostEvent::Overrun);
    }
    let vf = name?.strip_suffix(".json").filter(|vf| vf::is_pci_address(vf))?;
    Some(HostEvent::Claim { vf: vf.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VF: &str = "0000:01:10.0";

    fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_record_that_is_renamed_or_removed_is_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        on_a_runtime(async {
            let mut watched = ClaimsFolder::watch(folder.path()).unwrap();
            std::fs::write(at(&format!(".{VF}")), "{}").unwrap();
            std::fs::rename(at(&format!(".{VF}")), at(&format!("{VF}.json"))).unwrap();
            let claim = HostEvent::Claim { vf: VF.to_owned() };
            assert_eq!(watched.next().await.unwrap(), std::slice::from_ref(&claim));
            std::fs::remove_file(at(&format!("{VF}.json"))).unwrap();
            assert_eq!(watched.next().await.unwrap(), [claim]);
        });
    }

    /// Another source may have events all the time.
    #[test]
    fn a_future_that_is_dropped_delays_no_event() {
        let folder = tempfile::tempdir().unwrap();
        on_a_runtime(async {
            let mut watched = ClaimsFolder::watch(folder.path()).unwrap();
            std::fs::write(folder.path().join(format!("{VF}.json")), "{}").unwrap();
            let begin = Instant::now();
            let events = loop {
                tokio::select! {
                    events = watched.next() => break events.unwrap(),
                    () = tokio::time::sleep(COLLECT_TIME / 10) => {}
                }
                assert!(begin.elapsed() < Duration::from_secs(20));
            };
            assert_eq!(events, [HostEvent::Claim { vf: VF.to_owned() }]);
        });
    }

    #[test]
    fn other_files_are_no_events_and_a_removed_folder_is_an_overrun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims");
        std::fs::create_dir(&path).unwrap();
        on_a_runtime(async {
            let mut watched = ClaimsFolder::watch(&path).unwrap();
            std::fs::write(path.join("x.json"), "").unwrap();
            std::fs::write(path.join(format!("{VF}.json~")), "").unwrap();
            std::fs::remove_dir_all(&path).unwrap();
            let events = watched.next().await.unwrap();
            assert!(events.iter().all(|event| *event == HostEvent::Overrun), "{events:?}");
        });
    }

    #[test]
    fn a_missing_folder_cannot_be_watched() {
        on_a_runtime(async {
            ClaimsFolder::watch(Path::new("/nonexistent")).unwrap_err();
        });
    }
}
