//! The crate from outside, as the service uses it.

mod json_logs;
mod log_writer;
mod metrics;
mod panics;
mod reference;
mod support;
mod trace_context;
mod traces;
