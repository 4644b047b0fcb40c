//! Metrics: one recorder for each app, every handle taken from the catalogue, nothing looked up by name on the way
//! of a request.
//!
//! There is no global recorder: tests run many apps in one process, and each must see its own counts. Handles are
//! registered once and kept, so recording is an index into a table and an atomic addition; nothing needs upkeep. The
//! exporter's `idle_timeout` must stay off: it silently discards what kept handles record after it has expired.

mod canary;
mod delivery;
mod exemplar;
mod histogram;
mod http;
mod openmetrics;
mod process;
mod registry;
mod runtime;
mod shipper;
mod text;
mod up_down;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::metrics::{Counter, Gauge};

pub use self::{
    canary::CanaryMetrics,
    http::{MethodLabel, RouteIndex, RouteLabel, RouteTotals},
    openmetrics::Exposition,
    runtime::SCHEDULING_DELAY_INTERVAL,
    up_down::{UpDown, UpDownGuard},
};
pub use crate::catalogue::{AuthResult, CacheResult, DbErrorType, Rejection, Synthetic};
use crate::{
    catalogue::{self, ConnectionState, METRICS},
    cloudwatch::ShipperStats,
    context::RequestContext,
    errors::Errors,
    logs::LogStats,
    trace_context::TraceContext,
    traces::Traces,
};

use self::{
    delivery::DeliveryMetrics, histogram::Histogram, http::HttpTable, registry::Registry, runtime::RuntimeMetrics,
    shipper::ShipperMetrics,
};

/// Which build runs.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The version of the release.
    pub version: &'static str,
    /// The revision of the source.
    pub revision: &'static str,
}

/// The database pool at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Connections that are open and free.
    pub idle: u32,
    /// Connections lent to requests.
    pub used: u32,
    /// The most connections it may open.
    pub max: u32,
    /// Requests that wait for one.
    pub pending: u32,
    /// Waits that ended without one, since the start.
    pub timeouts_total: u64,
}

/// The tasks that lists on SQLite keep in memory, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskCacheState {
    /// Memory that they take, about.
    pub bytes: u64,
    /// Tasks that were there when a list looked, since the start.
    pub hits_total: u64,
    /// Those that were not.
    pub misses_total: u64,
}

/// All metrics of one app.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http: HttpTable,
    /// Open connections of clients.
    pub connections: UpDown,
    active_requests: UpDown,
    /// Requests that wait for a place inside, at the door or still in their sockets.
    pub queued_requests: UpDown,
    rejections: Vec<Counter>,
    panics: Counter,
    /// `[operation][error type]`, success first.
    db_operations: Vec<Vec<Arc<Histogram>>>,
    db_wait: Arc<Histogram>,
    db_idle: Gauge,
    db_used: Gauge,
    db_max: Gauge,
    db_pending: Gauge,
    db_timeouts: Counter,
    sqlite_wal_bytes: Gauge,
    task_cache_bytes: Gauge,
    task_cache_lookups: Vec<Counter>,
    tasks_created: Counter,
    tasks_completed: Counter,
    tasks_purged: Counter,
    auth_attempts: Vec<Counter>,
    log_lines: Counter,
    log_queue_bytes: Gauge,
    log_stats: OnceLock<Arc<LogStats>>,
    deliveries: DeliveryMetrics,
    runtime: RuntimeMetrics,
    shipper: ShipperMetrics,
    shipper_stats: OnceLock<ShipperStats>,
    series_max: usize,
}

impl Metrics {
    /// Registers everything the catalogue holds; what is known beforehand starts at 0.
    ///
    /// # Panics
    ///
    /// If there are more routes or operations than the catalogue allows: a mistake that each test of the app meets.
    pub fn new(routes: &'static [RouteLabel], operations: &'static [&'static str], build: BuildInfo) -> Arc<Self> {
        let registry = Registry::new();
        let http = HttpTable::new(routes, &registry);
        registry.check_bound(&catalogue::HTTP_ROUTE, http.routes().len());
        registry.check_bound(&catalogue::DB_OPERATION_NAME, operations.len());
        registry.gauge(&catalogue::BUILD_INFO, &[build.version, build.revision]).set(1.0);
        let series_max = METRICS
            .iter()
            .map(|metric| {
                metric.series_max(|label| match label.name {
                    name if name == catalogue::HTTP_ROUTE.name => Some(http.routes().len()),
                    name if name == catalogue::DB_OPERATION_NAME.name => Some(operations.len()),
                    _ => None,
                })
            })
            .sum();
        let db_operations = operations
            .iter()
            .map(|operation| {
                DbErrorType::LABELS_WITH_SUCCESS
                    .iter()
                    .map(|error| registry.histogram(&catalogue::DB_OPERATION_DURATION, &[operation, error]))
                    .collect()
            })
            .collect();
        let connections = |state: ConnectionState| registry.gauge(&catalogue::DB_CONNECTION_COUNT, &[state.as_str()]);
        Arc::new(Self {
            connections: UpDown::new(registry.gauge(&catalogue::HTTP_CONNECTIONS, &[])),
            active_requests: UpDown::new(registry.gauge(&catalogue::HTTP_ACTIVE_REQUESTS, &[])),
            queued_requests: UpDown::new(registry.gauge(&catalogue::HTTP_QUEUED_REQUESTS, &[])),
            rejections: registry.counters(&catalogue::HTTP_REJECTED_REQUESTS, &[], Rejection::LABELS),
            panics: registry.counter(&catalogue::PANICS, &[]),
            db_operations,
            db_wait: registry.histogram(&catalogue::DB_CONNECTION_WAIT_TIME, &[]),
            db_idle: connections(ConnectionState::Idle),
            db_used: connections(ConnectionState::Used),
            db_max: registry.gauge(&catalogue::DB_CONNECTION_MAX, &[]),
            db_pending: registry.gauge(&catalogue::DB_PENDING_REQUESTS, &[]),
            db_timeouts: registry.counter(&catalogue::DB_CONNECTION_TIMEOUTS, &[]),
            sqlite_wal_bytes: registry.gauge(&catalogue::SQLITE_WAL_BYTES, &[]),
            task_cache_bytes: registry.gauge(&catalogue::SQLITE_TASK_CACHE_BYTES, &[]),
            task_cache_lookups: registry.counters(&catalogue::SQLITE_TASK_CACHE_LOOKUPS, &[], CacheResult::LABELS),
            tasks_created: registry.counter(&catalogue::TASKS_CREATED, &[]),
            tasks_completed: registry.counter(&catalogue::TASKS_COMPLETED, &[]),
            tasks_purged: registry.counter(&catalogue::TASKS_PURGED, &[]),
            auth_attempts: registry.counters(&catalogue::AUTH_ATTEMPTS, &[], AuthResult::LABELS),
            deliveries: DeliveryMetrics::new(&registry),
            runtime: RuntimeMetrics::new(&registry),
            log_lines: registry.counter(&catalogue::TELEMETRY_LOG_LINES, &[]),
            log_queue_bytes: registry.gauge(&catalogue::TELEMETRY_LOG_QUEUE, &[]),
            log_stats: OnceLock::new(),
            shipper: ShipperMetrics::new(&registry),
            shipper_stats: OnceLock::new(),
            series_max,
            http,
            registry,
        })
    }

    /// Lets `render` export the counts of the log writer; the first call counts.
    pub fn attach_logs(&self, stats: Arc<LogStats>) {
        let _ = self.log_stats.set(stats);
    }

    /// Lets `render` export the counts of the spans; the first call counts.
    pub fn attach_traces(&self, traces: &Traces) {
        self.deliveries.attach_traces(Arc::clone(traces.stats()));
    }

    /// Lets `render` export the counts of the events for Sentry; the first call counts.
    pub fn attach_errors(&self, errors: &Errors) {
        self.deliveries.attach_errors(Arc::clone(errors.stats()));
    }

    /// Lets `render` export the accounts of the CloudWatch shipper; the first call counts.
    pub fn attach_shipper(&self, stats: ShipperStats) {
        let _ = self.shipper_stats.set(stats);
    }

    /// What each route has seen of users since the start, in the order of their indexes. Synthetic requests are left out.
    pub fn route_totals(&self) -> Vec<RouteTotals> {
        self.http.totals()
    }

    /// The Prometheus text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        self.render_as(Exposition::Text)
    }

    /// The exposition in one of its forms, with the process' and the runtime's own figures read at this moment.
    pub fn render_as(&self, format: Exposition) -> String {
        self.deliveries.refresh(self.log_stats.get().map(|stats| &**stats));
        if let Some(stats) = self.log_stats.get() {
            self.log_lines.absolute(stats.produced());
            self.log_queue_bytes.set(stats.queue_bytes() as f64);
        }
        if let Some(counts) = self.shipper_stats.get().map(ShipperStats::counts) {
            self.shipper.update(&counts);
            self.deliveries.refresh_shipper(&counts);
        }
        self.runtime.refresh();
        let mut out = self.registry.render(format);
        self.runtime.render(&mut out);
        process::render(&mut out);
        text::sample(&mut out, &catalogue::TELEMETRY_SERIES_MAX, self.series_max as f64);
        let series = text::count_samples(&out) + 1;
        text::sample(&mut out, &catalogue::TELEMETRY_SERIES, series as f64);
        match format {
            Exposition::Text => out,
            Exposition::OpenMetrics => openmetrics::translated(&out),
        }
    }

    /// The most sample lines that `render` can return, computed from the catalogue and this app's routes.
    pub fn series_max(&self) -> usize {
        self.series_max
    }

    /// Where a route template stands in the table; [`RouteIndex::UNMATCHED`] if the router has no such template. The
    /// method does not matter: a known path asked with the wrong method still counts under its template.
    pub fn route_index(&self, template: &str) -> RouteIndex {
        self.http.index(template)
    }

    /// The `http_route` label of an index, `unmatched` among them.
    pub fn route(&self, index: RouteIndex) -> &'static str {
        self.http.route(index)
    }

    /// Counts one finished request of a user's, without an exemplar. A status that is not in [`catalogue::STATUSES`]
    /// counts as the nearest one of its class. Allocates only the first time a combination is seen.
    pub fn http_request(&self, method: MethodLabel, route: RouteIndex, status: u16, duration: Duration) {
        self.http_request_of(Synthetic::None, method, route, status, duration, None);
    }

    /// The same for a request of any kind. `recorded` is its place in a trace that is recorded: the bucket's exemplar.
    pub fn http_request_of(
        &self,
        synthetic: Synthetic,
        method: MethodLabel,
        route: RouteIndex,
        status: u16,
        duration: Duration,
        recorded: Option<&TraceContext>,
    ) {
        self.http.histogram(&self.registry, method, route, status, synthetic).record_with(duration, recorded);
    }

    /// Counts a request as being served until the guard is dropped.
    pub fn active_requests(&self) -> UpDownGuard {
        self.active_requests.guard()
    }

    /// Counts a request or a connection that was refused.
    pub fn rejected(&self, reason: Rejection) {
        self.rejections[reason as usize].increment(1);
    }

    /// Counts a caught panic.
    pub fn panic(&self) {
        self.panics.increment(1);
    }

    /// Counts one database operation; `operation` is its place in the list given to [`Metrics::new`].
    pub fn db_operation(&self, operation: usize, error: Option<DbErrorType>, duration: Duration) {
        debug_assert!(operation < self.db_operations.len(), "operation {operation} is not in the list");
        if let Some(by_error) = self.db_operations.get(operation) {
            by_error[error.map_or(0, |error| error as usize + 1)].record(duration);
        }
    }

    /// Counts one wait for a connection of the pool.
    pub fn db_wait(&self, duration: Duration) {
        self.db_wait.record(duration);
    }

    /// Sets the gauges of the pool.
    pub fn db_pool(&self, state: PoolState) {
        self.db_idle.set(state.idle);
        self.db_used.set(state.used);
        self.db_max.set(state.max);
        self.db_pending.set(state.pending);
        self.db_timeouts.absolute(state.timeouts_total);
    }

    /// Sets the size of the SQLite write-ahead log.
    pub fn sqlite_wal_bytes(&self, bytes: u64) {
        self.sqlite_wal_bytes.set(bytes as f64);
    }

    /// Sets what is known of the tasks that lists on SQLite keep.
    pub fn task_cache(&self, state: TaskCacheState) {
        self.task_cache_bytes.set(state.bytes as f64);
        self.task_cache_lookups[CacheResult::Hit as usize].absolute(state.hits_total);
        self.task_cache_lookups[CacheResult::Miss as usize].absolute(state.misses_total);
    }

    /// Counts created tasks, unless the current request is synthetic.
    pub fn task_created(&self, tasks: u64) {
        if !RequestContext::is_synthetic() {
            self.tasks_created.increment(tasks);
        }
    }

    /// Counts tasks that became done, unless the current request is synthetic.
    pub fn task_completed(&self, tasks: u64) {
        if !RequestContext::is_synthetic() {
            self.tasks_completed.increment(tasks);
        }
    }

    /// Counts deleted tasks that were removed for good.
    pub fn tasks_purged(&self, tasks: u64) {
        self.tasks_purged.increment(tasks);
    }

    /// Counts an attempt to log in or to refresh. A successful one does not count when the current request is synthetic;
    /// a refused one always does, because its 401 is taken for a user's in every other signal too.
    pub fn auth_attempt(&self, result: AuthResult) {
        if result != AuthResult::Success || !RequestContext::is_synthetic() {
            self.auth_attempts[result as usize].increment(1);
        }
    }
}
