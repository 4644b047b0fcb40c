//! Every metric. A new one starts here: its doc comment becomes the HELP line, `METRICS` follows by itself.

use super::{
    AuthResult, CacheResult, ConnectionState, DbErrorType, DropReason, Label, METHODS, Metric, Rejection,
    STATUS_LABELS, SentryResult, ShipperDrop, ShipperOutcome, ShipperReject, Signal, Synthetic, Values,
};

/// Bounds of the request histogram in seconds: the buckets of OpenTelemetry's convention plus 0.2, the objective;
/// without that edge "under 200 ms" could not be counted.
pub const HTTP_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds of the database histograms in seconds: the convention's plus 0.025; 0.05 is the objective.
pub const DB_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Bounds of the runtime's delay in seconds: from the millisecond that its timer always takes to what a timeout notices.
pub const SCHEDULING_DELAY_BUCKETS: &[f64] = &[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The route of a request that no route matched.
pub const UNMATCHED: &str = "unmatched";

/// The route's template, never its path.
pub const HTTP_ROUTE: Label = bounded("http_route", "templates of the router, and `unmatched`", 100);

/// The name of a database operation in our code, never its SQL.
pub const DB_OPERATION_NAME: Label = bounded("db_operation_name", "operations of the store", 150);

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const fn bounded(name: &'static str, what: &'static str, at_most: usize) -> Label {
    Label { name, values: Values::Bounded { what, at_most } }
}

const HTTP_LABELS: &[Label] = &[
    closed("http_request_method", &METHODS),
    HTTP_ROUTE,
    closed("http_response_status_code", STATUS_LABELS),
    // Believed only with the right to claim it, so that nobody hides a failure.
    closed("synthetic", Synthetic::LABELS),
];

const DB_LABELS: &[Label] = &[DB_OPERATION_NAME, closed("error_type", &DbErrorType::LABELS_WITH_SUCCESS)];

const BUILD_LABELS: &[Label] =
    &[bounded("version", "the running build", 1), bounded("revision", "the running build", 1)];

const DROP_LABELS: &[Label] = &[closed("signal", Signal::LABELS), closed("reason", DropReason::LABELS)];

/// Declares the metrics and their list.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident = $metric:expr;)+) => {
        $(
            $(#[doc = $help])+
            pub const $name: Metric = $metric.with_help(concat!($($help),+).trim_ascii());
        )+

        /// Every metric, in the order of this file.
        pub const METRICS: &[&Metric] = &[$(&$name),+];
    };
}

metrics! {
    /// Time from a request's arrival to the last byte of its answer.
    HTTP_REQUEST_DURATION = Metric::histogram("http_server_request_duration_seconds", HTTP_LABELS, HTTP_BUCKETS);
    /// Requests that are being served.
    HTTP_ACTIVE_REQUESTS = Metric::gauge("http_server_active_requests", "{request}", &[]);
    /// Requests that wait for a place inside, at the door or still in their sockets.
    HTTP_QUEUED_REQUESTS = Metric::gauge("http_server_queued_requests", "{request}", &[]);
    /// Requests and connections refused, by reason.
    HTTP_REJECTED_REQUESTS = Metric::counter(
        "http_server_rejected_requests_total", "{request}", &[closed("reason", Rejection::LABELS)]);
    /// Open connections of clients.
    HTTP_CONNECTIONS = Metric::gauge("http_server_connections", "{connection}", &[]);

    /// Time of a database operation without the wait for a connection, or of the wait that got none; an empty error_type is success.
    DB_OPERATION_DURATION = Metric::histogram("db_client_operation_duration_seconds", DB_LABELS, DB_BUCKETS);
    /// Connections of the pool by state.
    DB_CONNECTION_COUNT = Metric::gauge(
        "db_client_connection_count", "{connection}", &[closed("state", ConnectionState::LABELS)]);
    /// The most connections the pool may open.
    DB_CONNECTION_MAX = Metric::gauge("db_client_connection_max", "{connection}", &[]);
    /// Requests that wait for a connection of the pool.
    DB_PENDING_REQUESTS = Metric::gauge("db_client_connection_pending_requests", "{request}", &[]);
    /// Waits for a connection of the pool that ended without one.
    DB_CONNECTION_TIMEOUTS = Metric::counter("db_client_connection_timeouts_total", "{timeout}", &[]);
    /// Time a request waited for a connection of the pool.
    DB_CONNECTION_WAIT_TIME = Metric::histogram("db_client_connection_wait_time_seconds", &[], DB_BUCKETS);
    /// Size of the SQLite write-ahead log, 0 with PostgreSQL.
    SQLITE_WAL_BYTES = Metric::gauge("sqlite_wal_bytes", "By", &[]);
    /// Memory that lists on SQLite keep tasks in, 0 with PostgreSQL.
    SQLITE_TASK_CACHE_BYTES = Metric::gauge("sqlite_task_cache_bytes", "By", &[]);
    /// Tasks that lists on SQLite looked for in memory, by whether they were there.
    SQLITE_TASK_CACHE_LOOKUPS = Metric::counter(
        "sqlite_task_cache_lookups_total", "{task}", &[closed("result", CacheResult::LABELS)]);

    /// Tasks created by users; those of synthetic requests are left out.
    TASKS_CREATED = Metric::counter("tasks_created_total", "{task}", &[]);
    /// Tasks whose status became done, by users; those of synthetic requests are left out.
    TASKS_COMPLETED = Metric::counter("tasks_completed_total", "{task}", &[]);
    /// Deleted tasks removed for good, whoever made them.
    TASKS_PURGED = Metric::counter("tasks_purged_total", "{task}", &[]);
    /// Attempts to log in or to refresh, by result; successful synthetic ones are left out.
    AUTH_ATTEMPTS = Metric::counter(
        "auth_attempts_total", "{attempt}", &[closed("result", AuthResult::LABELS)]);

    /// User and system CPU time spent.
    PROCESS_CPU_SECONDS = Metric::counter("process_cpu_seconds_total", "s", &[]);
    /// Memory that is in RAM.
    PROCESS_RESIDENT_MEMORY = Metric::gauge("process_resident_memory_bytes", "By", &[]);
    /// Address space.
    PROCESS_VIRTUAL_MEMORY = Metric::gauge("process_virtual_memory_bytes", "By", &[]);
    /// Open file descriptors.
    PROCESS_OPEN_FDS = Metric::gauge("process_open_fds", "{descriptor}", &[]);
    /// The most file descriptors the process may open.
    PROCESS_MAX_FDS = Metric::gauge("process_max_fds", "{descriptor}", &[]);
    /// Threads of the operating system.
    PROCESS_THREADS = Metric::gauge("process_threads", "{thread}", &[]);
    /// When the process started, in seconds since 1970.
    PROCESS_START_TIME = Metric::gauge("process_start_time_seconds", "s", &[]);
    /// Worker threads of the runtime that serves.
    TOKIO_WORKERS = Metric::gauge("tokio_workers", "{worker}", &[]);
    /// Tasks of the runtime that have not ended.
    TOKIO_ALIVE_TASKS = Metric::gauge("tokio_alive_tasks", "{task}", &[]);
    /// Tasks that are ready to run and wait in the queue that all workers share.
    TOKIO_GLOBAL_QUEUE_DEPTH = Metric::gauge("tokio_global_queue_depth", "{task}", &[]);
    /// Time that the workers were busy, all together; its rate over the number of workers is the runtime's load, 1 is saturated.
    TOKIO_WORKER_BUSY_SECONDS = Metric::counter("tokio_worker_busy_seconds_total", "s", &[]);
    /// How often a worker had nothing to do and slept; rests while work is plenty.
    TOKIO_WORKER_PARKS = Metric::counter("tokio_worker_parks_total", "{park}", &[]);
    /// How much later than asked for the runtime wakes a task, measured four times a second; about 0.001 at rest.
    TOKIO_SCHEDULING_DELAY = Metric::histogram("tokio_scheduling_delay_seconds", &[], SCHEDULING_DELAY_BUCKETS);
    /// Always 1; its labels say which build runs.
    BUILD_INFO = Metric::gauge("build_info", "1", BUILD_LABELS);
    /// Panics caught while serving a request.
    PANICS = Metric::counter("panics_total", "{panic}", &[]);

    /// Events for Sentry, one for each failure, by what became of them.
    SENTRY_EVENTS = Metric::counter(
        "sentry_events_total", "{event}", &[closed("result", SentryResult::LABELS)]);

    /// Telemetry thrown away, by signal and reason.
    TELEMETRY_DROPPED = Metric::counter("telemetry_dropped_total", "{item}", DROP_LABELS);
    /// Log lines produced, the dropped ones among them; less the dropped and the waiting, so many were written.
    TELEMETRY_LOG_LINES = Metric::counter("telemetry_log_lines_total", "{line}", &[]);
    /// Log lines that wait to be written, in bytes.
    TELEMETRY_LOG_QUEUE = Metric::gauge("telemetry_log_queue_bytes", "By", &[]);
    /// Spans that ended and were to be exported, the dropped ones among them.
    TELEMETRY_SPANS = Metric::counter("telemetry_spans_total", "{span}", &[]);
    /// Spans that the collector has taken.
    TELEMETRY_SPANS_EXPORTED = Metric::counter("telemetry_spans_exported_total", "{span}", &[]);
    /// Spans that wait to be exported or are on their way.
    TELEMETRY_SPAN_QUEUE = Metric::gauge("telemetry_span_queue", "{span}", &[]);
    /// Failures and panics that Sentry was to be told of, the dropped ones among them.
    TELEMETRY_ERRORS = Metric::counter("telemetry_errors_total", "{event}", &[]);
    /// Events that wait to be sent to Sentry or are on their way.
    TELEMETRY_ERROR_QUEUE = Metric::gauge("telemetry_error_queue", "{event}", &[]);
    /// When a signal last arrived at its destination, in seconds since 1970; 0 if never.
    TELEMETRY_LAST_SUCCESS = Metric::gauge(
        "telemetry_last_success_seconds", "s", &[closed("signal", &[Signal::Trace.as_str(), Signal::Error.as_str()])]);
    /// Lines handed to the CloudWatch shipper; at every moment delivered + rejected + dropped + spooled + queued.
    LOG_SHIPPER_PRODUCED = Metric::counter("log_shipper_produced_total", "{line}", &[]);
    /// Those of the produced that an earlier process had left in the spool.
    LOG_SHIPPER_RECOVERED_LINES = Metric::counter("log_shipper_recovered_total", "{line}", &[]);
    /// Lines that CloudWatch Logs has accepted.
    LOG_SHIPPER_DELIVERED = Metric::counter("log_shipper_delivered_total", "{line}", &[]);
    /// Lines that CloudWatch Logs has refused for good, by reason.
    LOG_SHIPPER_REJECTED_LINES = Metric::counter(
        "log_shipper_rejected_total", "{line}", &[closed("reason", ShipperReject::LABELS)]);
    /// Lines that the shipper has thrown away, by reason.
    LOG_SHIPPER_DROPPED = Metric::counter(
        "log_shipper_dropped_total", "{line}", &[closed("reason", ShipperDrop::LABELS)]);
    /// Lines that were cut to what CloudWatch Logs takes.
    LOG_SHIPPER_TRUNCATED = Metric::counter("log_shipper_truncated_total", "{line}", &[]);
    /// Requests to CloudWatch Logs, by how they ended; all but ok and refused are tried again.
    LOG_SHIPPER_REQUESTS = Metric::counter(
        "log_shipper_requests_total", "{request}", &[closed("outcome", ShipperOutcome::LABELS)]);
    /// Failed operations on the files of the spool.
    LOG_SHIPPER_SPOOL_ERRORS = Metric::counter("log_shipper_spool_errors_total", "{error}", &[]);
    /// New log groups whose retention could not be set: they keep their lines for ever.
    LOG_SHIPPER_RETENTION_ERRORS = Metric::counter("log_shipper_retention_errors_total", "{error}", &[]);
    /// Lines that wait in memory, those in flight among them.
    LOG_SHIPPER_QUEUED_LINES = Metric::gauge("log_shipper_queued_lines", "{line}", &[]);
    /// Weight of the lines that wait in memory.
    LOG_SHIPPER_QUEUED_BYTES = Metric::gauge("log_shipper_queued_bytes", "By", &[]);
    /// Lines that wait on disk, those in flight among them.
    LOG_SHIPPER_SPOOLED_LINES = Metric::gauge("log_shipper_spooled_lines", "{line}", &[]);
    /// Size of the spool on disk.
    LOG_SHIPPER_SPOOLED_BYTES = Metric::gauge("log_shipper_spooled_bytes", "By", &[]);
    /// When CloudWatch Logs last accepted lines, in seconds since 1970; 0 is never.
    LOG_SHIPPER_LAST_SUCCESS = Metric::gauge("log_shipper_last_success_time_seconds", "s", &[]);
    /// Age of the oldest line that is not delivered yet.
    LOG_SHIPPER_LAG = Metric::gauge("log_shipper_lag_seconds", "s", &[]);
    /// Sample lines of this exposition.
    TELEMETRY_SERIES = Metric::gauge("telemetry_series", "{series}", &[]);
    /// The most sample lines this exposition can grow to, computed from the catalogue.
    TELEMETRY_SERIES_MAX = Metric::gauge("telemetry_series_max", "{series}", &[]);
}
