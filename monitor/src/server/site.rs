//! What the server answers: three pages, to GET and HEAD only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use crate::metrics::{self, text};
use crate::page;
use crate::server::events::{self, Body, Place};
use crate::state::State;
use crate::view::View;

pub(super) type Answer = Response<Body>;

/// How a client has reached the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// By the Unix socket. Its mode decides who may.
    Unix,
    /// By TCP. A browser sends requests there for any web site that resolves its own name to a
    /// loopback address, so the Host header must name this machine.
    Tcp,
}

#[derive(Debug)]
pub(super) struct Site {
    state: Arc<State>,
    views: watch::Receiver<Option<Arc<View>>>,
    streams: Arc<AtomicUsize>,
}

impl Site {
    pub(super) fn new(state: Arc<State>, views: watch::Receiver<Option<Arc<View>>>) -> Self {
        Self { state, views, streams: Arc::default() }
    }

    /// Whether a page is shown anywhere.
    pub(super) fn has_viewers(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    pub(super) fn answer(&self, request: &Request<Incoming>, origin: Origin) -> Answer {
        let mut answer = self.checked_answer(request, origin);
        let headers = answer.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let same_origin = HeaderValue::from_static("same-origin");
        headers.insert("cross-origin-resource-policy", same_origin);
        let nothing = HeaderValue::from_static("default-src 'none'");
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
        if request.method() == Method::HEAD {
            *answer.body_mut() = Empty::new().boxed_unsync();
        }
        answer
    }

    fn checked_answer(&self, request: &Request<Incoming>, origin: Origin) -> Answer {
        if origin == Origin::Tcp && !names_this_machine(request) {
            let why = "the Host header must be localhost or a loopback address\n";
            return refuse(StatusCode::MISDIRECTED_REQUEST, why);
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        if !request.body().is_end_stream() {
            return refuse(StatusCode::BAD_REQUEST, "a request has no body here\n");
        }
        match request.uri().path() {
            "/" => page().unwrap_or_else(|_| {
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "the kernel gave no random bytes\n")
            }),
            "/metrics" => self.metrics(),
            "/events" if request.method() == Method::GET => self.events(),
            "/events" => full("text/event-stream", String::new()),
            _ => refuse(StatusCode::NOT_FOUND, "see /, /metrics and /events\n"),
        }
    }

    fn metrics(&self) -> Answer {
        match &*self.views.borrow() {
            Some(view) => full(text::CONTENT_TYPE, metrics::render(view, &self.state)),
            None => not_yet("there was no look at the host yet\n"),
        }
    }

    fn events(&self) -> Answer {
        let Some(place) = Place::take(&self.streams) else {
            return not_yet("too many pages are open\n");
        };
        let mut answer = Response::new(events::stream(self.views.clone(), place));
        let kind = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }
}

/// Any port is allowed, because the connection may come through a forwarded port.
fn names_this_machine(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| is_loopback(&host))
}

fn is_loopback(host: &Authority) -> bool {
    let name = host.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let address = bare.parse::<std::net::IpAddr>();
    !host.as_str().contains('@')
        && (name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback()))
}

fn page() -> std::io::Result<Answer> {
    let (html, policy) = page::page()?;
    let policy = HeaderValue::try_from(policy).map_err(std::io::Error::other)?;
    let mut answer = full("text/html; charset=utf-8", html);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(answer)
}

fn full(kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Refuses a request, and ends the connection after it.
pub(super) fn refuse(status: StatusCode, why: &str) -> Answer {
    let mut answer = full("text/plain; charset=utf-8", why.to_owned());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn not_yet(why: &str) -> Answer {
    let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        let accepts = |host: &str| host.parse::<Authority>().is_ok_and(|host| is_loopback(&host));
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9808", "127.1.2.3", "[::1]:80"] {
            assert!(accepts(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "[::]",
            "a@localhost",
            "localhost@evil.example",
            "0.0.0.0",
            "[fe80::1]",
            "127.1",
        ] {
            assert!(!accepts(host), "{host}");
        }
    }
}
