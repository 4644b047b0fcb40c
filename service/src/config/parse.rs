//! From the text of flags and variables to typed values.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use telemetry::errors::SentrySettings;
use telemetry::logs::LogFormat;

use super::args::Args;
use super::{
    Argon2Config, AuthConfig, Config, DatabaseConfig, LimitsConfig, ListenConfig, LogConfig, Secret, cloudwatch,
};
use crate::app::BUILD;

/// One setting that cannot be used. Its text is one line: the variable, what it got, what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    variable: String,
    got: String,
    takes: String,
}

impl ConfigError {
    /// Names the variable, what it got (never a secret's value) and what it takes.
    pub fn new(variable: impl Into<String>, got: impl Into<String>, takes: impl Into<String>) -> Self {
        ConfigError { variable: variable.into(), got: got.into(), takes: takes.into() }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: got {}; takes {}", self.variable, self.got, self.takes)
    }
}

impl std::error::Error for ConfigError {}

pub(super) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    variable: &'static str,
    text: &str,
    min: T,
    max: T,
) -> Result<T, ConfigError> {
    match text.trim().parse::<T>() {
        Ok(value) if value >= min && value <= max => Ok(value),
        _ => Err(ConfigError::new(variable, format!("{text:?}"), format!("a whole number from {min} to {max}"))),
    }
}

/// The delay, which is part of the grace: one that is as long would cut every request in flight.
fn drain_delay(text: &str, grace: &str) -> Result<Duration, ConfigError> {
    let (delay, grace) = (millis("DRAIN_DELAY_MS", text, 0)?, millis("SHUTDOWN_GRACE_MS", grace, 0)?);
    if delay.is_zero() || delay < grace {
        return Ok(delay);
    }
    Err(ConfigError::new("DRAIN_DELAY_MS", format!("{text:?}"), "less than SHUTDOWN_GRACE_MS, which it is part of"))
}

fn millis(variable: &'static str, text: &str, min: u64) -> Result<Duration, ConfigError> {
    number(variable, text, min, 3_600_000).map(Duration::from_millis)
}

fn address(variable: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let takes = "an address and a port such as 127.0.0.1:3000 or [::]:3000";
    text.trim().parse().map_err(|_| ConfigError::new(variable, format!("{text:?}"), takes))
}

fn boolean(variable: &'static str, text: &str) -> Result<bool, ConfigError> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ConfigError::new(variable, format!("{text:?}"), "true or false")),
    }
}

fn key(variable: &'static str, text: Option<String>) -> Result<Option<Secret>, ConfigError> {
    match text {
        Some(text) if text.len() < 32 => {
            Err(ConfigError::new(variable, format!("a secret of {} bytes", text.len()), "at least 32 bytes"))
        }
        text => Ok(text.map(Secret)),
    }
}

/// A key that travels in a header, and so consists of what a header can carry without change.
fn header_key(variable: &'static str, text: Option<String>) -> Result<Option<Secret>, ConfigError> {
    if text.as_ref().is_some_and(|text| !text.bytes().all(|byte| byte.is_ascii_graphic())) {
        let takes = "at least 32 bytes, all of them visible ASCII characters";
        return Err(ConfigError::new(variable, "a secret with other characters", takes));
    }
    key(variable, text)
}

fn database_url(text: &str) -> Result<Secret, ConfigError> {
    let takes = "sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let scheme = text.split_once("://").map_or("no URL", |(scheme, _)| scheme);
    match text.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => {}
        Some(("sqlite", _)) => {
            return Err(ConfigError::new("DATABASE_URL", "a SQLite URL without a file's path", takes));
        }
        Some(("postgres" | "postgresql", _)) => {
            if let Err(error) = crate::store::check_postgres_url(text) {
                return Err(ConfigError::new("DATABASE_URL", format!("a URL that is refused: {error:#}"), takes));
            }
        }
        _ => return Err(ConfigError::new("DATABASE_URL", scheme, takes)),
    }
    Ok(Secret(text.to_owned()))
}

fn origins(text: Option<String>) -> Result<Vec<http::HeaderValue>, ConfigError> {
    let refuse = |got: &str| {
        let takes = "origins such as https://app.example.com, separated by commas, or *";
        ConfigError::new("CORS_ALLOWED_ORIGINS", format!("{got:?}"), takes)
    };
    let given = text.unwrap_or_default();
    let given = given.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    given
        .map(|origin| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let plain = host.is_some_and(|host| !host.is_empty() && !host.contains('/'));
            match origin.parse() {
                Ok(value) if plain || origin == "*" => Ok(value),
                _ => Err(refuse(origin)),
            }
        })
        .collect()
}

fn sentry(dsn: &str) -> Result<SentrySettings, ConfigError> {
    let release = format!("task-api@{}+{}", BUILD.version, BUILD.revision);
    SentrySettings::parse(dsn, release).map_err(|takes| ConfigError::new("SENTRY_DSN", "something else", takes))
}

fn log_format(text: Option<&str>) -> Result<LogFormat, ConfigError> {
    match text {
        None if std::io::stdout().is_terminal() => Ok(LogFormat::Pretty),
        None | Some("json") => Ok(LogFormat::Json),
        Some("pretty") => Ok(LogFormat::Pretty),
        Some(other) => Err(ConfigError::new("LOG_FORMAT", format!("{other:?}"), "json or pretty")),
    }
}

/// An empty flag is an unset one, as an empty variable is.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Args {
    fn refuse_later(&mut self) -> Result<(), ConfigError> {
        let later = &mut self.later;
        let settings = [
            ("REDIS_URL", later.redis_url.take()),
            ("OIDC_ISSUER", later.oidc_issuer.take()),
            ("OIDC_CLIENT_ID", later.oidc_client_id.take()),
        ];
        match settings.into_iter().find(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty())) {
            Some((variable, _)) => {
                Err(ConfigError::new(variable, "a value", "nothing: this version does not support it yet, unset it"))
            }
            None => Ok(()),
        }
    }

    /// The database's URL alone: all that a migration needs to know.
    pub fn database_url(&self) -> Result<Secret, ConfigError> {
        database_url(self.database_url.trim())
    }

    /// The configuration that flags and environment give.
    pub fn config(mut self) -> Result<Config, ConfigError> {
        self.refuse_later()?;
        let url = self.database_url()?;
        let sqlite = url.expose().starts_with("sqlite:");
        let jwt_secret = key("JWT_SECRET", given(self.jwt_secret))?;
        if jwt_secret.is_none() && !sqlite {
            return Err(ConfigError::new("JWT_SECRET", "nothing", "at least 32 bytes, the same on every instance"));
        }
        let (service, traces) = self.traces.settings()?;
        let trusted_proxy_hops = number("TRUSTED_PROXY_HOPS", &self.trusted_proxy_hops, 0, 16)?;
        Ok(Config {
            listen: ListenConfig {
                api: address("LISTEN_ADDR", &self.listen_addr)?,
                admin: address("ADMIN_ADDR", &self.admin_addr)?,
                trusted_proxy_hops,
                cors_allowed_origins: origins(given(self.cors_allowed_origins))?,
            },
            database: DatabaseConfig {
                auto_migrate: match given(self.auto_migrate) {
                    Some(text) => boolean("AUTO_MIGRATE", &text)?,
                    None => sqlite,
                },
                url,
                pool_size: number("DATABASE_POOL_SIZE", &self.database_pool_size, 1, 1000)?,
            },
            auth: AuthConfig {
                jwt_secret,
                jwt_secret_previous: key("JWT_SECRET_PREVIOUS", given(self.jwt_secret_previous))?,
                synthetic_secret: header_key("SYNTHETIC_SECRET", given(self.synthetic_secret))?,
                argon2: Argon2Config::default(),
            },
            limits: LimitsConfig {
                request_timeout: millis("REQUEST_TIMEOUT_MS", &self.request_timeout_ms, 1)?,
                max_in_flight: number("MAX_IN_FLIGHT", &self.max_in_flight, 1, 100_000)?,
                queue_timeout: millis("QUEUE_TIMEOUT_MS", &self.queue_timeout_ms, 0)?,
                max_connections: number("MAX_CONNECTIONS", &self.max_connections, 1, 1_000_000)?,
                header_timeout: millis("HEADER_TIMEOUT_MS", &self.header_timeout_ms, 1)?,
                shutdown_grace: millis("SHUTDOWN_GRACE_MS", &self.shutdown_grace_ms, 0)?,
                drain_delay: drain_delay(&self.drain_delay_ms, &self.shutdown_grace_ms)?,
                rate_limit_per_second: number("RATE_LIMIT_PER_SECOND", &self.rate_limit_per_second, 0, 1_000_000)?,
            },
            logs: LogConfig {
                service,
                format: log_format(given(self.log_format).as_deref())?,
                filter: self.rust_log,
                environment: self.deployment_environment,
                cloudwatch: cloudwatch::settings(self.cloudwatch)?,
            },
            traces,
            sentry: given(self.sentry_dsn).map(|dsn| sentry(&dsn)).transpose()?,
        })
    }
}
