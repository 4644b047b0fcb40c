//! Why telemetry could not start.

use std::{error::Error, fmt, io, path::PathBuf};

use crate::logs::FilterError;

/// Why telemetry could not start.
#[derive(Debug)]
pub enum InitError {
    /// `RUST_LOG` is not a filter.
    Filter(FilterError),
    /// The process has logging already.
    AlreadyStarted,
    /// Standard output could not be opened, or a thread not be started.
    Output(io::Error),
    /// The exporter of traces could not be set up.
    Traces(String),
    /// `CLOUDWATCH_SPOOL_DIR` cannot be written to.
    Spool {
        /// The directory.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no region to ship logs to.
    Region,
    /// The shipper's thread could not be started.
    Shipper(io::Error),
}

impl InitError {
    /// The environment variable to correct, if that is what is wrong.
    pub const fn variable(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) => Some("RUST_LOG"),
            Self::Traces(_) => Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
            Self::Spool { .. } => Some("CLOUDWATCH_SPOOL_DIR"),
            Self::Region => Some("AWS_REGION"),
            Self::AlreadyStarted | Self::Output(_) | Self::Shipper(_) => None,
        }
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(formatter, "RUST_LOG: {error}"),
            Self::AlreadyStarted => formatter.write_str("logging was started a second time"),
            Self::Output(error) => {
                write!(formatter, "the log output could not be opened, or a thread not be started: {error}")
            }
            Self::Traces(error) => {
                write!(formatter, "OTEL_EXPORTER_OTLP_ENDPOINT: the exporter of traces could not be set up: {error}")
            }
            Self::Spool { directory, error } => write!(
                formatter,
                "CLOUDWATCH_SPOOL_DIR: got {directory:?}; takes a directory of this process's own that it can write to: {error}"
            ),
            Self::Region => formatter.write_str(
                "AWS_REGION: got nothing; takes a region such as eu-west-1 for CLOUDWATCH_LOG_GROUP, since no profile names one",
            ),
            Self::Shipper(error) => write!(formatter, "the log shipper could not be started: {error}"),
        }
    }
}

impl Error for InitError {}
