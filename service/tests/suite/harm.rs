//! Telemetry never harms: with a collector, a CloudWatch and a Sentry that are all dead, or all slow, the service starts, serves,
//! holds no more memory than its bounds, and ends in time. A few seconds here; `benches` does the same for minutes at full rate.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::client::Api;
use crate::harness::collector;
use crate::harness::process::{Builder, Process, Serving, Signal, task_api};
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::traces::{break_tasks, metric};

/// What each of the slow backends takes for an answer.
const SLOW: Duration = Duration::from_secs(5);
/// The default of the grace, in which all has to be over.
const STOP_MAX: Duration = Duration::from_secs(25);
const CLIENTS: usize = 4;
/// With lines of a kilobyte, more than every queue holds.
const REQUESTS: usize = 10_000;
/// What the queues may take, twice over for a debug build: lines for CloudWatch, 8192 spans and 128 events for Sentry; standard
/// output is read. A release build is held to 32 MiB by `harm endurance` in `benches`.
const GROWTH_MAX: f64 = 64.0 * 1024.0 * 1024.0;

fn builder(otlp: &str, aws: &str, sentry: &str) -> Builder {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp),
        ("CLOUDWATCH_LOG_GROUP", "/test/harm"),
        ("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi"),
        ("AWS_ENDPOINT_URL", aws),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("SENTRY_DSN", sentry),
    ];
    environment.into_iter().fold(task_api(), |builder, (name, value)| builder.env(name, value))
}

async fn serve(otlp: &str, aws: &str, sentry: &str) -> Process {
    builder(otlp, aws, sentry).serve().await
}

/// Many requests with long lines, each answered as it should be.
async fn drive(api: &Api, status: u16, path: &str, headers: &str, requests: usize) {
    let clients = (0..CLIENTS).map(|_| {
        let (api, path, headers) = (api.clone(), path.to_owned(), headers.to_owned());
        tokio::spawn(async move {
            let mut raw = Raw::connect(&api).await;
            for _ in 0..requests / CLIENTS {
                raw.ask("GET", &path, &headers).await;
                assert_eq!(raw.reply().await.expect("an answer").status, status);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("all were answered");
    }
}

/// What a client may expect whatever becomes of the telemetry.
async fn is_unharmed(mut process: Process) -> Process {
    let (api, admin) = (process.api().await, process.admin().await);
    let ann = api.register("ann").await;
    let path = format!("/nowhere/{}", "x".repeat(490));
    drive(&api, 404, &path, "", 200).await;
    let before = metric(&process, "process_resident_memory_bytes").await;
    drive(&api, 404, &path, "", REQUESTS).await;
    let token = format!("authorization: Bearer {}\r\n", ann.access_token);
    drive(&api, 200, "/api/v1/tasks", &token, 400).await;
    break_tasks(&process);
    drive(&api, 500, "/api/v1/tasks", &token, 400).await;
    let growth = metric(&process, "process_resident_memory_bytes").await - before;
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
    admin.get("/ready").await.expect(200);
    let scrape = Scrape::of(&admin).await;
    let parts = ["delivered_total", "rejected_total", "dropped_total", "spooled_lines", "queued_lines"];
    let sum: f64 = parts.iter().map(|name| scrape.sum(&format!("log_shipper_{name}"), &[])).sum();
    assert_eq!(scrape.value("log_shipper_produced_total"), sum, "every line is somewhere");
    let requests = scrape.sum("http_server_request_duration_seconds_count", &[]);
    assert!(sum > REQUESTS as f64 && requests > REQUESTS as f64);
    process.signal(Signal::TERM);
    assert!(process.wait(STOP_MAX).await.success(), "it ends well");
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_backends_do_not_harm() {
    // Free a moment ago, and never listened at: connections are refused.
    let dead = testkit::free_address();
    let (url, dsn) = (format!("http://{dead}"), format!("http://key@{dead}/1"));
    let process = is_unharmed(serve(&url, &url, &dsn).await).await;
    let told = |event: &str| process.logs().iter().any(|line| line["event"] == event);
    assert!(told("telemetry_delivery_failed") && told("log_shipper_stopped"), "and it says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_that_take_five_seconds_do_not_harm() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let slow = listener.local_addr().expect("a bound listener");
    let late = || async {
        tokio::time::sleep(SLOW).await;
        "{}"
    };
    let router = axum::Router::new().fallback(late).layer(axum::extract::DefaultBodyLimit::disable());
    tokio::spawn(collector::serve(listener, router));
    let (url, dsn) = (format!("http://{slow}"), format!("http://key@{slow}/1"));
    is_unharmed(serve(&url, &url, &dsn).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_request_and_backends_that_never_answer_do_not_outlast_the_grace() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let hung = listener.local_addr().expect("a bound listener");
    tokio::spawn(collector::serve(listener, axum::Router::new().fallback(std::future::pending::<&str>)));
    let (url, dsn) = (format!("http://{hung}"), format!("http://key@{hung}/1"));
    for (grace, drain) in [(5000, 0), (5000, 1000)] {
        let builder = builder(&url, &url, &dsn).env("SHUTDOWN_GRACE_MS", grace.to_string());
        let mut process = builder.env("DRAIN_DELAY_MS", drain.to_string()).serve().await;
        let api = process.api().await;
        let ann = api.register("ann").await;
        let mut stuck = Raw::connect(&api).await;
        let token = &ann.access_token;
        let head = format!("POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
        stuck.send(format!("{head}content-type: application/json\r\ncontent-length: 99\r\n\r\n{{")).await;
        break_tasks(&process);
        ann.get("tasks").await.expect(500);
        let asked = Instant::now();
        process.signal(Signal::TERM);
        assert!(process.wait(STOP_MAX).await.success(), "{}", process.output());
        let took = asked.elapsed();
        assert!(took < Duration::from_millis(grace), "{took:?} of {grace} ms, {drain} ms of them drained");
        let lines = process.logs();
        assert_eq!(lines.last().map(|line| &line["event"]), Some(&Value::from("log_shipper_stopped")), "{lines:#?}");
        let cut = lines.iter().find(|line| line["event"] == "stopped").expect("it says that it has stopped");
        assert_eq!(cut["connections_cut"], 1);
        let lost = |line: &&Value| line["event"] == "http_request" && line["outcome"] == "abandoned";
        assert_eq!(lines.iter().filter(lost).count(), 1, "cut, and yet it has its line");
    }
}
