//! The configuration: read once, at start, from flags and environment into small structs by topic.
//!
//! A bad value is a [`ConfigError`] that names the variable, what it got and what it takes; the binary ends with exit code 64.

mod args;
mod cloudwatch;
mod parse;
mod traces;

use std::net::SocketAddr;
use std::time::Duration;

use telemetry::CloudWatchSettings;
use telemetry::errors::SentrySettings;
use telemetry::logs::LogFormat;
use telemetry::traces::TraceSettings;

pub use args::{Args, CloudWatchArgs, Command, Ended};
pub use parse::ConfigError;

/// Everything the service is told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: ListenConfig,
    /// Where it stores.
    pub database: DatabaseConfig,
    /// Who may come in.
    pub auth: AuthConfig,
    /// How much it takes at once.
    pub limits: LimitsConfig,
    /// What it tells of itself.
    pub logs: LogConfig,
    /// `OTEL_…`: where its traces go, if anywhere.
    pub traces: Option<TraceSettings>,
    /// `SENTRY_DSN`: where its failures go, if anywhere.
    pub sentry: Option<SentrySettings>,
}

/// The two listeners.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// `LISTEN_ADDR`: the API.
    pub api: SocketAddr,
    /// `ADMIN_ADDR`: metrics, health, log level. Never behind the load balancer.
    pub admin: SocketAddr,
    /// `TRUSTED_PROXY_HOPS`: how many entries of `X-Forwarded-For`, from the right, proxies of ours wrote.
    pub trusted_proxy_hops: usize,
    /// `CORS_ALLOWED_ORIGINS`: origins whose pages may call the API; none by default.
    pub cors_allowed_origins: Vec<http::HeaderValue>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`.
    pub url: Secret,
    /// `DATABASE_POOL_SIZE`: connections to PostgreSQL, or readers of SQLite.
    pub pool_size: u32,
    /// `AUTO_MIGRATE`: whether pending migrations are applied at start.
    pub auto_migrate: bool,
}

/// Tokens and passwords.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `JWT_SECRET`; `None` on SQLite: kept in a file beside the database.
    pub jwt_secret: Option<Secret>,
    /// `JWT_SECRET_PREVIOUS`: still accepted, never signed with.
    pub jwt_secret_previous: Option<Secret>,
    /// `SYNTHETIC_SECRET`: who knows it may say that a request is the canary's or a load test's; nobody by default.
    pub synthetic_secret: Option<Secret>,
    /// What a password costs to check.
    pub argon2: Argon2Config,
}

/// The cost of a password hash. The default is OWASP's first choice: 19 MiB, two passes, one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Config {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

impl Default for Argon2Config {
    fn default() -> Self {
        Argon2Config { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// Overload and shutdown.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    /// `REQUEST_TIMEOUT_MS`: from the end of the header to the start of the answer.
    pub request_timeout: Duration,
    /// `MAX_IN_FLIGHT`: requests handled at once; one more waits for its turn.
    pub max_in_flight: usize,
    /// `QUEUE_TIMEOUT_MS`: how long it waits before it is told to come back, up to twice as long where many are; zero tells it at once.
    pub queue_timeout: Duration,
    /// `MAX_CONNECTIONS`: open connections; one more is closed at once.
    pub max_connections: usize,
    /// `HEADER_TIMEOUT_MS`: from the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    /// `SHUTDOWN_GRACE_MS`: from the signal to the end of the process, whatever hangs.
    pub shutdown_grace: Duration,
    /// `DRAIN_DELAY_MS`: how much of that a stopping service serves on, not ready, so that the load balancer notices.
    pub drain_delay: Duration,
    /// `RATE_LIMIT_PER_SECOND`: per principal, and per address on auth routes; 0 is off.
    pub rate_limit_per_second: u32,
}

impl LimitsConfig {
    /// How long a request waits to be handled at all: whoever is let in at last has half of its time left.
    pub fn queue_wait_max(&self) -> Duration {
        self.queue_timeout.min(self.request_timeout / 2)
    }
}

/// Logs and what names the service in them.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `OTEL_SERVICE_NAME`: who speaks, in every signal.
    pub service: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `RUST_LOG`.
    pub filter: String,
    /// `DEPLOYMENT_ENVIRONMENT`.
    pub environment: String,
    /// `CLOUDWATCH_*`.
    pub cloudwatch: Option<CloudWatchSettings>,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Config {
    /// Defaults for a test's own instance: free ports, a fixed key, and passwords that cost next to nothing.
    pub fn for_tests(database_url: String) -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config {
            listen: ListenConfig { api: any, admin: any, trusted_proxy_hops: 0, cors_allowed_origins: Vec::new() },
            database: DatabaseConfig {
                auto_migrate: database_url.starts_with("sqlite:"),
                url: Secret::new(database_url),
                pool_size: 8,
            },
            auth: AuthConfig {
                jwt_secret: Some(Secret::new("a key of at least 32 bytes, for tests only")),
                jwt_secret_previous: None,
                synthetic_secret: None,
                argon2: Argon2Config { memory_kib: 64, passes: 1 },
            },
            limits: LimitsConfig::default(),
            logs: LogConfig {
                service: "task-api".into(),
                format: LogFormat::Json,
                filter: "info".into(),
                environment: "test".into(),
                cloudwatch: None,
            },
            traces: None,
            sentry: None,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            request_timeout: Duration::from_millis(10_000),
            max_in_flight: 512,
            queue_timeout: Duration::from_millis(5_000),
            max_connections: 10_000,
            header_timeout: Duration::from_millis(10_000),
            shutdown_grace: Duration::from_millis(25_000),
            drain_delay: Duration::ZERO,
            rate_limit_per_second: 0,
        }
    }
}
