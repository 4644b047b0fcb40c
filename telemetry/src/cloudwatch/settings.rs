//! What the shipper is told, what each figure's default is, and which values CloudWatch Logs takes.

use std::{path::PathBuf, time::Duration};

use aws_config::SdkConfig;

/// The most bytes of lines in memory, those in flight among them. At 1000 requests a second and 500 bytes a line this
/// bridges 16 seconds, and it is 2 % of the smallest task's memory.
pub const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most lines in memory: short ones cost more in bookkeeping than in text.
pub const QUEUE_EVENTS_MAX: usize = 20_000;

/// The part of both bounds that only lines at ERROR may fill, as one of so many: what explains an outage is kept.
pub const QUEUE_ERROR_RESERVE: usize = 8;

/// Requests that are on their way at once. With answers that take 5 s, four of 1 MiB still carry 800 kB/s, more than
/// 1000 requests a second produce.
pub const IN_FLIGHT_MAX: usize = 4;

/// The default bound of the spool: a quarter of an hour at 1000 requests a second, a fraction of a task's 20 GB disk.
pub const SPOOL_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The default retention of a group that the shipper creates.
pub const RETENTION_DAYS: i32 = 30;

/// The retentions that CloudWatch Logs knows.
pub const RETENTIONS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Where to ship and how.
#[derive(Debug, Clone)]
pub struct CloudWatchSettings {
    /// `CLOUDWATCH_LOG_GROUP`; created when it is missing.
    pub log_group: String,
    /// `CLOUDWATCH_LOG_STREAM`; a name that no other task has when absent.
    pub log_stream: Option<String>,
    /// `CLOUDWATCH_LOG_RETENTION_DAYS`: one of [`RETENTIONS`]; given to a group that the shipper creates, never to one
    /// that exists, which belongs to somebody's template.
    pub retention_days: i32,
    /// `CLOUDWATCH_METRICS_NAMESPACE`: ship the RED metrics too, in the embedded metric format.
    pub metrics_namespace: Option<String>,
    /// `CLOUDWATCH_SPOOL_DIR` and its bound.
    pub spool: Option<SpoolSettings>,
    /// How long things take; the defaults are for production.
    pub pace: Pace,
    /// Region, credentials and endpoint in place of what the SDK finds in the environment: for tests.
    pub sdk_config: Option<SdkConfig>,
}

impl CloudWatchSettings {
    /// The defaults for a group.
    pub fn new(log_group: impl Into<String>) -> Self {
        Self {
            log_group: log_group.into(),
            log_stream: None,
            retention_days: RETENTION_DAYS,
            metrics_namespace: None,
            spool: None,
            pace: Pace::default(),
            sdk_config: None,
        }
    }
}

/// The disk spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Its directory; created when it is missing, used by one process at a time.
    pub directory: PathBuf,
    /// `CLOUDWATCH_SPOOL_MAX_MB`, in bytes.
    pub bytes_max: u64,
}

/// Times and bounds that a test scales down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest a line waits for company before it is sent.
    pub flush_interval: Duration,
    /// The longest a line is in memory only, when there is a spool.
    pub spool_interval: Duration,
    /// One request. Above 5 s: slow answers are still answers.
    pub attempt_timeout: Duration,
    /// Connecting, within that.
    pub connect_timeout: Duration,
    /// The first retry comes within this, each further one within twice as much as the one before.
    pub retry_base: Duration,
    /// No retry waits longer.
    pub retry_max: Duration,
    /// How often the metrics are aggregated and shipped.
    pub metrics_interval: Duration,
    /// [`QUEUE_BYTES_MAX`].
    pub queue_bytes_max: usize,
    /// [`QUEUE_EVENTS_MAX`].
    pub queue_events_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(2),
            spool_interval: Duration::from_millis(200),
            attempt_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            retry_base: Duration::from_millis(200),
            retry_max: Duration::from_secs(10),
            metrics_interval: Duration::from_secs(60),
            queue_bytes_max: QUEUE_BYTES_MAX,
            queue_events_max: QUEUE_EVENTS_MAX,
        }
    }
}

/// Whether CloudWatch Logs takes this as a group's name: 1 to 512 of `a-zA-Z0-9`, `_`, `-`, `/`, `.`, `#`.
pub fn is_log_group(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.#".contains(&byte);
    (1..=512).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether it takes this as a stream's name: 1 to 512 characters, neither `:` nor `*`.
pub fn is_log_stream(name: &str) -> bool {
    let fits = |character: char| !matches!(character, ':' | '*') && !character.is_control();
    (1..=512).contains(&name.chars().count()) && name.chars().all(fits)
}

/// Whether CloudWatch takes this as a namespace: 1 to 255 of `a-zA-Z0-9`, `_`, `-`, `/`, `.`, `#`, `:`; `AWS/` is Amazon's.
pub fn is_namespace(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.#:".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with(':') && !name.starts_with("AWS/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_cloudwatch_does() {
        assert!(
            is_log_group("/ecs/task-api.prod#1") && !is_log_group("") && !is_log_group("a b") && !is_log_group("ä")
        );
        assert!(is_log_stream("task-api/host/1") && !is_log_stream("a:b") && !is_log_stream("a*"));
        assert!(is_namespace("TaskApi") && !is_namespace("AWS/Logs") && !is_namespace("") && !is_namespace("a b"));
    }
}
