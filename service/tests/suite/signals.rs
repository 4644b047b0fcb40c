//! What the service says of itself is true: the client's count, the metrics and the log lines of one drive agree.

pub mod drive;
mod mixed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::http::routes::ROUTES;
use service::store::Operation;
use telemetry::catalogue::{self, DbErrorType, LOG_EVENTS, METRICS, Values};

use crate::harness::client::Api;
use crate::harness::ground::Ground;
use crate::harness::process::{Process, Serving, Signal, task_api};
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp, on_both_backends};
use drive::Drive;

const SOON: Duration = Duration::from_secs(20);
const DURATION: &str = "http_server_request_duration_seconds";
/// Small requests of a drive, beside those that visit each route and each failure.
const SMALL: usize = 3000;
const CLIENTS: usize = 6;

/// The scrape once it has counted `requests`: an account is settled a moment after its client has the answer.
pub async fn settled(admin: &Api, requests: u64) -> Scrape {
    let deadline = Instant::now() + SOON;
    loop {
        let scrape = Scrape::of(admin).await;
        let counted = scrape.sum(&format!("{DURATION}_count"), &[]) as u64;
        if counted >= requests {
            assert_eq!(counted, requests, "counted more than the client sent");
            return scrape;
        }
        assert!(Instant::now() < deadline, "counted {counted} of {requests} requests");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request whose body begins and never ends, until its time is over.
pub async fn half_a_request(process: &Process, token: &str) {
    Drive::of(process).await.half(token, false).await;
}

fn canonical(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["event"] == "http_request").collect()
}

fn milliseconds(line: &Value) -> f64 {
    line["duration_ms"].as_f64().unwrap_or_else(|| panic!("no duration in {line}"))
}

on_both_backends! {
    async fn client_metrics_and_log_lines_count_the_same(backend: Backend) {
        let ground = Ground::new(backend).await;
        let mut process = ground.builder().env("REQUEST_TIMEOUT_MS", "3000").serve().await;
        let drive = Arc::new(Drive::of(&process).await);
        let ann = drive.succeed().await;
        drive.fail(&ann).await;
        let clients = (0..CLIENTS).map(|client| {
            let (drive, ann) = (Arc::clone(&drive), ann.clone());
            tokio::spawn(async move {
                for at in (client..SMALL).step_by(CLIENTS) {
                    drive.small(&ann, at).await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("every small request got its answer");
        }
        let seen = drive.seen();
        let total: u64 = seen.values().sum();
        let scrape = settled(&drive.admin, total).await;
        process.signal(Signal::TERM);
        assert!(process.wait(SOON).await.success());
        let lines = process.logs();
        let lines = canonical(&lines);
        assert_eq!(lines.len() as u64, total, "canonical lines and requests");
        let ids: BTreeSet<_> = lines.iter().map(|line| line["request_id"].as_str()).collect();
        assert_eq!(ids.len(), lines.len(), "one line for each request");
        for (status, count) in &seen {
            let label = status.to_string();
            assert_eq!(scrape.sum(&format!("{DURATION}_count"), &[("http_response_status_code", &label)]), *count as f64, "{status}");
            assert_eq!(lines.iter().filter(|line| line["status"] == *status).count() as u64, *count, "{status}");
        }
        agree(&scrape, &lines);
        for route in ROUTES {
            let (method, route, status) = (route.method, route.route, route.success.to_string());
            let labels = [("http_request_method", method), ("http_route", route), ("http_response_status_code", &*status)];
            assert!(scrape.sum(&format!("{DURATION}_count"), &labels) > 0.0, "the drive misses {labels:?}");
        }
        let expected: BTreeSet<_> = METRICS.iter().map(|metric| (metric.name.to_owned(), metric.kind.as_str().to_owned())).collect();
        assert_eq!(scrape.types(), expected, "the catalogue and the scrape");
        check_samples(&scrape);
        assert_eq!(scrape.value("http_server_active_requests"), 0.0);
        assert_eq!(scrape.value("panics_total"), 0.0);
        for (reason, count) in [("timeout", 1.0), ("body_too_large", 1.0), ("uri_too_long", 1.0), ("malformed", 2.0)] {
            assert_eq!(scrape.sum("http_server_rejected_requests_total", &[("reason", reason)]), count, "{reason}");
        }
        assert_eq!(scrape.value("tasks_created_total"), (3 + SMALL / 12) as f64);
        assert_eq!(scrape.value("tasks_completed_total"), 1.0);
        for (result, count) in [("success", 4.0), ("invalid_credentials", 1.0), ("invalid_refresh", 1.0)] {
            assert_eq!(scrape.sum("auth_attempts_total", &[("result", result)]), count, "{result}");
        }
    }

    async fn known_series_start_at_0(backend: Backend) {
        let ground = Ground::new(backend).await;
        let process = ground.builder().serve().await;
        let scrape = Scrape::of(&process.admin().await).await;
        let zero = |name: &str, labels: &[(&str, &str)]| {
            let fits = |sample: &&crate::harness::scrape::Sample| {
                sample.name == name && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
            };
            let found: Vec<_> = scrape.samples.iter().filter(fits).map(|sample| sample.value).collect();
            assert_eq!(found, [0.0], "{name} {labels:?}");
        };
        for route in ROUTES {
            for status in [route.success, 500, 503] {
                let status = status.to_string();
                let labels = [("http_request_method", route.method), ("http_route", route.route), ("http_response_status_code", &*status)];
                zero(&format!("{DURATION}_count"), &labels);
            }
        }
        for operation in Operation::NAMES {
            for error in DbErrorType::LABELS {
                zero("db_client_operation_duration_seconds_count", &[("db_operation_name", operation), ("error_type", error)]);
            }
        }
        for metric in METRICS.iter().filter(|metric| metric.kind == catalogue::Kind::Counter && metric.labels.len() == 1) {
            let Values::Closed(values) = metric.labels[0].values else { continue };
            values.iter().for_each(|value| zero(metric.name, &[(metric.labels[0].name, value)]));
        }
        // Not every pair is possible: a signal without retries is never rate limited. Each value of each label is there.
        for metric in METRICS.iter().filter(|metric| metric.kind == catalogue::Kind::Counter && metric.labels.len() > 1) {
            for label in metric.labels {
                let Values::Closed(values) = label.values else { continue };
                for value in values {
                    let has = |sample: &&crate::harness::scrape::Sample| {
                        sample.name == metric.name && sample.labels.get(label.name).is_some_and(|found| found == value)
                    };
                    let found: Vec<f64> = scrape.samples.iter().filter(has).map(|sample| sample.value).collect();
                    assert!(!found.is_empty() && found.iter().all(|value| *value == 0.0), "{} {value}: {found:?}", metric.name);
                }
            }
        }
        for name in ["tasks_created_total", "tasks_completed_total", "tasks_purged_total", "panics_total"] {
            zero(name, &[]);
        }
        check_samples(&scrape);
    }
}

/// For each method, route and status the metric has as many requests, and as much time, as the lines.
fn agree(scrape: &Scrape, lines: &[&Value]) {
    let mut by_labels = BTreeMap::<[String; 3], Vec<f64>>::new();
    for line in lines {
        let text = |field: &str| line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")).to_owned();
        let key = [text("method"), text("route"), line["status"].to_string()];
        by_labels.entry(key).or_default().push(milliseconds(line) / 1000.0);
    }
    for ([method, route, status], seconds) in &by_labels {
        let labels: [(&str, &str); 3] =
            [("http_request_method", method), ("http_route", route), ("http_response_status_code", status)];
        assert_eq!(scrape.sum(&format!("{DURATION}_count"), &labels), seconds.len() as f64, "{labels:?}");
        let (sum, logged) = (scrape.sum(&format!("{DURATION}_sum"), &labels), seconds.iter().sum::<f64>());
        // A line has microseconds.
        assert!((sum - logged).abs() <= 2e-6 * seconds.len() as f64, "{labels:?}: {sum} s and {logged} s");
        for bound in catalogue::HTTP_BUCKETS {
            let le = format!("{bound:?}");
            let counted = scrape.sum(&format!("{DURATION}_bucket"), &[labels.as_slice(), &[("le", &le)]].concat());
            let at_least = seconds.iter().filter(|seconds| **seconds < bound - 1e-6).count() as f64;
            let at_most = seconds.iter().filter(|seconds| **seconds <= bound + 1e-6).count() as f64;
            assert!((at_least..=at_most).contains(&counted), "{labels:?} le {le}: {counted}");
        }
    }
    let counted: f64 = scrape.sum(&format!("{DURATION}_count"), &[]);
    assert_eq!(counted, lines.len() as f64, "the metric has no other series with requests");
}

/// Every sample is of a metric of the catalogue, with its labels and values of their sets; their number is as exported.
pub fn check_samples(scrape: &Scrape) {
    let mut seen = BTreeSet::new();
    for sample in &scrape.samples {
        let of = |metric: &&&catalogue::Metric| {
            let rest = sample.name.strip_prefix(metric.name);
            rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        let metric = METRICS.iter().find(of).unwrap_or_else(|| panic!("{} is not in the catalogue", sample.name));
        let mut labels = sample.labels.clone();
        let bucket = labels.remove("le").is_some();
        assert_eq!(bucket, sample.name.ends_with("_bucket"), "{sample:?}");
        let names: BTreeSet<_> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, metric.labels.iter().map(|label| label.name).collect(), "{}", sample.name);
        for label in metric.labels {
            if let Values::Closed(values) = label.values {
                let value = labels[label.name].as_str();
                assert!(values.contains(&value), "{}: {value:?} is not in its set", label.name);
            }
        }
        assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "twice: {sample:?}");
    }
    assert_eq!(scrape.value("telemetry_series"), scrape.samples.len() as f64);
    assert!(scrape.value("telemetry_series") <= scrape.value("telemetry_series_max"));
}

/// The fields of a line that are its event's own; those of every line must be there.
pub fn fields_of_event(line: &Value) -> BTreeSet<String> {
    let always = ["timestamp", "level", "message", "target", "service", "version", "environment"];
    let of_request = ["trace_id", "span_id", "trace_flags", "request_id"];
    let mut fields: BTreeSet<String> =
        line.as_object().unwrap_or_else(|| panic!("not an object: {line}")).keys().cloned().collect();
    assert!(always.iter().all(|field| line[field].is_string()), "{line}");
    let present = of_request.iter().filter(|field| fields.contains(**field)).count();
    assert!(present == 0 || present == of_request.len(), "{line}");
    for field in always.iter().chain(&of_request).chain(&["event", "truncated"]) {
        fields.remove(*field);
    }
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_says_which_revision_it_is_made_of() {
    let process = task_api().serve().await;
    let scrape = Scrape::of(&process.admin().await).await;
    let build = scrape.samples.iter().find(|sample| sample.name == "build_info").expect("the build");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join(".git");
    if checkout.exists() {
        assert_ne!(build.labels["revision"], "unknown", "what was deployed cannot be told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_json_with_the_fields_that_are_documented() {
    let mut process = task_api().env("REQUEST_TIMEOUT_MS", "3000").env("DEPLOYMENT_ENVIRONMENT", "here").serve().await;
    let drive = Drive::of(&process).await;
    let ann = drive.succeed().await;
    drive.fail(&ann).await;
    drive.admin.request(reqwest::Method::PUT, "/log-level").body("text/plain", "info").await.expect(200);
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success());
    assert!(process.errors().is_empty(), "{:?}", process.errors());
    let events: BTreeMap<_, _> = LOG_EVENTS.iter().map(|event| (event.name, *event)).collect();
    for line in process.logs() {
        assert_eq!((&line["service"], &line["environment"]), (&json!("task-api"), &json!("here")));
        line["timestamp"].as_str().unwrap_or_default().parse::<jiff::Timestamp>().expect("RFC 3339");
        let name = line["event"].as_str().unwrap_or_else(|| panic!("no event: {line}"));
        let event = events.get(name).unwrap_or_else(|| panic!("{name} is not in the catalogue: {line}"));
        assert!(event.levels.iter().any(|level| line["level"] == *level), "{line}");
        let fields = fields_of_event(&line);
        let known = |field: &&str| event.fields.contains(field) || event.optional.contains(field);
        let others: Vec<_> = fields.iter().filter(|field| !known(&field.as_str())).collect();
        assert!(others.is_empty(), "{name} has undocumented {others:?}");
        assert!(
            event.fields.iter().all(|field| fields.contains(*field)),
            "{name} lacks one of {:?}: {line}",
            event.fields
        );
    }
    let lines = process.logs();
    let of_ann: Vec<_> = canonical(&lines).into_iter().filter(|line| line["user_id"] == ann.id.as_str()).collect();
    assert!(of_ann.len() > 10 && of_ann.iter().any(|line| line["db_queries"].as_u64() > Some(0)));
    assert!(canonical(&lines).iter().all(|line| line["client_address"] == "127.0.0.1"));
    assert!(
        canonical(&lines).iter().all(|line| line["db_time_ms"].as_f64() <= Some(milliseconds(line))),
        "one at a time"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_the_source_are_those_of_the_catalogue() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    // These are written by their constant, and found by its name outside the catalogue.
    let constants = [
        ("HTTP_REQUEST", catalogue::HTTP_REQUEST),
        ("LOG_LINES_DROPPED", catalogue::LOG_LINES_DROPPED),
        ("DELIVERY_FAILED", catalogue::DELIVERY_FAILED),
        ("PANICKED", catalogue::PANICKED),
        ("LOG_SHIPPER_FAILING", catalogue::LOG_SHIPPER_FAILING),
        ("LOG_SHIPPER_RECOVERED", catalogue::LOG_SHIPPER_RECOVERED),
        ("LOG_SHIPPER_REJECTED", catalogue::LOG_SHIPPER_REJECTED),
        ("LOG_SHIPPER_RETENTION_FAILED", catalogue::LOG_SHIPPER_RETENTION_FAILED),
        ("LOG_SHIPPER_STOPPED", catalogue::LOG_SHIPPER_STOPPED),
    ];
    let mut found = BTreeSet::new();
    for folder in ["service/src", "telemetry/src"] {
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a readable folder").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let text = std::fs::read_to_string(entry.path()).expect("a readable file");
                let events = text.split("event = \"").skip(1).filter(|rest| !rest.starts_with("http_request\"`"));
                found.extend(events.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
                if !entry.path().ends_with("catalogue/events.rs") {
                    let used = constants.iter().filter(|(constant, _)| text.contains(constant));
                    found.extend(used.map(|(_, event)| event.name.to_owned()));
                }
            }
        }
    }
    let listed: BTreeSet<_> = LOG_EVENTS.iter().map(|event| event.name.to_owned()).collect();
    assert_eq!(found, listed, "left: emitted; right: the catalogue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_level_changes_while_it_runs() {
    let process = task_api().serve().await;
    let (api, admin) = (process.api().await, process.admin().await);
    let set = |level: &str| admin.request(reqwest::Method::PUT, "/log-level").body("text/plain", level.to_owned());
    let logged = async |id: &str| {
        api.get("/nowhere").header("x-request-id", id).await.expect(404);
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if process.logs().iter().any(|line| line["request_id"] == id) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert_eq!(admin.get("/log-level").await.expect(200).text, "info");
    assert!(logged("at-info").await);
    assert_eq!(set("warn").await.expect(200).text, "warn");
    assert!(!logged("at-warn").await, "an INFO line at level warn");
    set("loud").await.expect(400);
    assert_eq!(admin.get("/log-level").await.expect(200).text, "warn", "a bad level leaves the good one");
    assert_eq!(set("warn,http=info").await.expect(200).text, "warn,http=info");
    assert!(logged("by-target").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_admin_listener_has_the_api_has_not() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    for path in ["/metrics", "/log-level"] {
        for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::POST] {
            ann.request(method, path).await.problem(404, "not-found");
        }
    }
    app.admin.get("/api/v1/me").await.expect(404);
    app.admin.get("/docs/").await.expect(404);
    app.admin.get("/metrics").await.expect(200);
}
