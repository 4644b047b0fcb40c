//! What `benches::instructions` counts, under callgrind: whole requests through the router, from its first layer to the last
//! byte of the body, with all that is on in production. Callgrind dumps its counts at each [`mark`], so that
//! neither the set-up nor the making of the requests is in them.
//!
//! All that can stand still does: the clock, the data, the ids of the tasks that are read.
#![expect(clippy::expect_used, reason = "what does not stand on its ground must not be counted")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use clap::Parser;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service::app::{App, AppState};
use service::clock::Clock;
use service::config::Config;
use service::http::edge::Arrival;
use service::http::routes;
use service::store::migrate;
use telemetry::traces::{Sampler, TraceSettings};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// So many tasks are there before anything is counted.
const TASKS: usize = 500;
/// A limit that is looked at and never reached.
const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// The sampler decides by the last digits, and does not take this one: spans leave on a thread of their own whenever their time
/// has come, and that would make the counts flicker.
const TRACE: &str = "Root=1-6956653f-00000000ffffffffffffffff";

/// Makes requests for callgrind to count; nothing else is printed than what goes wrong.
#[derive(Debug, Parser)]
struct Args {
    /// The database: a new file of SQLite, or an empty database of PostgreSQL
    #[arg(long)]
    database_url: String,
    /// Requests that are counted, of each kind
    #[arg(long)]
    requests: usize,
}

/// Callgrind dumps its counts whenever this is called.
#[inline(never)]
fn mark(what: &str) {
    std::hint::black_box(what);
}

fn main() {
    let args = Args::parse();
    // One worker, which is this thread, and one thread for what blocks: how work is shared among more depends on the moment.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (telemetry, dispatch) = telemetry::build(settings(), Box::new(std::io::sink())).expect("telemetry starts");
    tracing::dispatcher::set_global_default(dispatch).expect("the first in this process");
    let subject = runtime.block_on(Subject::start(&args.database_url, &telemetry));
    let task = format!("/api/v1/tasks/{}", id(TASKS / 2));
    let body = json!({"title": "A task of the usual length", "labels": ["a", "b"],
        "description": "Two lines that say what is to be done."});
    let kinds = [
        (Method::GET, task.as_str(), Value::Null, StatusCode::OK),
        (Method::GET, "/api/v1/tasks?limit=50", Value::Null, StatusCode::OK),
        (Method::POST, "/api/v1/tasks", body, StatusCode::CREATED),
    ];
    for (method, path, body, status) in kinds {
        let make = |_| subject.request(&method, path, &body);
        // Statements are prepared, caches and buffers filled.
        run(&runtime, &subject.router, (0..args.requests / 4).map(make).collect(), status);
        let requests: Vec<_> = (0..args.requests).map(make).collect();
        // SQLite folds its log into its file after each thousand pages: every run is to meet that at the same requests.
        runtime.block_on(subject.state.db.checkpoint()).expect("the log is folded");
        mark("begin");
        run(&runtime, &subject.router, requests, status);
        mark("end");
    }
}

fn run(runtime: &Runtime, router: &Router, requests: Vec<Request<Body>>, status: StatusCode) {
    runtime.block_on(async {
        for request in requests {
            let response = router.clone().oneshot(request).await.expect("the router is infallible");
            assert_eq!(response.status(), status);
            response.into_body().collect().await.expect("a body");
        }
    });
}

/// JSON lines to nowhere, traces of 5 % to a collector that is never called.
fn settings() -> telemetry::Settings {
    let traces = TraceSettings {
        endpoint: "http://127.0.0.1:9/v1/traces".to_owned(),
        headers: Vec::new(),
        timeout: Duration::from_secs(1),
        sampler: Sampler::parse(Some("parentbased_traceidratio"), Some("0.05")).expect("a sampler"),
        // Under callgrind all requests are slow.
        slow: Duration::from_secs(3600),
        service_name: "task-api".to_owned(),
        resource_attributes: Vec::new(),
        ecs_metadata_uri: None,
    };
    telemetry::Settings {
        service: "task-api",
        version: "0",
        environment: "counted".to_owned(),
        format: telemetry::LogFormat::Json,
        filter: "info".to_owned(),
        cloudwatch: None,
        traces: Some(traces),
        sentry: None,
    }
}

/// The id of a task, the same in each run. Its digits are those of a UUIDv7.
fn id(number: usize) -> String {
    format!("0199a0b0-c0d0-7000-8000-{number:012x}")
}

/// One service without listeners, its user's token, its tasks.
struct Subject {
    state: Arc<AppState>,
    router: Router,
    token: String,
}

impl Subject {
    async fn start(database_url: &str, telemetry: &telemetry::Telemetry) -> Self {
        let mut config = Config::for_tests(database_url.to_owned());
        config.limits.rate_limit_per_second = REQUESTS_PER_SECOND_MAX;
        config.limits.request_timeout = Duration::from_secs(3600);
        // As many as are needed for one request after the other.
        config.database.pool_size = 1;
        if !config.database.auto_migrate {
            migrate::run(database_url, migrate::Command::Up).await.expect("the migrations apply");
        }
        let clock = Clock::manual("2026-01-01T12:00:00Z".parse().expect("a time"));
        let app = App::build_with_telemetry(config, clock, Some(telemetry.handles())).await;
        let app = app.expect("the service starts");
        let state = Arc::clone(app.state());
        let router = routes::router(Arc::clone(&state), &[], Router::new());
        let mut subject = Self { state, router, token: String::new() };
        let user = json!({"email": "counted@example.com", "password": "correct horse battery", "name": "Counted"});
        let user = subject.ask("/api/v1/auth/register", &user).await;
        user["access_token"].as_str().expect("a token").clone_into(&mut subject.token);
        for first in (0..TASKS).step_by(100) {
            let create = |number| {
                json!({"op": "create", "task": {"id": id(number), "title": format!("Task {number}"),
                    "description": "Two lines that say what is to be done.", "labels": ["a", "b"]}})
            };
            let operations: Vec<_> = (first..first + 100).map(create).collect();
            subject.ask("/api/v1/tasks/batch", &json!({"atomic": true, "operations": operations})).await;
        }
        subject
    }

    /// As it comes from a load balancer, which leaves it to the service whether a trace is recorded.
    fn request(&self, method: &Method, path: &str, body: &Value) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header("x-amzn-trace-id", TRACE);
        if !body.is_null() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        request.extension(Arrival::from(IpAddr::V4(Ipv4Addr::LOCALHOST))).body(body).expect("a request")
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let request = self.request(&Method::POST, path, body);
        let response = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let status = response.status();
        let answer = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap_or_default()
    }
}
