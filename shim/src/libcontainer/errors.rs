//! Why libcontainer failed. Between its processes it sends only the outermost text of an error ("failed to prepare
//! rootfs"); the cause goes to its tracing events. So those of level error are kept in a file in memory that the forked
//! processes share, and the first of them, which is the innermost, is added to the error of `create` and `exec`.
//!
//! tracing-subscriber is not used: this needs none of its layers, and `--debug` shall come out in the engine's format.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
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

/// Longer events are cut: a container's config is among them.
const MAX_EVENT_BYTES: usize = 500;

pub(crate) fn install(log: &Log, debug: bool) -> Result<(), Error> {
    let memory = memfd_create(c"runvf-errors", MFdFlags::MFD_CLOEXEC)
        .map_err(Error::kernel("make a file in memory"))?;
    // Both fail only if called twice, and `main` calls once.
    let _ = ERROR_EVENTS.set(File::from(memory));
    let _ = tracing::subscriber::set_global_default(Events { log: debug.then(|| log.clone()) });
    Ok(())
}

/// The first error event so far, of this process and those it forked.
pub(crate) fn first_error() -> Option<String> {
    let mut start = [0; MAX_EVENT_BYTES];
    // Not `read`: the writers share the file's position.
    let length = ERROR_EVENTS.get()?.read_at(&mut start, 0).ok()?;
    let text = String::from_utf8_lossy(&start[..length]);
    let first = text.lines().next()?.trim();
    Some(first.strip_prefix("failed to initialize container process: ").unwrap_or(first).to_owned())
}

struct Events {
    /// With `--debug`.
    log: Option<Log>,
}

impl Events {
    fn keep(text: &str) -> io::Result<()> {
        match ERROR_EVENTS.get() {
            Some(mut file) => file.write_all(format!("{text}\n").as_bytes()),
            None => Ok(()),
        }
    }
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
            // Without it the error says less, and that is all.
            let _ = Self::keep(&text);
        }
        if let Some(log) = &self.log {
            // `error` is kept for the one line that says why the command failed.
            let level = match *event.metadata().level() {
                Level::ERROR | Level::WARN => "warning",
                Level::INFO => "info",
                _ => "debug",
            };
            log.debug(level, &text);
        }
    }

    // Spans say where, and an error's text does that here.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message, then the fields as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
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
