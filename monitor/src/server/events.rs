//! The page's live data, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::sync::watch;

use crate::page;
use crate::view::View;

/// The most pages that are shown at the same time, over all listeners.
pub(super) const MAX_STREAMS: usize = 16;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One of [`MAX_STREAMS`] places; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(streams: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(streams));
        let before = streams.fetch_add(1, Ordering::Relaxed);
        // Dropping the place takes the count back.
        (before < MAX_STREAMS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream of views, each with the whole history. A client that reads slowly gets the newest view
/// next and misses the ones in between, so nothing piles up for it.
pub(super) fn stream(mut views: watch::Receiver<Option<Arc<View>>>, place: Place) -> Body {
    // The view that is there already is the first event.
    views.mark_changed();
    let events = stream::unfold((views, place), |(mut views, place)| async {
        loop {
            views.changed().await.ok()?;
            let view = views.borrow_and_update().clone();
            let Some(view) = view else { continue };
            // The page connects again after a second.
            let event = format!("retry: 1000\ndata: {}\n\n", page::data(&view));
            let frame = Frame::data(Bytes::from(event));
            return Some((Ok::<_, Infallible>(frame), (views, place)));
        }
    });
    StreamBody::new(events).boxed_unsync()
}
