//! The exposition: what is there from the start, what counts where, and that it cannot grow without bound.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use http::Method;
use proptest::prelude::*;
use telemetry::{
    catalogue::{self, METHODS, METRICS, STATUSES, Values},
    context::RequestContext,
    metrics::{
        AuthResult, BuildInfo, DbErrorType, Exposition, MethodLabel, Metrics, PoolState, Rejection, RouteIndex,
        RouteLabel, Synthetic, TaskCacheState,
    },
    trace_context::TraceContext,
};
use tracing::dispatcher::with_default;

use crate::support::{DEADLINE, Outcome, Output, now_seconds, pause, start};

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
            let edge = format!("le=\"{bucket:?}\"");
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
    metrics.task_cache(TaskCacheState { bytes: 2048, hits_total: 7, misses_total: 6 });
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
        ("sqlite_task_cache_bytes", 2048.0),
        ("sqlite_task_cache_lookups_total{result=\"hit\"}", 7.0),
        ("sqlite_task_cache_lookups_total{result=\"miss\"}", 6.0),
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

#[test]
fn synthetic_requests_are_counted_apart_and_are_in_no_figure_of_users() {
    let metrics = metrics();
    let (get, tasks) = (MethodLabel::from(&Method::GET), metrics.route_index("/api/v1/tasks"));
    let before = samples(&metrics).len();
    for synthetic in Synthetic::ALL {
        metrics.http_request_of(*synthetic, get, tasks, 500, Duration::from_secs(1), None);
        let context = RequestContext::of("id".into(), TraceContext::new_root(), *synthetic);
        context.sync_scope(|| {
            metrics.task_created(2);
            metrics.task_completed(1);
            metrics.auth_attempt(AuthResult::Success);
            metrics.auth_attempt(AuthResult::InvalidCredentials);
        });
    }
    let samples = samples(&metrics);
    for synthetic in ["none", "canary", "load"] {
        let series = request_count("GET", "/api/v1/tasks", 500).replace("none", synthetic);
        assert_eq!(samples.get(&series), Some(&1.0), "{series}");
    }
    let lines = catalogue::HTTP_REQUEST_DURATION.lines_per_series();
    assert_eq!(samples.len(), before + 2 * lines, "only what happened has synthetic series");
    assert_eq!((samples["tasks_created_total"], samples["tasks_completed_total"]), (2.0, 1.0));
    assert_eq!(samples["auth_attempts_total{result=\"success\"}"], 1.0);
    assert_eq!(samples["auth_attempts_total{result=\"invalid_credentials\"}"], 3.0, "refused: nobody's but a user's");
    let totals = metrics.route_totals();
    let tasks = totals.iter().find(|total| total.route == "/api/v1/tasks");
    assert_eq!(tasks.map(|total| (total.requests(), total.faults)), Some((1, 1)), "the figures for CloudWatch");
}

#[test]
fn openmetrics_says_what_text_says_and_leads_to_recorded_traces() {
    let metrics = metrics();
    let tasks = metrics.route_index("/api/v1/tasks");
    let trace = TraceContext::new_root();
    let (get, took) = (MethodLabel::from(&Method::GET), Duration::from_millis(30));
    metrics.http_request_of(Synthetic::None, get, tasks, 200, took, Some(&trace));
    metrics.http_request(get, tasks, 404, took);
    metrics.task_created(3);
    let (text, openmetrics) = (metrics.render(), metrics.render_as(Exposition::OpenMetrics));
    assert!(!text.contains(" # ") && !text.contains("EOF"), "an exemplar is no part of 0.0.4");
    assert!(openmetrics.ends_with("\n# EOF\n") && !openmetrics.contains("\n\n"));
    let exemplars: Vec<&str> = openmetrics.lines().filter(|line| line.contains(" # {")).collect();
    let [line] = exemplars.as_slice() else { panic!("one recorded request, got {exemplars:?}") };
    assert!(line.contains("http_response_status_code=\"200\",synthetic=\"none\",le=\"0.05\"} 1 # {"), "{line}");
    let ids = format!("{{trace_id=\"{}\",span_id=\"{}\"}} 0.03 ", trace.trace_id_hex(), trace.span_id_hex());
    assert!(line.contains(&ids), "{line}");
    for metric in METRICS {
        let family = metric.name.trim_end_matches("_total");
        assert!(openmetrics.contains(&format!("# TYPE {family} {}\n", metric.kind.as_str())), "{family}");
        assert!(openmetrics.contains(&format!("# HELP {family} ")), "{family}");
    }
    // The samples are the same but for exemplars and what moves by itself.
    let fixed = |line: &&str| !line.starts_with('#') && !line.starts_with("process_") && !line.is_empty();
    let plain: HashSet<_> = text.lines().filter(fixed).map(str::to_owned).collect();
    let same = |line: &str| line.split(" # ").next().unwrap_or_default().to_owned();
    let translated: HashSet<_> = openmetrics.lines().filter(fixed).map(same).collect();
    let differing: Vec<_> = plain.symmetric_difference(&translated).collect();
    assert!(differing.is_empty() && plain.len() > 400, "{differing:?}");
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
fn the_runtime_shows_what_holds_its_workers() -> Outcome {
    let metrics = metrics();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    metrics.attach_runtime(runtime.handle().clone());
    let of_ticker = Arc::clone(&metrics);
    runtime.spawn(async move { of_ticker.watch_scheduling_delay().await });
    let count = |samples: &BTreeMap<String, f64>| samples["tokio_scheduling_delay_seconds_count"];
    let late =
        |samples: &BTreeMap<String, f64>| count(samples) - samples["tokio_scheduling_delay_seconds_bucket{le=\"0.5\"}"];
    let at_rest = wait_for(&metrics, |samples| count(samples) >= 2.0);
    assert_eq!(at_rest["tokio_workers"], 1.0);
    assert_eq!(at_rest["tokio_alive_tasks"], 1.0);
    assert!(at_rest["tokio_worker_parks_total"] >= 2.0);
    // The one worker is held for so long that the ticker's next wake-up comes late, and tasks queue up before it.
    let held = Duration::from_millis(1000);
    runtime.spawn(async move { pause(held) });
    wait_for(&metrics, |samples| samples["tokio_alive_tasks"] == 2.0);
    (0..7).for_each(|_| drop(runtime.spawn(async {})));
    // One more where the ticker's own wake-up waits with them.
    let depth = samples(&metrics)["tokio_global_queue_depth"];
    assert!((7.0..=8.0).contains(&depth), "{depth}");
    // Of the four moments within that second, the first one or two were due more than half a second before its end.
    let after = wait_for(&metrics, |samples| late(samples) >= late(&at_rest) + 1.0);
    assert!(count(&after) >= count(&at_rest) + 3.0, "moments that passed while it was held count too");
    // A worker adds up its time when it next has nothing to do.
    let busy = |samples: &BTreeMap<String, f64>| samples["tokio_worker_busy_seconds_total"];
    let after = wait_for(&metrics, |samples| busy(samples) - busy(&at_rest) >= 0.9);
    assert_eq!((after["tokio_global_queue_depth"], after["tokio_alive_tasks"]), (0.0, 1.0));
    Ok(())
}

/// The first scrape that fits.
fn wait_for(metrics: &Metrics, fits: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let samples = samples(metrics);
        if fits(&samples) {
            return samples;
        }
        assert!(Instant::now() < deadline, "never seen: {}", metrics.render());
        pause(Duration::from_millis(5));
    }
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
        for (route, synthetic) in routes.iter().flat_map(|route| Synthetic::ALL.iter().map(move |kind| (*route, *kind)))
        {
            metrics.http_request_of(synthetic, MethodLabel::from(&method), route, status, Duration::ZERO, None);
        }
    }
    assert_eq!(samples(&metrics).len(), metrics.series_max());
}
