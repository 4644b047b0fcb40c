//! What the canary tells about itself. A list of its own: the service emits none of it, and the canary nothing else.

use super::{
    EMF_DURATION, EMF_FAILED, EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES, EmfMetric, HTTP_BUCKETS, Label,
    LogEvent, Metric, Values,
};

/// How a run can end, best first.
pub const CANARY_OUTCOMES: &[&str] = &["ok", "degraded", "failed", "error"];

/// The steps of a run, in their order.
pub const CANARY_STEPS: &[&str] =
    &["health", "login", "create", "read", "list", "update", "stale", "anonymous", "delete", "gone", "logout"];

/// What a request spends its time on, in order, and last `check`: the answer came and was wrong.
pub const CANARY_PHASES: &[&str] = &["dns", "connect", "tls", "send", "wait", "receive", "check"];

/// The most addresses of a target that are probed: an answer of the load balancer's name holds at most 8.
pub const CANARY_ADDRESSES_MAX: usize = 32;

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const fn bounded(name: &'static str, what: &'static str, at_most: usize) -> Label {
    Label { name, values: Values::Bounded { what, at_most } }
}

/// Declares the metrics and their list.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident = $metric:expr;)+) => {
        $(
            $(#[doc = $help])+
            pub const $name: Metric = $metric.with_help(concat!($($help),+).trim_ascii());
        )+

        /// Every metric of the canary, in the order of this file.
        pub const CANARY_METRICS: &[&Metric] = &[$(&$name),+];
    };
}

metrics! {
    /// Finished runs by outcome.
    CANARY_RUNS = Metric::counter("canary_runs_total", "{run}", &[closed("outcome", CANARY_OUTCOMES)]);
    /// When the last run finished, in seconds since 1970; 0 before the first.
    CANARY_LAST_RUN = Metric::gauge("canary_last_run_timestamp_seconds", "s", &[]);
    /// When the last run finished that was ok or degraded, in seconds since 1970; 0 before the first.
    CANARY_LAST_SUCCESS = Metric::gauge("canary_last_success_timestamp_seconds", "s", &[]);
    /// Time of one attempt at a step, from the name's resolution to the last byte of the answer.
    CANARY_STEP_DURATION =
        Metric::histogram("canary_step_duration_seconds", &[closed("step", CANARY_STEPS)], HTTP_BUCKETS);
    /// Attempts at a step that failed or were slow, by the phase to blame; those that a retry mended among them.
    CANARY_STEP_FAILURES = Metric::counter(
        "canary_step_failures_total", "{failure}", &[closed("step", CANARY_STEPS), closed("phase", CANARY_PHASES)]);
    /// Whether an address of the target answered its last probe: 1 or 0.
    CANARY_ADDRESS_UP = Metric::gauge(
        "canary_address_up", "1", &[bounded("address", "addresses of the target's name", CANARY_ADDRESSES_MAX)]);
    /// When the certificate that expires first does, over all addresses, in seconds since 1970; absent without TLS.
    CANARY_CERTIFICATE_EXPIRY = Metric::gauge("canary_certificate_expiry_timestamp_seconds", "s", &[]);
    /// Always 1; its label says what is probed.
    CANARY_INFO = Metric::gauge("canary_info", "1", &[bounded("target", "the probed target", 1)]);
}

const fn event(
    name: &'static str,
    levels: &'static [&'static str],
    fields: &'static [&'static str],
    help: &'static str,
) -> LogEvent {
    LogEvent { name, levels, fields, optional: &[], help }
}

/// The line of each run.
pub const CANARY_RUN: LogEvent = LogEvent {
    name: "canary_run",
    levels: &["INFO", "WARN", "ERROR"],
    fields: &["run", "outcome", "duration_ms", "retries"],
    optional: &["step", "phase", "address", "step_trace_id", "reason"],
    help: "A run ended: INFO when ok, WARN when degraded, else ERROR. What is optional tells of its first fault.",
};

/// Every log event of the canary.
pub const CANARY_EVENTS: &[&LogEvent] = &[
    &CANARY_RUN,
    &event("canary_started", &["INFO"], &["probed", "admin", "logs"], "The canary probes; what, and where it tells."),
    &event("canary_stopped", &["INFO"], &["runs"], "The canary was told to stop, and has cleaned up."),
    &event("canary_history_failed", &["WARN"], &["error"], "A run could not be added to the history."),
];

/// The metrics of a run, by the canary's name alone.
pub const CANARY_EMF_OF_RUN: &[EmfMetric] =
    &[EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES, EMF_DURATION, EMF_FAILED];

/// The metrics of a step, by the names of canary and step.
pub const CANARY_EMF_OF_STEP: &[EmfMetric] = &[EMF_SUCCESS_PERCENT, EMF_DURATION, EMF_FAILED];
