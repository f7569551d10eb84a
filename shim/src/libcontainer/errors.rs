//! The cause of an error of libcontainer. libcontainer's processes send each other only the
//! outermost text of an error ("failed to prepare rootfs"); the cause is in a tracing event. So
//! runvf keeps the events of level error in a memfd, which the forked processes share. It adds the
//! first event, which is the innermost cause, to the error of `create` and `exec`.
//!
//! tracing-subscriber is not used, because this module needs none of its layers, and because
//! `--debug` must write lines in the engine's format.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::Error;
use crate::log::Log;

static ERROR_EVENTS: OnceLock<File> = OnceLock::new();

/// Longer events are truncated, because some contain a container's whole config.
const MAX_EVENT_BYTES: usize = 500;

pub(crate) fn install(log: &Log, debug: bool) -> Result<(), Error> {
    let memory = memfd_create(c"runvf-errors", MFdFlags::MFD_CLOEXEC)
        .map_err(Error::kernel("create a memfd for libcontainer's errors"))?;
    // Both calls fail only the second time, and `main` calls this function once.
    let _ = ERROR_EVENTS.set(File::from(memory));
    let _ = tracing::subscriber::set_global_default(Events { log: debug.then(|| log.clone()) });
    Ok(())
}

/// Returns the first error event of this process and its forked processes.
pub(crate) fn first_error() -> Option<String> {
    let mut start = [0; MAX_EVENT_BYTES];
    // `read_at` and not `read`, because the writing processes share the file's position.
    let length = ERROR_EVENTS.get()?.read_at(&mut start, 0).ok()?;
    let text = String::from_utf8_lossy(&start[..length]);
    let first = text.lines().next()?.trim();
    Some(first.strip_prefix("failed to initialize container process: ").unwrap_or(first).to_owned())
}

/// Keeps an error of this process or of a forked one. If the write fails, only the detail of the error
/// is lost.
pub(crate) fn keep(text: &str) {
    if let Some(mut file) = ERROR_EVENTS.get() {
        let _ = file.write_all(format!("{text}\n").as_bytes());
    }
}

struct Events {
    /// `Some` with `--debug`.
    log: Option<Log>,
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let least = if self.log.is_some() { Level::DEBUG } else { Level::ERROR };
        metadata.is_event() && *metadata.level() <= least
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.log.is_some() { LevelFilter::DEBUG } else { LevelFilter::ERROR })
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let text: String = text
            .0
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_EVENT_BYTES / 4)
            .collect();
        if *event.metadata().level() == Level::ERROR {
            keep(&text);
        }
        if let Some(log) = &self.log {
            // The level `error` is reserved for the line with the command's own error.
            let level = match *event.metadata().level() {
                Level::ERROR | Level::WARN => "warning",
                Level::INFO => "info",
                _ => "debug",
            };
            log.debug(level, &text);
        }
    }

    // Spans are ignored, because the text of an error event already names the place.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message of an event, then its fields as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writes to a string do not fail.
        let _ = match field.name() {
            "message" => {
                self.0.insert_str(0, &format!("{value:?} "));
                Ok(())
            }
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Events")
    }
}
