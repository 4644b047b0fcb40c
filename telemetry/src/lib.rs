//! What the Task API tells about itself: the catalogue of all signals, metrics, structured logs and trace context.
//!
//! - [`catalogue`]: every metric and log event, declared once.
//! - [`metrics`]: the recorder of one app and its typed handles.
//! - [`logs`]: JSON lines on standard output through a bounded writer that never blocks a request.
//! - [`cloudwatch`]: the same lines, and the RED metrics, to CloudWatch.
//! - [`trace_context`], [`context`]: the ids of a request, and what it has used so far.
//!
//! - [`traces`]: the head decision, spans, and their way to a collector over OTLP.
//! - [`errors`], [`panics`], [`redact`]: failures and what of them may be told to Sentry.
//! - [`delivery`]: counts of what each way out has done.
//!
//! [`init`] starts what a process has only once, [`Telemetry::shutdown`] delivers what is left.

pub mod catalogue;
mod clock;
pub mod cloudwatch;
pub mod context;
pub mod delivery;
mod error;
pub mod errors;
mod hex;
pub mod logs;
pub mod metrics;
pub mod panics;
mod random;
pub mod redact;
mod start;
pub mod trace_context;
pub mod traces;

pub use cloudwatch::CloudWatchSettings;
pub use error::InitError;
pub use logs::{LogControl, LogFormat, LogStats};
pub use start::{Destinations, Handles, Settings, ShutdownReport, Telemetry, build, init};
