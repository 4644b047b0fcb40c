//! Traces, as a collector receives them from the real binary.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection};
use serde_json::json;
use telemetry::catalogue::{DATABASE_SPAN, SERVER_SPAN};

use crate::harness::client::PASSWORD;
use crate::harness::collector::{Collector, Mode, Span};
use crate::harness::process::{Builder, Process, Serving, Signal, task_api};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

/// Between the end of a request and its place in the shutdown's deadline there is nothing to wait for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(8);

fn sampled() -> String {
    format!("00-{TRACE_ID}-{PARENT_ID}-01")
}

fn process(collector: &Collector) -> Builder {
    task_api().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
}

/// Makes every look at the tasks fail: no such table.
pub fn break_tasks(process: &Process) {
    let file = process.directory.path().join("data/tasks.db");
    let mut connection = SqliteConnection::establish(&file.display().to_string()).expect("the service's database");
    diesel::sql_query("ALTER TABLE tasks RENAME TO gone").execute(&mut connection).expect("a renamed table");
}

async fn stop(process: &mut Process) -> Duration {
    let asked = Instant::now();
    process.signal(Signal::TERM);
    assert!(process.wait(SHUTDOWN_MAX).await.success(), "{}", process.output());
    asked.elapsed()
}

/// The value of a metric without labels or with exactly these.
pub async fn metric(process: &Process, series: &str) -> f64 {
    let text = process.admin().await.get("/metrics").await.expect(200).text;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

fn of_trace<'a>(spans: &'a [Span], trace_id: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.trace_id == trace_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_request_continues_its_callers_trace_down_to_the_database() {
    let collector = Collector::start(Mode::Healthy).await;
    let mut process = process(&collector)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=core,service.name=other")
        .env("OTEL_SERVICE_NAME", "tasks")
        .env("DEPLOYMENT_ENVIRONMENT", "staging")
        .serve()
        .await;
    let ann = process.api().await.register("ann").await;
    let reply = ann.post("tasks", json!({"title": "write"})).header("traceparent", sampled()).await.expect(201);
    let not_found = ann.get("tasks/00000000-0000-7000-8000-000000000000").await.expect(404);
    stop(&mut process).await;

    let spans = collector.spans();
    let ours = of_trace(&spans, TRACE_ID);
    let server = ours.iter().find(|span| span.kind == 2).expect("a server span");
    let traceparent = format!("00-{TRACE_ID}-{}-01", server.span_id);
    assert_eq!(reply.header("traceparent"), traceparent);
    assert_eq!(server.parent_span_id, PARENT_ID);
    assert_eq!((server.name.as_str(), server.status), ("POST /api/v1/tasks", 0));
    assert_eq!(server.attributes["http.response.status_code"], "201");
    assert_eq!(server.attributes["user.id"], ann.id);
    assert_eq!(server.attributes["request_id"], reply.header("x-request-id"));
    assert_eq!(server.attributes["sampling.reason"], "parent");
    let below: Vec<_> = ours.iter().filter(|span| span.kind == 3).collect();
    assert!(below.iter().any(|span| span.name == "task.create"), "{below:#?}");
    assert!(below.iter().all(|span| span.parent_span_id == server.span_id && span.duration <= server.duration));
    assert_eq!(below.len().to_string(), server.attributes["db.queries"]);
    let logged = process.logs().into_iter().find(|line| line["trace_id"] == TRACE_ID).expect("its line");
    assert_eq!(logged["span_id"], server.span_id);
    assert_eq!((&logged["service"], server.resource["service.name"].as_str()), (&json!("tasks"), "tasks"));

    for (name, value) in [("service.name", "tasks"), ("team", "core"), ("deployment.environment.name", "staging")] {
        assert_eq!(server.resource[name], value);
    }
    assert!(collector.headers().iter().all(|headers| headers["x-key"] == "a b"
        && headers["content-encoding"] == "gzip"
        && headers["content-type"] == "application/x-protobuf"));
    let trace_id = not_found.text_at("/trace_id");
    let refused = of_trace(&spans, &trace_id).into_iter().find(|span| span.kind == 2).expect("the span of the 404");
    assert_eq!((refused.status, refused.parent_span_id.as_str()), (0, ""), "a 4xx leaves the status unset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_that_are_emitted_are_those_of_the_catalogue() {
    let collector = Collector::start(Mode::Healthy).await;
    let secret = "a-secret-of-the-canary-of-at-least-32-bytes";
    let mut process = process(&collector).env("SYNTHETIC_SECRET", secret).serve().await;
    let api = process.api().await;
    let ann = api.register("ann").await;
    ann.post("tasks", json!({"title": "write"})).await.expect(201);
    api.get("/nowhere").await.expect(404);
    let login = api.post("auth/login", json!({"email": ann.email, "password": PASSWORD}));
    let login = login.header("x-synthetic-secret", secret).header("x-synthetic", "canary").await.expect(200);
    let probe = api.with_token(&login.text_at("/access_token")).get("me").header("x-synthetic", "canary");
    let probe = probe.await.expect(200).header("traceparent").split('-').nth(1).unwrap_or_default().to_owned();
    break_tasks(&process);
    ann.get("tasks").await.expect(500);
    stop(&mut process).await;
    let spans = collector.spans();
    for (definition, kind) in [(SERVER_SPAN, 2), (DATABASE_SPAN, 3)] {
        let emitted: Vec<_> = spans.iter().filter(|span| span.kind == kind).collect();
        let declared: BTreeSet<&str> = definition.attributes.iter().chain(definition.optional).copied().collect();
        let found: BTreeSet<&str> =
            emitted.iter().flat_map(|span| span.attributes.keys()).map(String::as_str).collect();
        assert_eq!(found, declared, "{}", definition.name);
        for span in emitted {
            for name in definition.attributes {
                assert!(span.attributes.contains_key(*name), "{name} is missing in {span:#?}");
            }
        }
    }
    assert!(spans.iter().all(|span| matches!(span.kind, 2 | 3)), "{spans:#?}");
    let failed = spans.iter().find(|span| span.name == "GET /api/v1/tasks").expect("the failed request");
    assert_eq!((failed.status, failed.attributes["error.type"].as_str()), (2, "500"));
    let operation = spans.iter().find(|span| span.name == "task.list").expect("the failed operation");
    assert_eq!((operation.status, operation.attributes["error.type"].as_str()), (2, "internal"));
    assert!(spans.iter().any(|span| span.name == "GET" && !span.attributes.contains_key("http.route")));
    // A canary's span and line say so; those of users have no such field.
    let marked: Vec<_> = spans.iter().filter(|span| span.attributes.contains_key("synthetic")).collect();
    assert!(marked.iter().all(|span| span.attributes["synthetic"] == "canary"), "{marked:#?}");
    let mut names: Vec<_> = marked.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /api/v1/me", "POST /api/v1/auth/login"]);
    let lines = process.logs();
    let said = |line: &&serde_json::Value| !line["synthetic"].is_null();
    let said: Vec<_> = lines.iter().filter(said).map(|line| (&line["event"], &line["synthetic"])).collect();
    assert_eq!(said, vec![(&json!("http_request"), &json!("canary")); 2]);
    let line = lines.iter().find(|line| line["event"] == "http_request" && line["trace_id"] == probe.as_str());
    assert_eq!(line.map(|line| &line["synthetic"]), Some(&json!("canary")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ratio_of_zero_keeps_failures_and_slow_requests_and_nothing_else() {
    let collector = Collector::start(Mode::Healthy).await;
    let mut process = process(&collector)
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0")
        .env("TRACE_SLOW_MS", "15")
        .serve()
        .await;
    let api = process.api().await;
    let ann = api.register("ann").await; // a password is hashed at its full cost: slow
    for _ in 0..20 {
        api.get("/health").await.expect(200);
    }
    let unsampled = format!("00-{TRACE_ID}-{PARENT_ID}-00");
    break_tasks(&process);
    let failed = ann.get("tasks").header("traceparent", &unsampled).await.expect(500);
    assert_eq!(failed.header("traceparent").split('-').nth(3), Some("00"));
    stop(&mut process).await;
    let spans = collector.spans();
    let line = |span: &Span| {
        let lines = process.logs();
        let line = lines.into_iter().find(|line| line["event"] == "http_request" && line["span_id"] == span.span_id);
        line.unwrap_or_else(|| panic!("no line for {span:#?}"))
    };
    for span in &spans {
        assert_eq!(span.kind, 2, "recorded afterwards, alone: {span:#?}");
        let line = line(span);
        let (status, took) = (line["status"].as_u64(), line["duration_ms"].as_f64().unwrap_or_default());
        let reason = if status >= Some(500) { "error" } else { "slow" };
        assert_eq!(span.attributes["sampling.reason"], reason);
        assert!(reason == "error" || took > 15.0, "{line}");
        assert!((span.duration.as_secs_f64() * 1000.0 - took).abs() < 1.0, "{line} {span:#?}");
    }
    assert!(spans.iter().any(|span| span.name == "POST /api/v1/auth/register"), "{spans:#?}");
    let kept = of_trace(&spans, TRACE_ID);
    assert_eq!((kept.len(), kept[0].parent_span_id.as_str(), kept[0].status), (1, PARENT_ID, 2));
    assert!(failed.header("traceparent").contains(&kept[0].span_id));
    let quick =
        process.logs().iter().filter(|line| line["duration_ms"].as_f64().is_some_and(|took| took < 14.0)).count();
    assert!(quick > 0 && spans.iter().filter(|span| span.name == "GET /health").count() < 20, "{quick}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_balancers_trace_id_is_adopted_and_its_silence_leaves_the_decision_to_us() {
    let collector = Collector::start(Mode::Healthy).await;
    let mut process = process(&collector).serve().await;
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
    let id = "5759e988bd862e3fe1be46a994272793";
    let api = process.api().await;
    let reply = api.get("/health").header("x-amzn-trace-id", root).await.expect(200);
    let unsampled = api.get("/health").header("x-amzn-trace-id", format!("{root};Sampled=0")).await.expect(200);
    stop(&mut process).await;
    let spans = collector.spans();
    let ours = of_trace(&spans, id);
    assert_eq!(ours.len(), 1, "{spans:#?}");
    assert_eq!((ours[0].parent_span_id.as_str(), ours[0].attributes["sampling.reason"].as_str()), ("", "ratio"));
    assert_eq!(reply.header("traceparent"), format!("00-{id}-{}-01", ours[0].span_id));
    assert!(unsampled.header("traceparent").ends_with("-00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_costs_spans_and_nothing_else_and_every_span_is_accounted_for() {
    let collector = Collector::start(Mode::Unavailable).await;
    let mut process = process(&collector).env("OTEL_EXPORTER_OTLP_TIMEOUT", "500").serve().await;
    let api = process.api().await;
    api.get("/health").await.expect(200);
    let failed = process.log("telemetry_delivery_failed").await;
    assert_eq!(failed["signal"], "trace");
    assert!(metric(&process, "telemetry_dropped_total{signal=\"trace\",reason=\"export_failed\"}").await >= 1.0);
    collector.set(Mode::Healthy);
    let reply = api.get("/health").await.expect(200);
    let id = reply.header("traceparent")[3..35].to_owned();
    collector.wait("a span after the outage", |spans| (!of_trace(spans, &id).is_empty()).then_some(())).await;
    while metric(&process, "telemetry_span_queue").await > 0.0 {
        tokio::time::sleep(Duration::from_millis(20)).await; // received, but the answer is still on its way
    }
    assert!(metric(&process, "telemetry_last_success_seconds{signal=\"trace\"}").await > 1.7e9);
    let produced = metric(&process, "telemetry_spans_total").await;
    let exported = metric(&process, "telemetry_spans_exported_total").await;
    let dropped = metric(&process, "telemetry_dropped_total{signal=\"trace\",reason=\"export_failed\"}").await;
    assert_eq!((produced, exported), (exported + dropped, collector.spans().len() as f64));
    stop(&mut process).await;
    let told = process.logs().iter().filter(|line| line["event"] == "telemetry_delivery_failed").count();
    assert_eq!(told, 1, "at most one line a minute");
    let from_libraries = process
        .logs()
        .into_iter()
        .find(|line| line["target"].as_str().is_some_and(|target| target.starts_with("opentelemetry")));
    assert_eq!(from_libraries, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_an_accepting_answer_refuses_are_counted_as_dropped() {
    let collector = Collector::start(Mode::Partial(1)).await;
    let mut process = process(&collector).serve().await;
    let api = process.api().await;
    for _ in 0..3 {
        api.get("/health").await.expect(200);
    }
    let told = process.log("telemetry_delivery_failed").await;
    assert!(told["error"].as_str().is_some_and(|error| error.contains("refused 1 spans: by the test")), "{told}");
    while metric(&process, "telemetry_span_queue").await > 0.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let batches = collector.headers().len() as f64;
    let rejected = metric(&process, "telemetry_dropped_total{signal=\"trace\",reason=\"rejected\"}").await;
    let exported = metric(&process, "telemetry_spans_exported_total").await;
    assert_eq!((rejected, exported), (batches, 3.0 - batches), "of each batch one was refused");
    assert_eq!(metric(&process, "telemetry_spans_total").await, 3.0);
    stop(&mut process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_dead_or_a_hung_collector_requests_are_served_and_the_end_comes_in_time() {
    let hung = Collector::start(Mode::Hung).await;
    for endpoint in [hung.endpoint.as_str(), "http://127.0.0.1:1"] {
        let mut process = task_api().env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).serve().await;
        let api = process.api().await;
        tokio::time::sleep(Duration::from_secs(3)).await; // until an export hangs
        let started = Instant::now();
        for _ in 0..50 {
            api.get("/health").await.expect(200);
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?} for 50 requests", started.elapsed());
        let took = stop(&mut process).await;
        assert!(took < Duration::from_secs(6), "{endpoint}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_cannot_be_used_ends_the_start_and_is_named() {
    for (variable, value) in [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("TRACE_SLOW_MS", "-1"),
    ] {
        let mut process = task_api().env(variable, value).start();
        let status = process.wait(Duration::from_secs(10)).await;
        assert_eq!(status.code(), Some(64), "{variable}\n{}", process.output());
        let errors = process.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(&format!("{variable}: got ")), "{errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_ecs_the_spans_name_the_task_and_an_agent_that_is_silent_delays_the_start_by_a_second_at_most() {
    let arn = "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123";
    let answer = axum::Json(json!({"TaskARN": arn, "Cluster": "prod", "LaunchType": "FARGATE", "DockerId": "c-1"}));
    let router = axum::Router::new().fallback(async move || answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let agent = format!("http://{}/v4/abc", listener.local_addr().expect("a bound listener"));
    tokio::spawn(crate::harness::collector::serve(listener, router));
    let collector = Collector::start(Mode::Healthy).await;
    let mut served = process(&collector).env("ECS_CONTAINER_METADATA_URI_V4", &agent).serve().await;
    served.api().await.get("/health").await.expect(200);
    stop(&mut served).await;
    let span = &collector.spans()[0];
    assert_eq!(
        (span.resource["aws.ecs.task.arn"].as_str(), span.resource["cloud.region"].as_str()),
        (arn, "eu-west-1")
    );

    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let agent = format!("http://{}/v4/abc", silent.local_addr().expect("a bound listener"));
    let started = Instant::now();
    let served = process(&collector).env("ECS_CONTAINER_METADATA_URI_V4", &agent).serve().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let line = served.log("started").await;
    assert!(line["traces"].as_str().is_some_and(|traces| traces.contains("no metadata")), "{line}");
}
