//! The service as a whole: built from a configuration, run until it is told to stop.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use http::HeaderValue;
use telemetry::Handles;
use telemetry::errors::Errors;
use telemetry::logs::LogControl;
use telemetry::metrics::{BuildInfo, Metrics};
use telemetry::traces::Traces;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::keys::Keys;
use crate::auth::passwords::Passwords;
use crate::auth::synthetic::SyntheticRight;
use crate::auth::tokens::Tokens;
use crate::clock::Clock;
use crate::config::{Config, LimitsConfig};
use crate::http::cursor::Cursors;
use crate::http::rate_limit::RateLimit;
use crate::http::routes::ROUTES;
use crate::http::stream::Entrance;
use crate::http::{admin, edge, routes, serve};
use crate::store::{Db, Operation, migrate};
use crate::turns::Turns;
use crate::{secret, store};

/// What every request can reach.
pub struct AppState {
    /// The database.
    pub db: Db,
    /// The time of day.
    pub clock: Clock,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Access and refresh tokens.
    pub tokens: Tokens,
    /// Who may say that a request is synthetic; nobody where there is no secret.
    pub synthetic: Option<SyntheticRight>,
    /// Password hashing.
    pub passwords: Passwords,
    /// Where pages start.
    pub cursors: Cursors,
    /// Requests of one user.
    pub principal_rate: RateLimit,
    /// Requests to auth routes from one address.
    pub address_rate: RateLimit,
    /// Who may be handled now, and who waits for it.
    pub admission: Turns,
    /// How long that may take, with the time at the gate.
    pub queue_wait_max: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Entries of `X-Forwarded-For` to believe.
    pub trusted_proxy_hops: usize,
    /// The last look at the database.
    pub readiness: admin::Readiness,
    /// Set when the service begins to stop.
    pub draining: AtomicBool,
    /// Changes the log level; absent where logging is not ours.
    pub log_control: Option<LogControl>,
    /// Spans, where they go anywhere.
    pub traces: Option<Traces>,
    /// Failures, where they go anywhere.
    pub errors: Option<Errors>,
}

/// The service, with its listeners bound.
pub struct App {
    state: Arc<AppState>,
    api: TcpListener,
    admin: TcpListener,
    cors_allowed_origins: Vec<HeaderValue>,
    routes: Router<Arc<AppState>>,
    limits: LimitsConfig,
}

/// Which build this is; `build.rs` finds the revision.
pub const BUILD: BuildInfo = BuildInfo { version: env!("CARGO_PKG_VERSION"), revision: env!("GIT_REVISION") };

impl App {
    /// Opens the database, applies migrations where it should, and binds the listeners.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<App> {
        App::build_with_telemetry(config, clock, None).await
    }

    /// The same, with the process's own telemetry: to show, to change and to tell.
    pub async fn build_with_telemetry(config: Config, clock: Clock, telemetry: Option<Handles>) -> anyhow::Result<App> {
        let url = config.database.url.expose();
        if config.database.auto_migrate {
            let report =
                migrate::run(url, migrate::Command::Up).await.context("the migrations could not be applied")?;
            for version in report.changed {
                tracing::info!(event = "migrated", migration = version, "a migration was applied");
            }
        }
        let metrics = Metrics::new(ROUTES, Operation::NAMES, BUILD);
        metrics.attach_runtime(Handle::current());
        let (log_control, traces, errors) = match telemetry {
            Some(handles) => {
                metrics.attach_logs(handles.log_stats);
                (Some(handles.log_control), handles.traces, handles.errors)
            }
            None => (None, None, None),
        };
        if let Some(traces) = &traces {
            metrics.attach_traces(traces);
        }
        if let Some(errors) = &errors {
            metrics.attach_errors(errors);
        }
        let jwt_secret = match config.auth.jwt_secret {
            Some(secret) => secret,
            None => secret::beside(url)?,
        };
        let previous = config.auth.jwt_secret_previous.as_ref();
        let limits = config.limits;
        let state = Arc::new(AppState {
            db: store::Db::open(url, config.database.pool_size, Arc::clone(&metrics)).await?,
            clock,
            tokens: Tokens::new(&jwt_secret, previous),
            synthetic: config.auth.synthetic_secret.as_ref().map(SyntheticRight::new),
            passwords: Passwords::start(config.auth.argon2)?,
            cursors: Cursors(Keys::new(&jwt_secret, previous, "cursor")),
            principal_rate: RateLimit::new(limits.rate_limit_per_second),
            address_rate: RateLimit::new(limits.rate_limit_per_second),
            admission: Turns::new(limits.max_in_flight, limits.queue_wait_max(), edge::FAIR_WAIT_MAX),
            queue_wait_max: limits.queue_wait_max(),
            request_timeout: limits.request_timeout,
            trusted_proxy_hops: config.listen.trusted_proxy_hops,
            readiness: admin::Readiness::default(),
            draining: AtomicBool::new(false),
            log_control,
            traces,
            errors,
            metrics,
        });
        let bind = async |variable: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("{variable}: cannot listen on {address}"))
        };
        Ok(App {
            api: bind("LISTEN_ADDR", config.listen.api).await?,
            admin: bind("ADMIN_ADDR", config.listen.admin).await?,
            cors_allowed_origins: config.listen.cors_allowed_origins,
            routes: Router::new(),
            state,
            limits,
        })
    }

    /// What requests can reach, for tests that look inside.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Serves these routes beside its own, behind the same edge; they count as `unmatched`. For tests, which need a handler
    /// that panics or takes its time, and for whoever embeds the service; the binary adds none.
    #[must_use]
    pub fn with_routes(mut self, routes: Router<Arc<AppState>>) -> App {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Begins to serve, in tasks of its own.
    pub fn start(self) -> Running {
        let (begin_stop, stop_requested) = watch::channel(false);
        let (stop_api, api_stops) = watch::channel(false);
        let (stop_admin, admin_stops) = watch::channel(false);
        let address =
            |listener: &TcpListener| listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let (api, admin) = (address(&self.api), address(&self.admin));
        let plan = StopPlan::of(&self.limits);
        let settings = serve::Settings {
            max_connections: self.limits.max_connections,
            header_timeout: self.limits.header_timeout,
            grace: plan.finish,
            entrance: Entrance::of(&self.state, &self.limits),
            metrics: Arc::clone(&self.state.metrics),
        };
        let admin_settings =
            serve::Settings { max_connections: 100, grace: plan.admin, entrance: None, ..settings.clone() };
        let admin_router = admin::router(Arc::clone(&self.state));
        let api_router = routes::router(Arc::clone(&self.state), &self.cors_allowed_origins, self.routes);
        let api_task = tokio::spawn(serve::serve(self.api, api_router, settings, api_stops));
        let admin_task = tokio::spawn(serve::serve(self.admin, admin_router, admin_settings, admin_stops));
        let upkeep = tokio::spawn(upkeep(Arc::clone(&self.state)));
        let metrics = Arc::clone(&self.state.metrics);
        let delays = tokio::spawn(async move { metrics.watch_scheduling_delay().await });
        let state = Arc::clone(&self.state);
        let task = tokio::spawn(async move {
            let mut stop_requested = stop_requested;
            if stop_requested.wait_for(|stop| *stop).await.is_err() {
                pending::<()>().await; // nobody can ask any more: serve on
            }
            state.draining.store(true, Ordering::Relaxed);
            tracing::info!(
                event = "draining",
                delay_ms = plan.drain.as_millis() as u64,
                "not ready any more, serving on"
            );
            tokio::time::sleep(plan.drain).await;
            let _ = stop_api.send(true);
            let cut = api_task.await.unwrap_or(0);
            // Metrics and health stay to the end.
            let _ = stop_admin.send(true);
            let _ = admin_task.await;
            upkeep.abort();
            delays.abort();
            tracing::info!(event = "stopped", connections_cut = cut as u64, "stopped");
        });
        Running { api, admin, state: self.state, begin_stop, task, grace: self.limits.shutdown_grace }
    }
}

/// The longest that the last telemetry may take to leave.
pub const FLUSH_MAX: Duration = Duration::from_secs(4);
/// The part of the grace that is kept for it, as one of so many, where that is less.
const FLUSH_SHARE: u32 = 5;
/// The longest that the admin listener waits for who asks it at the end.
const ADMIN_MAX: Duration = Duration::from_secs(1);

/// How a stop spends its grace, so that all of it fits: serving on, finishing what is in flight, closing the admin listener, and
/// in what is left the flush of the telemetry. An orchestrator kills without regard to whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StopPlan {
    drain: Duration,
    finish: Duration,
    admin: Duration,
}

impl StopPlan {
    fn of(limits: &LimitsConfig) -> StopPlan {
        let flush = FLUSH_MAX.min(limits.shutdown_grace / FLUSH_SHARE);
        let serving = limits.shutdown_grace - flush;
        let drain = limits.drain_delay.min(serving);
        StopPlan { drain, finish: serving - drain, admin: ADMIN_MAX.min(flush / 4) }
    }
}

/// A serving service.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and health listen.
    pub admin: SocketAddr,
    state: Arc<AppState>,
    begin_stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    grace: Duration,
}

impl Running {
    /// What requests can reach, for tests that look inside.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Stops: not ready at once, serving on for the drain delay, then finishing what is in flight. Says when the grace is over,
    /// of which something is left then for the flush of the telemetry.
    pub async fn stop(self) -> Instant {
        let end = Instant::now() + self.grace;
        let _ = self.begin_stop.send(true);
        let _ = self.task.await;
        end
    }
}

/// How often SQLite's log is folded into its file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// How often the trash is looked through.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// What the service does beside answering, for as long as it runs.
async fn upkeep(state: Arc<AppState>) {
    let mut checkpoint = tokio::time::interval(CHECKPOINT_EVERY);
    let mut purge = tokio::time::interval(PURGE_EVERY);
    checkpoint.reset();
    loop {
        let result = tokio::select! {
            _ = checkpoint.tick() => state.db.checkpoint().await,
            _ = purge.tick() => state.db.purge(state.clock.now()).await.map(|purged| {
                if purged.tasks + purged.others > 0 {
                    tracing::info!(event = "purged", tasks = purged.tasks, others = purged.others, "what had expired was removed");
                }
            }),
        };
        if let Err(error) = result {
            tracing::warn!(event = "maintenance_failed", error = %error, "maintenance did not succeed; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(grace: u64, drain: u64) -> (u64, u64, u64) {
        let (shutdown_grace, drain_delay) = (Duration::from_millis(grace), Duration::from_millis(drain));
        let plan = StopPlan::of(&LimitsConfig { shutdown_grace, drain_delay, ..LimitsConfig::default() });
        let [drain, finish, admin] = [plan.drain, plan.finish, plan.admin].map(|part| part.as_millis() as u64);
        (drain, finish, admin)
    }

    #[test]
    fn what_serves_ends_so_early_that_the_flush_lies_within_the_grace() {
        assert_eq!(plan(25_000, 0), (0, 21_000, 1000));
        assert_eq!(plan(25_000, 10_000), (10_000, 11_000, 1000));
        assert_eq!(plan(1000, 0), (0, 800, 50));
        assert_eq!(plan(0, 0), (0, 0, 0));
    }

    #[test]
    fn a_drain_delay_longer_than_the_grace_leaves_the_flush_its_time() {
        assert_eq!(plan(10_000, 60_000), (8000, 0, 500));
    }
}
