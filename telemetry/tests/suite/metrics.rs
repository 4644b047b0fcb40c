//! The exposition: what is there from the start, what counts where, and that it cannot grow without bound.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    thread,
    time::Duration,
};

use http::Method;
use proptest::prelude::*;
use telemetry::{
    catalogue::{self, METHODS, METRICS, STATUSES, Values},
    metrics::{AuthResult, BuildInfo, DbErrorType, MethodLabel, Metrics, PoolState, Rejection, RouteIndex, RouteLabel},
};
use tracing::dispatcher::with_default;

use crate::support::{DEADLINE, Outcome, Output, now_seconds, start};

const ROUTES: &[RouteLabel] = &[
    RouteLabel { method: "GET", route: "/api/v1/tasks", success: 200 },
    RouteLabel { method: "POST", route: "/api/v1/tasks", success: 201 },
    RouteLabel { method: "DELETE", route: "/api/v1/tasks/{id}", success: 204 },
];
const OPERATIONS: &[&str] = &["list_tasks", "create_task"];

fn metrics() -> Arc<Metrics> {
    Metrics::new(ROUTES, OPERATIONS, BuildInfo { version: "1.2.3", revision: "abc" })
}

/// Sample lines by name with labels.
fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.render();
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { panic!("not a sample: {line}") };
        let Ok(value) = value.parse() else { panic!("not a number: {line}") };
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
    }
    samples
}

fn request_count(method: &str, route: &str, status: u16) -> String {
    format!(
        "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",http_route=\"{route}\",\
         http_response_status_code=\"{status}\",synthetic=\"none\"}}"
    )
}

#[test]
fn known_series_start_at_zero() {
    let samples = samples(&metrics());
    for route in ROUTES {
        for status in [route.success, 500, 503] {
            let series = request_count(route.method, route.route, status);
            assert_eq!(samples.get(&series), Some(&0.0), "{series}");
        }
    }
    assert_eq!(samples.get(&request_count("GET", "unmatched", 404)), Some(&0.0));
    for metric in METRICS.iter().filter(|metric| metric.name != "http_server_request_duration_seconds") {
        let closed: usize = metric
            .labels
            .iter()
            .map(|label| match label.values {
                Values::Closed(values) => values.len(),
                Values::Bounded { .. } if label.name == "db_operation_name" => OPERATIONS.len(),
                Values::Bounded { .. } => 1,
            })
            .product();
        let of_metric = samples.iter().filter(|(series, _)| {
            let name = series.split('{').next().unwrap_or_default();
            name == metric.name || name.strip_suffix("_count") == Some(metric.name)
        });
        let values: Vec<f64> = of_metric.map(|(_, value)| *value).collect();
        assert_eq!(values.len(), closed, "{} exposes all combinations from the start", metric.name);
        let moving = metric.name.starts_with("process_")
            || metric.name.starts_with("telemetry_series")
            || metric.name == "build_info";
        assert!(moving || values.iter().all(|value| *value == 0.0), "{}", metric.name);
    }
}

#[test]
fn what_is_exposed_is_what_the_catalogue_says_with_type_help_and_labels() {
    let metrics = metrics();
    let text = metrics.render();
    let declared: HashSet<String> =
        METRICS.iter().map(|metric| format!("# TYPE {} {}", metric.name, metric.kind.as_str())).collect();
    let exposed: HashSet<String> = text.lines().filter(|line| line.starts_with("# TYPE")).map(Into::into).collect();
    assert_eq!(exposed, declared);
    for metric in METRICS {
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
    }
    for (name, buckets) in [
        ("http_server_request_duration_seconds", catalogue::HTTP_BUCKETS),
        ("db_client_operation_duration_seconds", catalogue::DB_BUCKETS),
    ] {
        for bucket in buckets {
            let edge = format!("le=\"{bucket}\"");
            assert!(text.lines().any(|line| line.starts_with(name) && line.contains(&edge)), "{name} {edge}");
        }
    }
}

#[test]
fn a_request_counts_under_its_template_method_and_status() {
    let metrics = metrics();
    let tasks = metrics.route_index("/api/v1/tasks");
    assert_eq!(metrics.route(tasks), "/api/v1/tasks");
    assert_eq!(metrics.route_index("/api/v1/tasks/17"), RouteIndex::UNMATCHED);
    assert_eq!(metrics.route(RouteIndex::UNMATCHED), "unmatched");
    metrics.http_request(MethodLabel::from(&Method::GET), tasks, 200, Duration::from_millis(200));
    metrics.http_request(MethodLabel::from(&Method::HEAD), tasks, 200, Duration::from_millis(7));
    metrics.http_request(MethodLabel::from(&Method::PUT), tasks, 405, Duration::from_millis(7));
    let samples = samples(&metrics);
    for (method, status) in [("GET", 200), ("HEAD", 200), ("PUT", 405)] {
        assert_eq!(samples.get(&request_count(method, "/api/v1/tasks", status)), Some(&1.0), "{method}");
    }
    let series = request_count("GET", "/api/v1/tasks", 200).replace("_count{", "_bucket{");
    let bucket = |edge: &str| samples.get(&series.replace('}', &format!(",le=\"{edge}\"}}"))).copied();
    assert_eq!(bucket("0.1"), Some(0.0));
    assert_eq!(bucket("0.2"), Some(1.0), "200 ms is within the objective");
}

#[test]
fn everything_else_counts_where_it_should() {
    let metrics = metrics();
    metrics.rejected(Rejection::DatabaseBusy);
    metrics.panic();
    metrics.auth_attempt(AuthResult::RefreshReuse);
    metrics.task_created(3);
    metrics.task_completed(2);
    metrics.tasks_purged(1);
    metrics.sqlite_wal_bytes(4096);
    metrics.db_wait(Duration::from_millis(1));
    metrics.db_operation(1, Some(DbErrorType::PoolTimeout), Duration::from_millis(3));
    metrics.db_operation(0, None, Duration::from_millis(3));
    metrics.db_pool(PoolState { idle: 1, used: 2, max: 8, pending: 4, timeouts_total: 5 });
    metrics.connections.inc();
    metrics.connections.inc();
    metrics.connections.dec();
    let active = metrics.active_requests();
    drop(metrics.active_requests());
    let samples = samples(&metrics);
    for (series, value) in [
        ("http_server_rejected_requests_total{reason=\"database_busy\"}", 1.0),
        ("panics_total", 1.0),
        ("auth_attempts_total{result=\"refresh_reuse\"}", 1.0),
        ("tasks_created_total", 3.0),
        ("tasks_completed_total", 2.0),
        ("tasks_purged_total", 1.0),
        ("sqlite_wal_bytes", 4096.0),
        ("db_client_connection_wait_time_seconds_count", 1.0),
        (
            "db_client_operation_duration_seconds_count{db_operation_name=\"create_task\",error_type=\"pool_timeout\"}",
            1.0,
        ),
        ("db_client_operation_duration_seconds_count{db_operation_name=\"list_tasks\",error_type=\"\"}", 1.0),
        ("db_client_connection_count{state=\"idle\"}", 1.0),
        ("db_client_connection_count{state=\"used\"}", 2.0),
        ("db_client_connection_max", 8.0),
        ("db_client_connection_pending_requests", 4.0),
        ("db_client_connection_timeouts_total", 5.0),
        ("http_server_connections", 1.0),
        ("http_server_active_requests", 1.0),
        ("build_info{version=\"1.2.3\",revision=\"abc\"}", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    drop(active);
}

#[test]
fn two_apps_in_one_process_count_apart() {
    let (one, other) = (metrics(), metrics());
    one.task_created(1);
    assert_eq!(samples(&one)["tasks_created_total"], 1.0);
    assert_eq!(samples(&other)["tasks_created_total"], 0.0);
}

#[test]
fn requests_counted_by_many_threads_during_scrapes_are_all_there() {
    let metrics = metrics();
    let tasks = metrics.route_index("/api/v1/tasks");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    metrics.http_request(MethodLabel::from(&Method::GET), tasks, 431, Duration::from_millis(1));
                }
            });
        }
        scope.spawn(|| (0..20).for_each(|_| drop(metrics.render())));
    });
    assert_eq!(samples(&metrics)[&request_count("GET", "/api/v1/tasks", 431)], 40_000.0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_reports_plausible_figures() {
    let samples = samples(&metrics());
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_virtual_memory_bytes"] >= samples["process_resident_memory_bytes"]);
    assert!(samples["process_cpu_seconds_total"] >= 0.0);
    assert!(samples["process_threads"] >= 1.0);
    assert!((3.0..samples["process_max_fds"]).contains(&samples["process_open_fds"]));
    let age = now_seconds() as f64 - samples["process_start_time_seconds"];
    assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
}

#[test]
fn the_counts_of_the_log_writer_are_exported() -> Outcome {
    let output = Output::default();
    let (telemetry, dispatch) = start(&output)?;
    let metrics = metrics();
    metrics.attach_logs(Arc::clone(&telemetry.log_stats));
    with_default(&dispatch, || tracing::info!("one"));
    telemetry.shutdown(DEADLINE);
    let samples = samples(&metrics);
    assert_eq!(samples["telemetry_log_lines_total"], 1.0);
    assert_eq!(samples["telemetry_log_queue_bytes"], 0.0);
    assert_eq!(samples["telemetry_dropped_total{signal=\"log\",reason=\"queue_full\"}"], 0.0);
    Ok(())
}

#[test]
fn ten_thousand_arbitrary_requests_stay_under_the_bound() {
    let metrics = metrics();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let requests = ("[A-Z]{1,8}|GET|POST|HEAD", "/[a-z/{}]{0,12}|/api/v1/tasks", any::<u16>());
    let mut distinct = HashSet::new();
    for _ in 0..10_000 {
        let Ok(tree) = requests.new_tree(&mut runner) else { panic!("no value") };
        let (method, path, status) = proptest::strategy::ValueTree::current(&tree);
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { panic!("not a method: {method}") };
        distinct.insert((method.clone(), path.clone(), status));
        metrics.http_request(MethodLabel::from(&method), metrics.route_index(&path), status % 700, Duration::ZERO);
    }
    assert!(distinct.len() > 5000);
    let samples = samples(&metrics);
    let series = samples.len();
    assert_eq!(samples["telemetry_series"], series as f64);
    assert_eq!(samples["telemetry_series_max"], metrics.series_max() as f64);
    assert!(series <= metrics.series_max());
}

#[test]
fn the_bound_is_reached_exactly_when_every_combination_has_happened() {
    let metrics = metrics();
    let routes = ["/api/v1/tasks", "/api/v1/tasks/{id}", "elsewhere"].map(|route| metrics.route_index(route));
    for (method, status) in METHODS.iter().flat_map(|method| STATUSES.map(|status| (method, status))) {
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { panic!("not a method: {method}") };
        for route in routes {
            metrics.http_request(MethodLabel::from(&method), route, status, Duration::ZERO);
        }
    }
    assert_eq!(samples(&metrics).len(), metrics.series_max());
}
