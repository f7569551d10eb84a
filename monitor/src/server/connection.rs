//! One connection, within its limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

use crate::server::site::{Origin, Site};

/// The most bytes of a request's head, and its most header fields.
const MAX_HEAD: usize = 16 << 10;
const MAX_FIELDS: usize = 64;

/// The times that a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For a request, from the end of the answer before it on.
    pub(super) request: Duration,
    /// Without reading anything of an answer.
    pub(super) stalled: Duration,
    /// For the whole connection. The page then connects again.
    pub(super) all: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // A scrape takes less, and Prometheus connects again for the next one.
            request: Duration::from_secs(5),
            stalled: Duration::from_secs(20),
            all: Duration::from_secs(3600),
        }
    }
}

/// Answers the requests of a client. Errors are the client's, and end its connection only.
/// `permit`: the connection's place at its listener.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    stream: S,
    origin: Origin,
    site: Arc<Site>,
    times: Times,
    permit: OwnedSemaphorePermit,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(times.stalled));
    let service = service_fn(|request| {
        let answer = site.answer(&request, origin);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.request)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let _ = timeout(times.all, connection).await;
    drop(permit);
}
