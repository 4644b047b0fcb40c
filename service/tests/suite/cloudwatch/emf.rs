//! The metrics that are shipped as log lines: valid by the rules of the embedded metric format, and equal to what was
//! counted.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use telemetry::catalogue::HTTP_BUCKETS;
use telemetry::metrics::{BuildInfo, MethodLabel, Metrics, RouteLabel, Synthetic};

use super::rig::{Rig, build, scaled, settings};
use crate::harness::aws_faults::AwsFaults;
use crate::harness::emf::check;
use crate::harness::moto::Moto;

const ROUTES: &[RouteLabel] = &[
    RouteLabel { method: "GET", route: "/api/v1/tasks", success: 200 },
    RouteLabel { method: "POST", route: "/api/v1/tasks", success: 201 },
    RouteLabel { method: "GET", route: "/api/v1/tasks/{id}", success: 200 },
];

fn metrics() -> Arc<Metrics> {
    Metrics::new(ROUTES, &[], BuildInfo { version: "1", revision: "r" })
}

fn emf_lines(moto: &Moto, group: &str) -> Vec<Value> {
    let lines = moto.events(group).into_iter().filter_map(|event| serde_json::from_str::<Value>(&event.message).ok());
    lines.filter(|line| !line["_aws"].is_null()).collect()
}

#[test]
fn each_minute_each_route_that_had_requests_is_one_valid_line() {
    let Some(moto) = Moto::get() else { return };
    let faults = AwsFaults::start(moto.address());
    let group = format!("/test/emf/{}", uuid::Uuid::now_v7().simple());
    // A minute is half a second here.
    let pace = telemetry::cloudwatch::Pace { metrics_interval: Duration::from_millis(500), ..scaled() };
    let mut cloudwatch = settings(&group, &faults, pace, None);
    cloudwatch.metrics_namespace = Some("TaskApi".into());
    let (telemetry, _dispatch) = build(cloudwatch, "info", telemetry::LogFormat::Json);
    let metrics = metrics();
    telemetry.attach(&metrics);
    let get = MethodLabel::from(&Method::GET);
    let tasks = metrics.route_index("/api/v1/tasks");
    for round in 0..3_u64 {
        for millisecond in [1, 3, 30, 150, 190, 201, 20_000] {
            metrics.http_request(get, tasks, 200, Duration::from_millis(millisecond));
        }
        metrics.http_request(MethodLabel::from(&Method::POST), tasks, 503, Duration::from_millis(7));
        // Whoever is woken by these figures is woken for users.
        for synthetic in [Synthetic::Canary, Synthetic::Load] {
            metrics.http_request_of(synthetic, get, tasks, 503, Duration::from_secs(1), None);
        }
        if round == 0 {
            metrics.http_request(get, metrics.route_index("nowhere"), 404, Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(600));
    }
    assert!(telemetry.shutdown(Duration::from_secs(20)).complete);
    let lines = emf_lines(moto, &group);
    lines.iter().for_each(|line| check(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let of = |route: &str| lines.iter().filter(|line| line["Route"] == route).cloned().collect::<Vec<Value>>();
    assert_eq!((of("unmatched").len(), of("/api/v1/tasks/{id}").len()), (1, 0), "no line without requests");
    let tasks = of("/api/v1/tasks");
    assert!((2..=4).contains(&tasks.len()), "aggregated: {} lines", tasks.len());
    let sum = |name: &str| tasks.iter().filter_map(|line| line[name].as_u64()).sum::<u64>();
    assert_eq!((sum("Requests"), sum("Faults")), (24, 3));
    let latency = |line: &Value| {
        let counts = line["Latency"]["Counts"].as_array().into_iter().flatten().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!(Some(counts), line["Requests"].as_u64(), "{line}");
        let values = line["Latency"]["Values"].as_array().cloned().unwrap_or_default();
        assert!(values.iter().filter_map(Value::as_f64).all(|value| value == 20.0 || HTTP_BUCKETS.contains(&value)));
        line["Latency"]["Sum"].as_f64().unwrap_or_default()
    };
    let seconds: f64 = tasks.iter().map(latency).sum();
    assert!((seconds - 3.0 * 20.582).abs() < 1e-6, "{seconds}");
    assert_eq!(tasks[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"], "TaskApi");
}

#[test]
fn without_a_namespace_there_are_no_metrics_in_the_logs() {
    let pace = telemetry::cloudwatch::Pace { metrics_interval: Duration::from_millis(50), ..scaled() };
    let Some(mut rig) = Rig::start("no-emf", pace, None) else { return };
    let metrics = metrics();
    rig.telemetry.attach(&metrics);
    metrics.http_request(MethodLabel::OTHER, metrics.route_index("nowhere"), 404, Duration::from_millis(1));
    rig.push(1);
    std::thread::sleep(Duration::from_millis(200));
    rig.settle_complete();
    assert_eq!(emf_lines(rig.moto, &rig.group), Vec::<Value>::new());
}

#[test]
fn the_validator_refuses_what_cloudwatch_would_drop() {
    let valid = json!({
        "_aws": { "Timestamp": 1_795_188_182_374_u64, "CloudWatchMetrics": [{
            "Namespace": "N", "Dimensions": [["A"]], "Metrics": [{ "Name": "M", "Unit": "Count" }] }] },
        "A": "a", "M": 1,
    });
    assert_eq!(check(&valid), Ok(()));
    let change = |pointer: &str, value: Value| {
        let mut changed = valid.clone();
        *changed.pointer_mut(pointer).expect("a field of the valid one") = value;
        changed
    };
    let directive = "/_aws/CloudWatchMetrics/0";
    let names = |count: usize| (0..count).map(|number| format!("d{number}")).collect::<Vec<String>>();
    for (pointer, value) in [
        ("/_aws/Timestamp".to_owned(), json!("now")),
        ("/_aws/CloudWatchMetrics".to_owned(), json!([])),
        (format!("{directive}/Namespace"), json!("")),
        (format!("{directive}/Dimensions"), json!(["A"])),
        (format!("{directive}/Dimensions"), json!([["B"]])),
        (format!("{directive}/Dimensions"), json!([names(31)])),
        (format!("{directive}/Metrics"), json!([])),
        (format!("{directive}/Metrics"), json!(vec![json!({ "Name": "M" }); 101])),
        (format!("{directive}/Metrics/0/Unit"), json!("Seconds per minute")),
        (format!("{directive}/Metrics/0/Name"), json!("Absent")),
        ("/A".to_owned(), json!(1)),
        ("/A".to_owned(), json!("")),
        ("/M".to_owned(), json!("1")),
        ("/M".to_owned(), json!(vec![1; 101])),
        ("/M".to_owned(), json!({ "Values": [1, 2], "Counts": [1] })),
        ("/M".to_owned(), json!({ "Values": vec![1; 101], "Counts": vec![1; 101] })),
    ] {
        let changed = change(&pointer, value);
        assert!(check(&changed).is_err(), "{changed}");
    }
}
