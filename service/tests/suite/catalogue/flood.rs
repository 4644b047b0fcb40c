//! Scenes of a service that says more than anybody takes: standard output that nobody reads, a disk that is full, a collector, a
//! Sentry and a CloudWatch that stand still.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::free_address;

use super::seen::Seen;
use crate::harness::aws_faults::{AwsFaults, Fault};
use crate::harness::client::Api;
use crate::harness::collector::{Collector, Mode};
use crate::harness::moto::Moto;
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::harness::sentry;

/// A service whose output goes where the scene says; killed when dropped.
struct Unread {
    child: Child,
    api: Api,
    admin: Api,
    _directory: tempfile::TempDir,
}

impl Unread {
    /// Starts it and waits until it serves: its log cannot tell.
    async fn start(environment: &[(&str, &str)], stdout: Stdio) -> Self {
        let (api, admin) = (free_address().to_string(), free_address().to_string());
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-api"));
        command.env_clear().env("LISTEN_ADDR", &api).env("ADMIN_ADDR", &admin).envs(environment.iter().copied());
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(stdout);
        let child = command.spawn().expect("the binary starts");
        let [api, admin] = [api, admin].map(|address| Api::new(format!("http://{address}")));
        let unread = Self { child, api, admin, _directory: directory };
        let deadline = Instant::now() + super::SOON;
        while Raw::try_connect(&unread.admin).await.is_err() {
            assert!(Instant::now() < deadline, "it does not serve");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unread
    }

    async fn until(&self, seen: &Seen, name: &str, labels: &[(&str, &str)], least: f64) {
        let deadline = Instant::now() + super::SOON;
        loop {
            let scrape = Scrape::of(&self.admin).await;
            seen.scrape(&scrape);
            if scrape.sum(name, labels) >= least {
                return;
            }
            assert!(Instant::now() < deadline, "{name} {labels:?} never {least}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks for the same path again and again, on four connections, until the metric has risen.
    async fn flood(&self, seen: &Seen, request: &str, name: &str, labels: &[(&str, &str)]) {
        let deadline = Instant::now() + super::SOON;
        loop {
            let clients = (0..4).map(|_| {
                let (api, request) = (self.api.clone(), request.to_owned());
                tokio::spawn(async move {
                    let mut raw = Raw::connect(&api).await;
                    for _ in 0..250 {
                        raw.send(&request).await;
                        raw.reply().await.expect("an answer, whoever stands still");
                    }
                })
            });
            for client in clients.collect::<Vec<_>>() {
                client.await.expect("all were answered");
            }
            let scrape = Scrape::of(&self.admin).await;
            seen.scrape(&scrape);
            if scrape.sum(name, labels) > 0.0 {
                return;
            }
            assert!(Instant::now() < deadline, "{name} {labels:?} never rises");
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe until one has this event.
fn read_until(pipe: ChildStdout, event: &'static str) -> Vec<serde_json::Value> {
    let lines = BufReader::new(pipe).lines().map_while(Result::ok);
    let mut lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    lines.find(|line| line["event"] == event).into_iter().collect()
}

/// Nobody takes anything: every queue is full, and every answer is given.
pub async fn flooded(seen: &Seen) {
    let collector = Collector::start(Mode::Hung).await;
    let sentry = sentry::Receiver::start(sentry::Mode::Hung).await;
    let faults = AwsFaults::start(Moto::get().expect("asked before").address());
    faults.rule(|_| Fault::Cut);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("SENTRY_DSN", sentry.dsn.as_str()),
        ("CLOUDWATCH_LOG_GROUP", "/test/flood"),
        ("AWS_ENDPOINT_URL", &faults.url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("RUST_LOG", "trace"),
        ("MAX_IN_FLIGHT", "1"),
        ("QUEUE_TIMEOUT_MS", "0"),
    ];
    let mut unread = Unread::start(&environment, Stdio::piped()).await;
    let dropped = "telemetry_dropped_total";
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(2000));
    unread.flood(seen, &long, dropped, &[("signal", "log"), ("reason", "queue_full")]).await;
    unread.flood(seen, &long, "log_shipper_dropped_total", &[("reason", "queue_full")]).await;
    unread.admin.request(reqwest::Method::PUT, "/log-level").body("text/plain", "error").await.expect(200);
    // A request in flight is all there may be: each other one is a 503, and Sentry's.
    let mut slow = Raw::connect(&unread.api).await;
    slow.send(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
    )
    .await;
    let short = "GET /api/v1/tasks HTTP/1.1\r\nhost: x\r\n\r\n";
    unread.flood(seen, short, "sentry_events_total", &[("result", "dropped")]).await;
    drop(slow);
    unread.flood(seen, short, dropped, &[("signal", "trace"), ("reason", "queue_full")]).await;
    // What is read at last says how much there is not to read.
    let pipe = unread.child.stdout.take().expect("a pipe");
    let told = tokio::task::spawn_blocking(|| read_until(pipe, "log_lines_dropped"));
    seen.lines(tokio::time::timeout(super::SOON, told).await.expect("in time").expect("a thread"));
    kill_process(Pid::from_child(&unread.child), Signal::KILL).expect("it takes the signal");
}

/// Every write of a line fails.
pub async fn full_disk(seen: &Seen) {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let unread = Unread::start(&[], full.into()).await;
    unread.api.get("/health").await.expect(200);
    unread.until(seen, "telemetry_dropped_total", &[("signal", "log"), ("reason", "write_failed")], 1.0).await;
}
