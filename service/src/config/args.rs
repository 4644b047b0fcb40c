//! The command line of `task-api`: each flag is the environment variable of the same name.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::ConfigError;
use super::traces::TraceArgs;
use crate::store::migrate;

/// The Task API. Without a command it serves until SIGTERM or Ctrl-C.
///
/// Every flag can be given as the environment variable named beside it; the flag wins.
#[derive(Debug, Parser)]
#[command(name = "task-api", version, max_term_width = 120)]
pub struct Args {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address of the API
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:3000", global = true)]
    pub listen_addr: String,
    /// Address of metrics, health, readiness and log level; never behind the load balancer
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:9464", global = true)]
    pub admin_addr: String,
    /// sqlite://PATH, or postgres://USER:PASSWORD@HOST/DATABASE; for TLS ?sslmode=verify-full&sslrootcert=CA.PEM
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://data/tasks.db", hide_env_values = true, global = true)]
    pub database_url: String,
    /// Connections to PostgreSQL, or readers of SQLite
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value = "8", global = true)]
    pub database_pool_size: String,
    /// Apply pending migrations at start [default: true on SQLite, false on PostgreSQL]
    #[arg(long, env = "AUTO_MIGRATE", global = true)]
    pub auto_migrate: Option<String>,
    /// Key of access and refresh tokens, at least 32 bytes [default: made at first start beside the SQLite file; required with PostgreSQL]
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, global = true)]
    pub jwt_secret: Option<String>,
    /// The key before JWT_SECRET: still accepted, so that keys can be changed without logging anybody out
    #[arg(long, env = "JWT_SECRET_PREVIOUS", hide_env_values = true, global = true)]
    pub jwt_secret_previous: Option<String>,
    /// Lets the canary and the load test mark their requests as no user's, at least 32 visible ASCII characters; they send it as x-synthetic-secret when they log in, and then x-synthetic [default: none: no request is believed]
    #[arg(long, env = "SYNTHETIC_SECRET", hide_env_values = true, global = true)]
    pub synthetic_secret: Option<String>,
    /// Requests per second for each principal, and for each address on auth routes; 0 is off
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value = "0", global = true)]
    pub rate_limit_per_second: String,
    /// Milliseconds a request may take until its answer starts
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value = "10000", global = true)]
    pub request_timeout_ms: String,
    /// Milliseconds a request's header may take
    #[arg(long, env = "HEADER_TIMEOUT_MS", default_value = "10000", global = true)]
    pub header_timeout_ms: String,
    /// Requests handled at once; more wait for their turn
    #[arg(long, env = "MAX_IN_FLIGHT", default_value = "512", global = true)]
    pub max_in_flight: String,
    /// Milliseconds that a request waits for its turn before it gets 503 with Retry-After, up to twice as many where many do; 0 refuses
    /// it at once
    #[arg(long, env = "QUEUE_TIMEOUT_MS", default_value = "5000", global = true)]
    pub queue_timeout_ms: String,
    /// Connections open at once; more are closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "10000", global = true)]
    pub max_connections: String,
    /// Milliseconds from SIGTERM to the end: for requests in flight, and a fifth, 4 s at most, for the last telemetry
    #[arg(long, env = "SHUTDOWN_GRACE_MS", default_value = "25000", global = true)]
    pub shutdown_grace_ms: String,
    /// Milliseconds of that to serve on, not ready, until the load balancer has noticed
    #[arg(long, env = "DRAIN_DELAY_MS", default_value = "0", global = true)]
    pub drain_delay_ms: String,
    /// How many entries of X-Forwarded-For, from the right, to believe
    #[arg(long, env = "TRUSTED_PROXY_HOPS", default_value = "0", global = true)]
    pub trusted_proxy_hops: String,
    /// Origins whose pages may call the API, separated by commas, or * for all [default: none]
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", global = true)]
    pub cors_allowed_origins: Option<String>,
    /// json or pretty [default: json; pretty on a terminal]
    #[arg(long, env = "LOG_FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Which log lines to write: a level, or target=level, separated by commas
    #[arg(long, env = "RUST_LOG", default_value = "info", global = true)]
    pub rust_log: String,
    /// Name of this environment in logs
    #[arg(long, env = "DEPLOYMENT_ENVIRONMENT", default_value = "development", global = true)]
    pub deployment_environment: String,
    /// What is shipped to CloudWatch
    #[command(flatten)]
    pub cloudwatch: CloudWatchArgs,
    /// DSN of the Sentry project that 5xx and panics are told to [default: none]
    #[arg(long, env = "SENTRY_DSN", hide_env_values = true, global = true)]
    pub sentry_dsn: Option<String>,
    #[command(flatten)]
    pub(super) traces: TraceArgs,
    #[command(flatten)]
    pub(super) later: Later,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Ended {
    /// Help or the version was asked for: it is to be printed.
    Asked(clap::Error),
    /// The command line or a variable cannot be used; the text says why.
    Refused(String),
}

impl Args {
    /// Reads the command line and the environment. An empty variable is an unset one: that is how compose files and task
    /// definitions leave a setting out.
    pub fn read() -> Result<Args, Ended> {
        let mut unreadable = None;
        let command = Args::command().mut_args(|argument| {
            #[expect(clippy::disallowed_methods, reason = "this is where the environment is read, once, at start")]
            let value = argument.get_env().and_then(std::env::var_os);
            if value.as_ref().is_some_and(|value| value.to_str().is_none()) {
                unreadable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            }
            if value.is_some_and(|value| value.is_empty()) { argument.env(None) } else { argument }
        });
        if let Some(variable) = unreadable {
            return Err(Ended::Refused(ConfigError::new(variable, "bytes that are no text", "UTF-8").to_string()));
        }
        let read = command.try_get_matches().and_then(|matches| Args::from_arg_matches(&matches));
        read.map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ended::Asked(error),
            // The first paragraph: what is wrong and what would not be. Usage and hints follow it.
            _ => {
                let text = error.to_string();
                let first: Vec<&str> = text
                    .trim_start_matches("error: ")
                    .lines()
                    .map(str::trim)
                    .take_while(|line| !line.is_empty())
                    .collect();
                Ended::Refused(first.join(" "))
            }
        })
    }
}

/// Logs and metrics to CloudWatch. Region, credentials and endpoint are found as the AWS SDK finds them.
#[derive(Debug, Default, clap::Args)]
pub struct CloudWatchArgs {
    /// Ship logs to this CloudWatch Logs group as well; it is created when it is missing [default: standard output only]
    #[arg(long, env = "CLOUDWATCH_LOG_GROUP", global = true)]
    pub cloudwatch_log_group: Option<String>,
    /// The stream in that group [default: a name that no other task has]
    #[arg(long, env = "CLOUDWATCH_LOG_STREAM", global = true)]
    pub cloudwatch_log_stream: Option<String>,
    /// Days that a group which had to be created keeps its logs [default: 30]
    #[arg(long, env = "CLOUDWATCH_LOG_RETENTION_DAYS", global = true)]
    pub cloudwatch_log_retention_days: Option<String>,
    /// Ship request metrics too, in the embedded metric format, to this namespace [default: none]
    #[arg(long, env = "CLOUDWATCH_METRICS_NAMESPACE", global = true)]
    pub cloudwatch_metrics_namespace: Option<String>,
    /// Keep lines in this directory until CloudWatch has them, across restarts and kills [default: in memory only]
    #[arg(long, env = "CLOUDWATCH_SPOOL_DIR", global = true)]
    pub cloudwatch_spool_dir: Option<String>,
    /// Megabytes that the directory may take [default: 512]
    #[arg(long, env = "CLOUDWATCH_SPOOL_MAX_MB", global = true)]
    pub cloudwatch_spool_max_mb: Option<String>,
}

/// Settings of parts that this version does not have. A set one ends the start: ignoring it would be a lie.
#[derive(Debug, clap::Args)]
pub(super) struct Later {
    #[arg(long, env = "REDIS_URL", hide = true, hide_env_values = true, global = true)]
    pub(super) redis_url: Option<String>,
    #[arg(long, env = "OIDC_ISSUER", hide = true, global = true)]
    pub(super) oidc_issuer: Option<String>,
    #[arg(long, env = "OIDC_CLIENT_ID", hide = true, global = true)]
    pub(super) oidc_client_id: Option<String>,
}

/// What `task-api` does beside serving.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Bring the schema up to date, take the newest migration back, or show where it stands
    Migrate {
        /// What to do
        #[arg(default_value = "up")]
        action: migrate::Command,
    },
    /// Print the OpenAPI document
    Openapi,
}
