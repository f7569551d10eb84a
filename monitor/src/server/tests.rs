//! The server on real sockets, with friendly and hostile clients.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use vf::Host;

use super::connection::Times;
use super::events::MAX_STREAMS;
use super::listen::{Listener, MAX_CONNECTIONS, accept_all, bind_tcp, bind_unix};
use super::*;
use crate::invented::{self, Moment};

/// Long enough for an answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Times = Times {
    request: Duration::from_millis(500),
    stalled: Duration::from_millis(500),
    all: Duration::from_secs(600),
};

/// A server that shows an invented host, on a Unix socket and a TCP port.
struct Served {
    folder: TempDir,
    port: u16,
    views: Views,
    site: Arc<Site>,
}

impl Served {
    async fn start(times: Times) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let view = invented::view(Moment::Trouble);
        let views: Views = watch::Sender::new(Some(Arc::new(view)));
        let state = Arc::new(State::new(Host::default()));
        let site = Arc::new(Site::new(state, views.subscribe()));
        let unix = bind_unix(&folder.path().join("s")).unwrap();
        let tcp = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let Listener::Tcp(listener) = &tcp else { panic!("{tcp:?}") };
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(accept_all(unix, Arc::clone(&site), times));
        tokio::spawn(accept_all(tcp, Arc::clone(&site), times));
        Self { folder, port, views, site }
    }

    async fn unix(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("s")).await.unwrap()
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn assert_serves(&self) {
        let answer = ask(self.unix().await, &get("/metrics", "x")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("runvf_vf_info{device=\"pf0\""));
    }
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Sends a request and reads until the server closes the connection.
async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    ask_bytes(stream, request.as_bytes()).await
}

async fn ask_bytes(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the server closes the connection").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn pages_and_metrics_are_served_by_both_ways() {
    let served = Served::start(Times::default()).await;
    served.assert_serves().await;
    let mode = served.folder.path().join("s").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let answer = ask(served.tcp().await, &get("/", "localhost:1234")).await;
    assert_eq!(status(&answer), "200");
    let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
    for field in [
        "content-security-policy: default-src 'none'; script-src 'nonce-",
        "content-type: text/html; charset=utf-8",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    let head_only = get("/metrics", "localhost").replace("GET", "HEAD");
    let answer = ask(served.tcp().await, &head_only).await;
    assert!(answer.contains("text/plain; version=0.0.4") && answer.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn before_the_first_look_the_server_says_so() {
    let served = Served::start(Times::default()).await;
    served.views.send_replace(None);
    let answer = ask(served.unix().await, &get("/metrics", "x")).await;
    assert_eq!(status(&answer), "503");
    assert!(answer.to_lowercase().contains("retry-after: 5"));
}

#[tokio::test]
async fn only_requests_for_this_machine_that_change_nothing_are_answered() {
    let served = Served::start(Times::default()).await;
    for (request, expected) in [
        (get("/metrics", "evil.example"), "421"),
        (get("/metrics", "localhost").replace("Host: localhost\r\n", ""), "421"),
        ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), "421"),
        (get("/metrics", "localhost\r\nHost: evil.example"), "421"),
        (get("/../etc/passwd", "localhost"), "404"),
        (get("/metrics/", "localhost"), "404"),
        (get("/", "localhost").replace("GET", "POST"), "405"),
        (get("/", "localhost").replace("GET", "DELETE"), "405"),
        (get("/", "localhost\r\nContent-Length: 5"), "400"),
        (get("/", "localhost\r\nTransfer-Encoding: chunked"), "400"),
    ] {
        let answer = ask(served.tcp().await, &request).await;
        assert_eq!(status(&answer), expected, "{request}");
    }
    // The Unix socket has its mode instead.
    assert_eq!(status(&ask(served.unix().await, &get("/metrics", "any.example")).await), "200");
}

#[tokio::test]
async fn garbage_and_too_much_are_refused_and_harm_no_other_client() {
    let served = Served::start(Times::default()).await;
    let long_path = get(&format!("/{}", "a".repeat(1 << 20)), "localhost");
    let field = |n: usize| format!("X-{n}: {n}\r\n");
    let fields: String = (0..200).map(field).collect();
    let many_fields = get("/", &format!("localhost\r\n{fields}"));
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    for garbage in [
        long_path.into_bytes(),
        many_fields.into_bytes(),
        tls,
        vec![0; 1 << 20],
        vec![b'\n'; 100_000],
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
    ] {
        let answer = ask_bytes(served.tcp().await, &garbage).await;
        assert_ne!(status(&answer), "200", "{:?}", &garbage[..20]);
        served.assert_serves().await;
    }
}

#[tokio::test]
async fn clients_that_send_nothing_are_disconnected_and_let_others_in() {
    let served = Served::start(SHORT).await;
    let mut idle = Vec::new();
    for n in 0..MAX_CONNECTIONS {
        let mut stream = served.unix().await;
        let begun: &[u8] = if n % 2 == 0 { b"GET /metr" } else { b"" };
        stream.write_all(begun).await.unwrap();
        idle.push(stream);
    }
    // All places are taken, and free again after a short time.
    timeout(PATIENCE, served.assert_serves()).await.unwrap();
    for mut stream in idle {
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().ok();
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
    }
}

/// The next event of a stream, as its data.
async fn event(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n\r\n") {
        text.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    text.split("data: ").nth(1).unwrap().split("\n\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_gets_each_view_and_its_place_is_free_after_it() {
    let served = Served::start(Times::default()).await;
    let mut stream = served.tcp().await;
    stream.write_all(get("/events", "localhost").as_bytes()).await.unwrap();
    assert!(event(&mut stream).await.contains("\"tenant\":\"bravo\""));
    assert!(served.site.has_viewers());
    let mut view = invented::view(Moment::Calm);
    view.pfs.clear();
    served.views.send_replace(Some(Arc::new(view)));
    assert!(event(&mut stream).await.contains("\"sensors\":[]"));
    let mut others = Vec::new();
    for _ in 1..MAX_STREAMS {
        let mut other = served.unix().await;
        other.write_all(get("/events", "x").as_bytes()).await.unwrap();
        event(&mut other).await;
        others.push(other);
    }
    let one_more = ask(served.unix().await, &get("/events", "x")).await;
    assert_eq!(status(&one_more), "503");
    served.views.send_replace(Some(Arc::new(invented::view(Moment::Calm))));
    served.assert_serves().await;
    drop((stream, others));
    let all_left = async {
        while served.site.has_viewers() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all_left).await.unwrap();
}

#[tokio::test]
async fn a_page_that_never_reads_loses_its_place() {
    let served = Served::start(SHORT).await;
    let mut stalled = served.tcp().await;
    stalled.write_all(get("/events", "localhost").as_bytes()).await.unwrap();
    // Views fill the buffers of the connection, then the server waits, then it gives up.
    let fill = async {
        loop {
            served.views.send_modify(|_| {});
            sleep(Duration::from_millis(1)).await;
            if served.site.has_viewers() {
                break;
            }
        }
        while served.site.has_viewers() {
            served.views.send_modify(|_| {});
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, fill).await.expect("the place is free again");
    served.assert_serves().await;
}

#[tokio::test]
async fn the_socket_of_a_killed_monitor_is_replaced_and_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(bind_unix(&path).unwrap());
    let listener = bind_unix(&path).unwrap();
    UnixStream::connect(&path).await.unwrap();
    drop(listener);
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(names(folder.path()), 1);
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(bind_unix(&file).unwrap_err().to_string().contains("not a socket"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn the_textfile_is_replaced_as_a_whole_and_follows_no_symlink() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("runvf.prom"), folder.path().join("other"));
    std::fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, folder.path().join("runvf.prom.new")).unwrap();
    textfile::write(&path, "one 1\n").unwrap();
    textfile::write(&path, "two 2\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two 2\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(textfile::write(&folder.path().join("none/runvf.prom"), "").is_err());
}

/// The whole of [`serve`], on a host without PFs.
#[tokio::test]
async fn the_server_shows_a_host_without_pfs_and_counts_its_audit_entries() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let host = Host {
        sysfs: at("sys"),
        run: at("run"),
        config: at("config.toml"),
        audit: at("audit.jsonl"),
    };
    let config = Config { socket: at("s"), listen: None, textfile: Some(at("runvf.prom")) };
    let state = Arc::new(State::new(host));
    tokio::spawn(serve(Arc::new(config), state));
    let shown = |wanted: &'static str, path: std::path::PathBuf| async move {
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains(wanted)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, shown("runvf_claims{state=\"lost\"} 0\n", at("runvf.prom"))).await.unwrap();
    let entry = r#"{"time":"","vlan":1,"interface":"m","container":"c","event":"refused"}"#;
    std::fs::write(at("audit.jsonl"), format!("{entry}\n")).unwrap();
    let counted = async {
        loop {
            let stream = UnixStream::connect(at("s")).await.unwrap();
            if ask(stream, &get("/metrics", "x")).await.contains("runvf_refusals_total 1\n") {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
}
