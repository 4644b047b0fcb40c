//! What the Task API tells about itself: the catalogue of all signals, metrics, structured logs and trace context.
//!
//! - [`catalogue`]: every metric and log event, declared once.
//! - [`metrics`]: the recorder of one app and its typed handles.
//! - [`logs`]: JSON lines on standard output through a bounded writer that never blocks a request.
//! - [`cloudwatch`]: the same lines, and the RED metrics, to CloudWatch.
//! - [`trace_context`], [`context`]: the ids of a request, and what it has used so far.
//!
//! [`init`] starts what a process has only once, [`Telemetry::shutdown`] delivers what is left. Traces over OTLP
//! and Sentry get their modules beside `logs`, and their layers in [`build`].

pub mod catalogue;
mod clock;
pub mod cloudwatch;
pub mod context;
mod error;
mod hex;
pub mod logs;
pub mod metrics;
mod random;
mod start;
pub mod trace_context;

pub use cloudwatch::CloudWatchSettings;
pub use error::InitError;
pub use logs::{LogControl, LogFormat, LogStats};
pub use start::{Settings, ShutdownReport, Telemetry, build, init};
