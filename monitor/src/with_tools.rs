//! Tests with Debian's Prometheus and Chromium, against the server with an invented host. They run
//! in a ring of their own (`tests/run monitor`), because their programs take 1 GB.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use vf::Host;

use crate::history::POINTS;
use crate::invented::{self, Moment};
use crate::metrics::render;
use crate::server::serve_views;
use crate::state::State;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(project().join("tests/monitor/tools"));
    command.args(arguments).kill_on_drop(true);
    command
}

/// Serves an invented host by TCP; time passes faster there than here. The receiver of the returned
/// channel decides what it shows. `None`: nothing new.
async fn serve() -> (SocketAddr, watch::Sender<Option<Moment>>) {
    let (moment, shown) = watch::channel(Some(Moment::Trouble));
    let views = watch::Sender::new(None);
    let state = Arc::new(State::new(Host::default()));
    let address = serve_views(state, views.subscribe()).await;
    tokio::spawn(async move {
        for tick in POINTS as u64.. {
            let moment = *shown.borrow();
            if let Some(moment) = moment {
                views.send_replace(Some(Arc::new(invented::view_after(moment, tick))));
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    });
    (address, moment)
}

#[tokio::test]
async fn promtool_accepts_the_metrics() {
    for moment in [Moment::Calm, Moment::Trouble] {
        let text = render(&invented::view(moment), &State::new(Host::default()));
        let mut file = tempfile::NamedTempFile::new_in(project().join("target")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let input = Stdio::from(std::fs::File::open(file.path()).unwrap());
        let check = tool(&["promtool", "check", "metrics"]).stdin(input).output().await.unwrap();
        assert!(check.status.success() && check.stderr.is_empty(), "{check:?}\n{text}");
    }
}

#[tokio::test]
async fn the_alerts_fire_when_they_must() {
    for what in [["check", "runvf.rules.yml"], ["test", "runvf.tests.yml"]] {
        let file = format!("monitor/rules/{}", what[1]);
        let run = tool(&["promtool", what[0], "rules", &file]).output().await.unwrap();
        assert!(run.status.success(), "{run:?}");
    }
}

#[tokio::test]
async fn prometheus_scrapes_the_monitor_and_answers_each_query_of_the_dashboard() {
    let (address, _moment) = serve().await;
    let port = address.port().to_string();
    let run = tool(&["python3", "tests/monitor/prometheus.py", &port]).output().await.unwrap();
    let (said, failed) = (String::from_utf8_lossy(&run.stdout), run.stderr);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&failed));
    print!("{said}");
}

#[tokio::test]
async fn the_page_works_in_chromium() {
    let (address, moment) = serve().await;
    let port = address.port().to_string();
    let mut run = tool(&["python3", "tests/monitor/browser.py", &port, "/project/target"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        moment.send_replace(match line.as_str() {
            "calm" => Some(Moment::Calm),
            "trouble" => Some(Moment::Trouble),
            _ => None,
        });
    }
    assert!(run.wait().await.unwrap().success());
}
