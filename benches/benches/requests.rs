//! Whole requests in this process, from the router's first layer to the last byte of the body, on either database: with the
//! edge's `observe`, which counts, logs and gives ids, and without it.
#![expect(clippy::expect_used, reason = "a bench whose ground does not hold must not measure anything")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use service::app::{App, AppState};
use service::clock::Clock;
use service::config::Config;
use service::http::routes;
use service::store::migrate;
use testkit::postgres::Cluster;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// So many tasks are there before a page of 50 is read.
const TASKS: usize = 500;

/// One service without listeners.
struct Subject {
    state: Arc<AppState>,
    token: String,
    task_path: String,
}

impl Subject {
    async fn on(url: String) -> Self {
        let app = App::build(Config::for_tests(url), Clock::system()).await.expect("the service starts");
        let state = Arc::clone(app.state());
        let router = observed(&state);
        let user = json!({"email": "bench@example.com", "password": "correct horse battery", "name": "Bench"});
        let user = ask(&router, request(Method::POST, "/api/v1/auth/register", "", &user), StatusCode::CREATED).await;
        let token = user["access_token"].as_str().expect("a token").to_owned();
        let operations = vec![json!({"op": "create", "task": task()}); 100];
        let batch = json!({"atomic": true, "operations": operations});
        for _ in 0..TASKS / 100 {
            ask(&router, request(Method::POST, "/api/v1/tasks/batch", &token, &batch), StatusCode::OK).await;
        }
        let created = request(Method::POST, "/api/v1/tasks", &token, &task());
        let created = ask(&router, created, StatusCode::CREATED).await;
        let task_path = format!("/api/v1/tasks/{}", created["id"].as_str().expect("an id"));
        Self { state, token, task_path }
    }
}

fn task() -> Value {
    json!({"title": "A task of the usual length", "description": "Two lines that say what is to be done.", "labels": ["a", "b"]})
}

fn observed(state: &Arc<AppState>) -> Router {
    routes::router(Arc::clone(state), &[], Router::new())
}

fn request(method: Method, path: &str, token: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    request.header(header::CONTENT_TYPE, "application/json").body(body).expect("a request")
}

async fn ask(router: &Router, request: Request<Body>, status: StatusCode) -> Value {
    let response = router.clone().oneshot(request).await.expect("the router is infallible");
    assert_eq!(response.status(), status);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).unwrap_or_default()
}

async fn answer(router: Router, request: Request<Body>, status: StatusCode) {
    let response = router.oneshot(request).await.expect("the router is infallible");
    assert_eq!(response.status(), status);
    response.into_body().collect().await.expect("a body");
}

fn on_backend(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, subject: &Subject) {
    let unobserved = routes::unobserved(Arc::clone(&subject.state), &[], Router::new());
    let unobserved = unobserved.with_state(Arc::clone(&subject.state));
    let observed = observed(&subject.state);
    let cases = [
        ("GET a task", &observed, Method::GET, subject.task_path.as_str(), Value::Null, StatusCode::OK),
        ("GET a task, unobserved", &unobserved, Method::GET, &subject.task_path, Value::Null, StatusCode::OK),
        ("list 50", &observed, Method::GET, "/api/v1/tasks?limit=50", Value::Null, StatusCode::OK),
        ("create", &observed, Method::POST, "/api/v1/tasks", task(), StatusCode::CREATED),
        ("GET /health", &observed, Method::GET, "/health", Value::Null, StatusCode::OK),
        ("GET /health, unobserved", &unobserved, Method::GET, "/health", Value::Null, StatusCode::OK),
    ];
    for (name, router, method, path, body, status) in cases {
        group.bench_function(name, |bencher| {
            bencher
                .to_async(runtime)
                .iter(|| answer(router.clone(), request(method.clone(), path, &subject.token, &body), status));
        });
    }
}

fn requests(criterion: &mut Criterion) {
    // Lines are formatted and thrown away, as the hot path does it but for the pipe.
    let settings = telemetry::Settings {
        service: "task-api",
        version: "0",
        environment: "bench".to_owned(),
        format: telemetry::LogFormat::Json,
        filter: "info".to_owned(),
        cloudwatch: None,
        traces: None,
        sentry: None,
    };
    let (_telemetry, dispatch) = telemetry::build(settings, Box::new(std::io::sink())).expect("telemetry starts");
    tracing::dispatcher::set_global_default(dispatch).expect("the first in this process");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");

    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}", directory.path().join("tasks.db").display());
    let subject = runtime.block_on(Subject::on(url));
    let mut group = criterion.benchmark_group("request on SQLite");
    group.throughput(Throughput::Elements(1)).sample_size(30);
    on_backend(&mut group, &runtime, &subject);
    group.finish();

    let Some(cluster) = Cluster::get() else { return };
    let database = cluster.create_empty_database();
    let subject = runtime.block_on(async {
        migrate::run(&database.url, migrate::Command::Up).await.expect("the migrations apply");
        Subject::on(database.url.clone()).await
    });
    let mut group = criterion.benchmark_group("request on PostgreSQL");
    group.throughput(Throughput::Elements(1)).sample_size(30);
    on_backend(&mut group, &runtime, &subject);
    group.finish();
}

criterion_group! {
    name = whole_requests;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    targets = requests
}
criterion_main!(whole_requests);
