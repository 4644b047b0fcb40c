//! The objectives: `slo.toml` read into types, and everything that is computed from it.
//!
//! Nobody else holds a threshold: rules, alarms, dashboards, the load test and the canary ask here.

mod error;
mod period;
mod read;

pub use error::Error;
pub use period::Period;

use std::path::Path;

/// The edges that an objective for requests can have, in seconds: the buckets of `http_server_request_duration_seconds`.
/// Between two edges nothing can be counted. A test of `ops` compares them with the catalogue.
pub const REQUEST_EDGES: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The edges that an objective for the database can have, in seconds: those of `db_client_operation_duration_seconds`.
pub const DATABASE_EDGES: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// All objectives.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// Every error budget is counted over this time.
    pub window: Period,
    /// What users notice.
    pub requests: Requests,
    /// What the store needs to hold that.
    pub database: Database,
    /// What a release is held to.
    pub load: Load,
    /// The prober.
    pub canary: Canary,
    /// Share of log lines that reach CloudWatch Logs, below 1.
    pub logs_delivered: f64,
    /// When somebody is told, the most urgent first.
    pub burn: Vec<Burn>,
    /// A burn rate counts once so much traffic came that this many failures make it.
    pub guard_failures: u32,
    /// Where people find what alerts and panels point to.
    pub links: Links,
}

/// Bases of addresses, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// `alerts/runbooks`, published: `<runbooks>/<Alert>.md`.
    pub runbooks: String,
    /// Grafana: `<dashboards>/d/<uid>`.
    pub dashboards: String,
}

/// The objectives for requests, synthetic ones left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requests {
    /// Share without a 5xx, below 1.
    pub availability: f64,
    /// Share answered within `latency`, below 1.
    pub fast: f64,
    /// Seconds to the last byte; one of [`REQUEST_EDGES`].
    pub latency: f64,
}

/// The objectives for operations of the store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Database {
    /// Share done within `latency`, below 1.
    pub fast: f64,
    /// Seconds without the wait for a connection; one of [`DATABASE_EDGES`].
    pub latency: f64,
}

/// What the load test holds a release to, besides the latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests per second in each window of 10 s.
    pub rate: f64,
    /// Most failed requests, as a share.
    pub errors: f64,
}

/// The prober's limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canary {
    /// Between the starts of two runs.
    pub interval: Period,
    /// Share of runs that find no fault, below 1.
    pub success: f64,
    /// Seconds that a step may take from outside.
    pub latency: f64,
}

/// Whom a burn rate calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// Somebody looks on the next working day.
    Ticket,
}

impl Severity {
    /// The value of the `severity` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// One pair of windows over which a budget's burn rate is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Whom it calls.
    pub severity: Severity,
    /// The share of the budget that is gone when the burn rate holds for `long`, above 0 and at most 1.
    pub budget: f64,
    /// The window that says that it matters.
    pub long: Period,
    /// The window that says that it still goes on.
    pub short: Period,
}

impl Burn {
    /// How many times faster than even the budget burns: 14.4 for 2 % within an hour of 30 days.
    pub fn factor(&self, window: Period) -> f64 {
        self.budget * window.seconds() as f64 / self.long.seconds() as f64
    }
}

impl Slo {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, does not parse, or holds an objective that cannot be kept or counted; the message names
    /// file, line and key, and the accepted form.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::unreadable(path, &error))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file called `name` in messages.
    ///
    /// # Errors
    /// As [`Slo::read`].
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        read::parse(text, name)
    }

    /// The fewest requests within a window at which a burn rate counts: at the threshold, [`Slo::guard_failures`] of them
    /// are bad.
    pub fn requests_min(&self, burn: &Burn, objective: f64) -> u64 {
        (f64::from(self.guard_failures) / (burn.factor(self.window) * (1.0 - objective))).ceil() as u64
    }
}
