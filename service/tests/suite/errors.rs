//! Failures, as Sentry is told of them by the real binary.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::app::App;
use service::clock::Clock;
use service::config::Config;
use service::http::guarded::GuardLayer;
use service::http::observed::ObserveLayer;
use telemetry::errors::SentrySettings;

use crate::harness::bugsink::Bugsink;
use crate::harness::client::Api;
use crate::harness::collector::{self, Collector};
use crate::harness::process::{Process, Serving, Signal, task_api};
use crate::harness::scrape::Scrape;
use crate::harness::sentry::{Mode, Receiver};
use crate::harness::sqlite;
use crate::traces::{break_tasks, metric};

/// The process that panics is told by it where to.
const DSN_VARIABLE: &str = "TEST_PANICS_TO";

async fn stop(process: &mut Process) {
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(8)).await.success(), "{}", process.output());
}

/// Waits until `sentry_events_total` of this result is `count`.
async fn counted(process: &Process, result: &str, count: f64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let series = format!("sentry_events_total{{result=\"{result}\"}}");
    loop {
        let now = metric(process, &series).await;
        if now >= count {
            assert!(now == count, "{series} is {now}, not {count}");
            return;
        }
        assert!(Instant::now() < deadline, "{series} is {now}, not {count}\n{}", process.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Events so far, each of which was sent, was given up or waits.
async fn accounted(process: &Process) -> f64 {
    let scrape = Scrape::of(&process.admin().await).await;
    let ended = scrape.sum("sentry_events_total", &[]);
    let produced = scrape.value("telemetry_errors_total");
    assert_eq!(produced, ended + scrape.value("telemetry_error_queue"), "{}", scrape.text);
    produced
}

/// The only exemplar among the buckets with these labels, once there is one, and the text of the metrics then.
async fn exemplar_of(process: &Process, labels: &str) -> (String, String) {
    let admin = process.admin().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let scrape = admin.get("/metrics").header("accept", "application/openmetrics-text").await.expect(200).text;
        let buckets = scrape.lines().filter(|line| line.contains(labels));
        let found: Vec<&str> = buckets.filter_map(|line| Some(line.split_once(" # ")?.1)).collect();
        if let [exemplar] = found.as_slice() {
            return ((*exemplar).to_owned(), admin.get("/metrics").await.expect(200).text);
        }
        assert!(found.is_empty() && Instant::now() < deadline, "one exemplar of {labels}, not {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failing_request_is_the_same_in_its_answer_its_line_its_span_its_event_and_its_exemplar() {
    let Some(bugsink) = Bugsink::start().await else { return };
    let collector = Collector::start(collector::Mode::Healthy).await;
    let mut process = task_api()
        .env("SENTRY_DSN", &bugsink.dsn)
        .env("DEPLOYMENT_ENVIRONMENT", "staging")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_TRACES_SAMPLER", "always_off")
        .serve()
        .await;
    let ann = process.api().await.register("ann").await;
    ann.get("tasks?limit=0").await.expect(400);
    break_tasks(&process);
    let reply = ann.get("tasks?q=harvest").header("user-agent", "tests/1").await.problem(500, "internal");
    let (exemplar, metrics) = exemplar_of(&process, "http_response_status_code=\"500\"").await;
    stop(&mut process).await;

    let (trace_id, request_id) = (reply.text_at("/trace_id"), reply.text_at("/request_id"));
    let traceparent: Vec<&str> = reply.header("traceparent").split('-').collect();
    assert_eq!((traceparent[1], traceparent[3]), (trace_id.as_str(), "00"));
    let span_id = traceparent[2];

    let lines = process.logs();
    let of_request: Vec<&Value> = lines.iter().filter(|line| line["trace_id"] == trace_id.as_str()).collect();
    assert!(of_request.iter().all(|line| line["request_id"] == request_id.as_str() && line["span_id"] == span_id));
    let line = of_request.iter().find(|line| line["event"] == "http_request").expect("a canonical line");
    assert_eq!((line["status"].as_u64(), line["level"].as_str()), (Some(500), Some("ERROR")));
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("no such table")), "{line}");
    let at_error = lines.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(at_error, 1, "a failure is one line at ERROR: {}", process.output());
    let line_ms = line["duration_ms"].as_f64().expect("a duration");

    let spans = collector.spans();
    let span = spans.iter().find(|span| span.trace_id == trace_id).expect("kept although the sampler is off");
    assert_eq!((span.span_id.as_str(), span.status), (span_id, 2));
    assert_eq!(span.attributes["request_id"], request_id);
    let span_ms = span.duration.as_secs_f64() * 1000.0;
    assert!((span_ms - line_ms).abs() < 1.0, "{span_ms} {line_ms}");

    let events = bugsink.events(1).await;
    assert_eq!(events.len(), 1, "one event for the 500, none for the 400: {events:#?}");
    let event = &events[0];
    assert_eq!(event["tags"]["trace_id"], trace_id);
    assert_eq!(event["tags"]["request_id"], request_id);
    assert_eq!(event["tags"]["route"], "/api/v1/tasks");
    assert_eq!(event["tags"]["method"], "GET");
    assert_eq!(event["contexts"]["trace"]["trace_id"], trace_id);
    assert_eq!(event["contexts"]["trace"]["span_id"], span_id);
    assert_eq!(event["environment"], "staging");
    assert!(event["release"].as_str().is_some_and(|release| release.starts_with("task-api@")), "{event:#}");
    assert_eq!(event["request"], json!({"method": "GET", "headers": {"accept": "*/*", "user-agent": "tests/1"}}));
    assert!(event.to_string().contains("no such table"), "{event:#}");
    assert!(!event.to_string().contains("harvest"), "{event:#}");
    let event_ms = event["extra"]["duration_ms"].as_f64().expect("a duration");
    assert!((event_ms - line_ms).abs() < 1.0, "{event_ms} {line_ms}");

    let sum = "http_server_request_duration_seconds_sum{http_request_method=\"GET\",http_route=\"/api/v1/tasks\",\
               http_response_status_code=\"500\",synthetic=\"none\"} ";
    let metric = metrics.lines().find_map(|line| line.strip_prefix(sum)?.parse::<f64>().ok()).expect("its series");
    assert!((metric * 1000.0 - line_ms).abs() < 1.0, "{metric} {line_ms}");

    let ids = format!("{{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} ");
    let exemplar = exemplar.strip_prefix(&ids).unwrap_or_else(|| panic!("{exemplar} is not of {ids}"));
    let (seconds, at) = exemplar.split_once(' ').expect("a value and a time");
    let exemplar_ms = seconds.parse::<f64>().expect("a value") * 1000.0;
    assert!((exemplar_ms - line_ms).abs() < 1.0, "{exemplar_ms} {line_ms}");
    let at = jiff::Timestamp::from_millisecond((at.parse::<f64>().expect("a time") * 1000.0) as i64).expect("a time");
    let logged_at: jiff::Timestamp = line["timestamp"].as_str().unwrap_or_default().parse().expect("RFC 3339");
    assert!(at.duration_since(logged_at).abs() < jiff::SignedDuration::from_secs(1), "{at} {logged_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_counts_once_whatever_sentry_does_and_the_end_comes_in_time() {
    let receiver = Receiver::start(Mode::Healthy).await;
    let mut process = task_api().env("SENTRY_DSN", &receiver.dsn).serve().await;
    let api = process.api().await;
    let ann = api.register("ann").await;
    let errors = process.log("started").await["errors"].as_str().unwrap_or_default().to_owned();
    assert!(errors.contains("Sentry at 127.0.0.1") && !errors.contains("s3cr3t"), "{errors}");
    api.get("/nowhere").await.expect(404);
    api.post("auth/login", json!({"email": ann.email, "password": "wrong horse battery"})).await.expect(401);
    break_tasks(&process);
    ann.get("tasks").await.expect(500);
    counted(&process, "sent", 1.0).await;
    receiver.set(Mode::Broken);
    ann.get("tasks").await.expect(500);
    counted(&process, "failed", 1.0).await;
    receiver.set(Mode::Throttling);
    for _ in 0..5 {
        ann.get("tasks").await.expect(500);
    }
    counted(&process, "rate_limited", 5.0).await;
    assert_eq!((receiver.events().len(), receiver.asked()), (1, 3), "a pause is kept");
    assert_eq!(accounted(&process).await, 7.0);
    stop(&mut process).await;
    let told = process.logs().iter().filter(|line| line["event"] == "telemetry_delivery_failed").count();
    assert_eq!(told, 1, "at most one line a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentry_that_hangs_or_is_dead_costs_events_and_nothing_else() {
    let hung = Receiver::start(Mode::Hung).await;
    for dsn in [hung.dsn.as_str(), "http://key@127.0.0.1:1/1"] {
        let mut process = task_api().env("SENTRY_DSN", dsn).serve().await;
        let ann = process.api().await.register("ann").await;
        break_tasks(&process);
        let started = Instant::now();
        for _ in 0..200 {
            ann.get("tasks").await.expect(500);
        }
        assert!(started.elapsed() < Duration::from_secs(6), "{:?} for 200 requests", started.elapsed());
        let mut lost = 0.0;
        for result in ["sent", "failed", "dropped", "rate_limited"] {
            lost += metric(&process, &format!("sentry_events_total{{result=\"{result}\"}}")).await;
        }
        assert!(lost >= 200.0 - 128.0, "the queue is bounded: {lost}");
        assert_eq!(accounted(&process).await, 200.0);
        let asked = Instant::now();
        stop(&mut process).await;
        assert!(asked.elapsed() < Duration::from_secs(4), "{dsn}: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dsn_that_is_none_ends_the_start_and_is_named_but_not_repeated() {
    let mut process = task_api().env("SENTRY_DSN", "https://s3cr3t.example.com/1").start();
    let status = process.wait(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(64), "{}", process.output());
    let errors = process.errors();
    assert!(errors.len() == 1 && errors[0].contains("SENTRY_DSN: got ") && !errors[0].contains("s3cr3t"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_one_line_with_its_place_and_one_event_with_its_stack_and_no_text_of_users() {
    let receiver = Receiver::start(Mode::Healthy).await;
    let mut child = panicking_process(&receiver.dsn);
    let output =
        tokio::task::spawn_blocking(move || child.output()).await.expect("a thread").expect("this test starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(!stdout.contains("ann@example.com") && !stderr.contains("ann@example.com"), "{stdout}{stderr}");
    let lines: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let panics: Vec<&Value> = lines.iter().filter(|line| line["event"] == "panicked").collect();
    let events = receiver.events();
    assert_eq!((panics.len(), events.len()), (2, 2), "{stdout}");
    let of_request = panics.iter().find(|line| line["request_id"].is_string()).expect("a panic with its request");
    let event = events.iter().find(|event| event["tags"]["request_id"].is_string()).expect("an event with its request");
    for (tag, field) in [("trace_id", "trace_id"), ("request_id", "request_id"), ("location", "location")] {
        assert_eq!(event["tags"][tag], of_request[field]);
    }
    assert!(of_request["location"].as_str().is_some_and(|place| place.contains("errors.rs:")), "{of_request}");
    assert_eq!((&event["tags"]["outcome"], &event["tags"]["status"]), (&json!("panicked"), &json!("500")));
    let exception = &event["exception"]["values"][0];
    assert_eq!((&exception["type"], &exception["value"]), (&json!("panic"), &json!("no such user: [redacted]")));
    let frames = exception["stacktrace"]["frames"].to_string();
    assert!(frames.contains("errors.rs") && frames.contains("boom"), "{frames}");
    let canonical: Vec<_> =
        lines.iter().filter(|line| line["event"] == "http_request" && line["outcome"] == "panicked").collect();
    assert_eq!(canonical.len(), 1, "{stdout}");
    let place = of_request["location"].as_str().unwrap_or_default();
    let says = |line: &Value| line["cause"].as_str().is_some_and(|cause| cause.contains(place));
    assert!(canonical[0]["level"] == "ERROR" && says(canonical[0]), "{stdout}");
    let mut at_error = lines.iter().filter(|line| line["level"] == "ERROR");
    assert!(
        at_error.all(|line| line == canonical[0] || line["request_id"].is_null()),
        "one for each failure: {stdout}"
    );
}

/// A service with a handler that panics, and a task that does: it logs to its standard output.
pub fn panicking_process(dsn: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--ignored", "--exact", "--nocapture", "errors::panics_in_a_process_of_its_own"]);
    child.env(DSN_VARIABLE, dsn);
    child
}

async fn boom() -> &'static str {
    panic!("no such user: {}", "ann@example.com")
}

/// The panic hook is the process's: this runs alone, and its log goes to its standard output.
#[test]
#[ignore = "started by the test above"]
fn panics_in_a_process_of_its_own() {
    let dsn = std::env::var(DSN_VARIABLE).expect("started by the test above");
    let settings = telemetry::Settings {
        service: "task-api",
        version: "0",
        environment: "test".into(),
        format: telemetry::LogFormat::Json,
        filter: "info".into(),
        cloudwatch: None,
        traces: None,
        sentry: Some(SentrySettings::parse(&dsn, "task-api@0").expect("a DSN")),
    };
    let telemetry = telemetry::init(settings).expect("telemetry");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = sqlite::Fresh::new();
        let config = Config::for_tests(file.url.clone());
        let app = App::build_with_telemetry(config, Clock::system(), Some(telemetry.handles())).await.expect("an app");
        let state = app.state();
        let router = axum::Router::new()
            .route("/boom", axum::routing::get(boom))
            .layer((ObserveLayer(Arc::clone(state)), GuardLayer(Arc::clone(state))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let api = Api::new(format!("http://{}", listener.local_addr().expect("a bound listener")));
        tokio::spawn(collector::serve(listener, router));
        api.get("/boom").await.problem(500, "internal");
        let outside = tokio::spawn(async { boom().await });
        assert!(outside.await.is_err());
    });
    let report = telemetry.shutdown(Duration::from_secs(10));
    assert!(report.complete, "{report:?}");
}
