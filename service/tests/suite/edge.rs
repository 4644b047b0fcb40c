//! The edge under pressure: limits, what is no HTTP, panics. Each refusal is an answer, a count and a line.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::client::{Api, User};
use crate::harness::process::{Serving, Signal, task_api};
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp, on_both_backends};

const SOON: Duration = Duration::from_secs(20);
const HALF_OPEN: usize = 5000;

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn rejected(scrape: &Scrape, reason: &str) -> f64 {
    scrape.sum("http_server_rejected_requests_total", &[("reason", reason)])
}

/// A request to create a task of which only the first byte of the body is sent, and the rest of it.
async fn begin(api: &Api, ann: &User) -> (Raw, String) {
    let body = json!({"title": "Slow"}).to_string();
    let mut raw = Raw::connect(api).await;
    raw.send(post("/api/v1/tasks", &ann.access_token, body.len(), &body[..1])).await;
    (raw, body[1..].to_owned())
}

fn post(path: &str, token: &str, length: usize, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_half_open_connections_disturb_nobody_and_are_closed() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("more descriptors");
    assert!(
        maximum.is_none_or(|maximum| maximum > 3 * HALF_OPEN as u64),
        "this test needs {HALF_OPEN} pairs of sockets"
    );
    let app = TestApp::builder(Backend::Sqlite)
        .config(|config| config.limits.header_timeout = Duration::from_secs(8))
        .spawn()
        .await;
    let ann = app.register("ann").await;
    let mut half_open = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut stream = TcpStream::connect(app.running.api).await.expect("a connection");
        stream.write_all(b"GET /api/v1/tasks HTTP/1.1\r\nhost: ").await.expect("half a header");
        half_open.push(stream);
    }
    eventually("all are open", async || {
        Scrape::of(&app.admin).await.value("http_server_connections") >= HALF_OPEN as f64
    })
    .await;
    let started = Instant::now();
    ann.post("tasks", json!({"title": "Undisturbed"})).await.expect(201);
    ann.get("tasks").await.expect(200);
    app.api.get("/ready").await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    for stream in &mut half_open {
        let mut byte = [0];
        let read = tokio::time::timeout(SOON, stream.read(&mut byte)).await.expect("closed in time");
        assert!(matches!(read, Ok(0) | Err(_)), "an answer to half a header");
    }
    eventually("all are counted", async || {
        rejected(&Scrape::of(&app.admin).await, "header_timeout") == HALF_OPEN as f64
    })
    .await;
    assert!(Scrape::of(&app.admin).await.value("http_server_connections") < 20.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_closed_and_counted() {
    let app = TestApp::builder(Backend::Sqlite).config(|config| config.limits.max_connections = 3).spawn().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(&app.api).await;
        raw.ask("GET", "/health", "").await;
        assert_eq!(raw.reply().await.map(|reply| reply.status), Some(200));
        open.push(raw);
    }
    let mut refused = Raw::connect(&app.api).await;
    refused.ask("GET", "/health", "").await;
    assert!(refused.reply().await.is_none());
    let scrape = Scrape::of(&app.admin).await;
    assert_eq!(rejected(&scrape, "connection_limit"), 1.0);
    open[0].ask("GET", "/health", "").await;
    assert_eq!(open[0].reply().await.map(|reply| reply.status), Some(200), "those inside stay");
    open.pop();
    eventually("a place is free", async || app.api.get("/health").send().await.is_ok()).await;
}

on_both_backends! {
    async fn a_full_house_sheds_and_still_says_that_it_lives(backend: Backend) {
        let app = TestApp::builder(backend).config(|config| config.limits.max_in_flight = 2).spawn().await;
        let ann = app.register("ann").await;
        let mut inside = [begin(&app.api, &ann).await, begin(&app.api, &ann).await];
        eventually("two in flight", async || {
            Scrape::of(&app.admin).await.value("http_server_active_requests") == 2.0
        })
        .await;
        let shed = ann.get("tasks").await.problem(503, "overloaded");
        assert_eq!(shed.header("retry-after"), "1");
        for api in [&app.api, &app.admin] {
            api.get("/health").await.expect(200);
            api.get("/ready").await.expect(200);
        }
        assert_eq!(rejected(&Scrape::of(&app.admin).await, "in_flight_limit"), 1.0);
        for (raw, rest) in &mut inside {
            raw.send(&*rest).await;
            assert_eq!(raw.reply().await.map(|reply| reply.status), Some(201));
        }
        ann.get("tasks").await.expect(200);
    }

    async fn who_finds_the_house_full_waits_and_is_let_in_when_a_place_is_free(backend: Backend) {
        let configure = |config: &mut service::config::Config| {
            config.limits.max_in_flight = 1;
            config.limits.queue_timeout = Duration::from_secs(60);
        };
        let app = TestApp::builder(backend).config(configure).spawn().await;
        let ann = app.register("ann").await;
        let (mut raw, rest) = begin(&app.api, &ann).await;
        eventually("one in flight", async || {
            Scrape::of(&app.admin).await.value("http_server_active_requests") == 1.0
        })
        .await;
        let waiting = tokio::spawn({
            let ann = ann.clone();
            async move { ann.get("tasks").await }
        });
        eventually("one in flight, one waiting", async || {
            Scrape::of(&app.admin).await.value("http_server_active_requests") == 2.0
        })
        .await;
        raw.send(&*rest).await;
        assert_eq!(raw.reply().await.map(|reply| reply.status), Some(201));
        waiting.await.expect("an answer").expect(200);
        assert_eq!(rejected(&Scrape::of(&app.admin).await, "in_flight_limit"), 0.0);
    }

    async fn a_body_that_trickles_is_ended_by_the_request_timeout(backend: Backend) {
        let configure = |config: &mut service::config::Config| config.limits.request_timeout = Duration::from_millis(600);
        let app = TestApp::builder(backend).config(configure).spawn().await;
        let ann = app.register("ann").await;
        let (mut raw, rest) = begin(&app.api, &ann).await;
        let started = Instant::now();
        for byte in rest.bytes().take(10) {
            raw.send([byte]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let reply = raw.reply().await.expect("an answer");
        assert!(started.elapsed() >= Duration::from_millis(600));
        assert_eq!((reply.status, reply.header("retry-after"), reply.header("connection")), (503, "1", "close"));
        let body: Value = serde_json::from_str(&reply.body).expect("a problem document");
        assert_eq!(body["type"], "urn:task-api:problem:timeout");
        assert!(raw.reply().await.is_none(), "what is left of the body is not read as a request");
        assert_eq!(rejected(&Scrape::of(&app.admin).await, "timeout"), 1.0);
        ann.get("tasks").await.expect(200);
    }

    async fn a_panic_is_a_500_and_nothing_else_breaks(backend: Backend) {
        let app = TestApp::builder(backend).routes(panicking()).spawn().await;
        let ann = app.register("ann").await;
        // More than the pool has connections.
        for _ in 0..20 {
            let reply = app.api.get("/panics/at-once").await.problem(500, "internal");
            assert!(!reply.text.contains("planted"), "{reply}");
            app.api.get("/panics/with-a-connection").await.problem(500, "internal");
        }
        for at in 0..10 {
            ann.post("tasks", json!({"title": format!("After {at}")})).await.expect(201);
        }
        app.api.get("/ready").await.expect(200);
        let scrape = Scrape::of(&app.admin).await;
        assert_eq!(scrape.value("panics_total"), 40.0);
        let labels = [("http_response_status_code", "500"), ("http_route", "unmatched")];
        assert_eq!(scrape.sum("http_server_request_duration_seconds_count", &labels), 40.0);
        assert_eq!(scrape.value("http_server_active_requests"), 0.0);
        assert_eq!(scrape.sum("db_client_connection_count", &[("state", "used")]), 0.0);
    }
}

fn panicking() -> Router<std::sync::Arc<service::app::AppState>> {
    use axum::extract::State;
    async fn with_a_connection(State(state): State<std::sync::Arc<service::app::AppState>>) -> String {
        let is_current = state.db.is_current().await.expect("a database");
        panic!("planted: {is_current}");
    }
    async fn at_once() -> String {
        panic!("planted")
    }
    Router::new().route("/panics/at-once", get(at_once)).route("/panics/with-a-connection", get(with_a_connection))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_counts_once_and_has_one_line() {
    let mut process = task_api().serve().await;
    let (api, admin) = (process.api().await, process.admin().await);
    let mut old = Raw::connect(&api).await;
    old.ask("GET", "/health", "").await;
    assert_eq!(old.reply().await.map(|reply| reply.status), Some(200));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    // Header and URI without their end: what is left unread at the close would reset the connection before the answer.
    let huge_header = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(66_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    let sent: [(&[u8], u16); 7] = [
        (b"no HTTP at all\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (huge_header.as_bytes(), 431),
        (many_headers.as_bytes(), 431),
    ];
    for (bytes, status) in sent {
        let mut raw = Raw::connect(&api).await;
        raw.send(bytes).await;
        let reply = raw.reply().await.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(bytes)));
        assert_eq!(reply.status, status, "{:?}", String::from_utf8_lossy(bytes));
        assert!(raw.reply().await.is_none(), "closed");
    }
    old.send("no HTTP either\r\n\r\n").await;
    assert_eq!(old.reply().await.map(|reply| reply.status), Some(400));
    let total = (sent.len() + 2) as f64;
    const DURATION: &str = "http_server_request_duration_seconds";
    eventually("all are counted", async || Scrape::of(&admin).await.sum(&format!("{DURATION}_count"), &[]) >= total)
        .await;
    let scrape = Scrape::of(&admin).await;
    let count = |status| {
        let labels =
            [("http_response_status_code", status), ("http_route", "unmatched"), ("http_request_method", "_OTHER")];
        scrape.sum(&format!("{DURATION}_count"), &labels)
    };
    assert_eq!((count("400"), count("431")), (6.0, 2.0));
    assert_eq!(scrape.sum(&format!("{DURATION}_count"), &[]), total);
    assert_eq!(rejected(&scrape, "malformed"), total - 1.0);
    assert!(scrape.sum(&format!("{DURATION}_sum"), &[]) < 1.0, "the silence before a request is not its duration");
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success());
    let lines = process.logs();
    let lines: Vec<_> = lines.iter().filter(|line| line["event"] == "http_request").collect();
    assert_eq!(lines.len() as f64, total);
    let refused: Vec<_> = lines.iter().filter(|line| line["outcome"] == "rejected").collect();
    assert_eq!(refused.len() as f64, total - 1.0);
    assert!(refused.iter().all(|line| line["client_address"] == "127.0.0.1" && line["method"] == "_OTHER"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_end_of_the_body_says_that_the_connection_closes() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    for (path, token, status) in [
        ("/api/v1/tasks", "nonsense", 401),
        ("/api/v1/tasks", ann.access_token.as_str(), 413),
        ("/nowhere", "", 404),
        ("/health", "", 405),
    ] {
        let mut raw = Raw::connect(&app.api).await;
        raw.send(post(path, token, 3_000_000, "[")).await;
        let reply = raw.reply().await.expect("an answer");
        assert_eq!((reply.status, reply.header("connection")), (status, "close"), "{path}");
        assert!(raw.reply().await.is_none(), "closed as it said");
    }
    let mut raw = Raw::connect(&app.api).await;
    for _ in 0..2 {
        raw.send(post("/api/v1/tasks", "nonsense", 2, "{}")).await;
        let reply = raw.reply().await.expect("an answer");
        assert_eq!((reply.status, reply.header("connection")), (401, ""), "a small body does not cost the connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_too_much_before_it_listens_still_gets_its_413() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let body = "x".repeat(3_000_000);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked =
        post("/api/v1/tasks", &ann.access_token, 0, "").replace("content-length: 0", "transfer-encoding: chunked");
    for request in [post("/api/v1/tasks", &ann.access_token, body.len(), &body), chunked + &chunks] {
        let mut raw = Raw::connect(&app.api).await;
        raw.send(request).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(raw.reply().await.map(|reply| reply.status), Some(413));
    }
    assert_eq!(rejected(&Scrape::of(&app.admin).await, "body_too_large"), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_outlives_the_header_timeout_and_the_load_balancer() {
    assert!(service::http::serve::IDLE > Duration::from_secs(60), "the load balancer must be the first to close");
    let configure = |config: &mut service::config::Config| config.limits.header_timeout = Duration::from_millis(200);
    let app = TestApp::builder(Backend::Sqlite).config(configure).spawn().await;
    let mut raw = Raw::connect(&app.api).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        raw.ask("GET", "/health", "").await;
        assert_eq!(raw.reply().await.map(|reply| reply.status), Some(200));
    }
    raw.send("GET /health HT").await;
    assert!(raw.reply().await.is_none(), "the timeout holds on a connection that has served, too");
    assert_eq!(rejected(&Scrape::of(&app.admin).await, "header_timeout"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_no_answer_is_cut() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let mut stream = TcpStream::connect(app.running.api).await.expect("a connection");
    // More than the buffers of both ends hold.
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.repeat(30).as_bytes()).await.expect("requests");
    // Its own and that of the scrape.
    let connections = async || Scrape::of(&app.admin).await.value("http_server_connections");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(connections().await, 2.0, "it stands for a while: a slow client is not a dead one");
    eventually("it is cut", async || connections().await == 1.0).await;
    assert_eq!(rejected(&Scrape::of(&app.admin).await, "header_timeout"), 0.0, "its header came in time");
}
