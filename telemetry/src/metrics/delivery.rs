//! What becomes of the telemetry itself: read from each signal's counts when the exposition is rendered.

use std::sync::{Arc, OnceLock};

use ::metrics::{Counter, Gauge};

use super::registry::Registry;
use crate::{
    catalogue::{self, DropReason, SentryResult, ShipperDrop, Signal},
    cloudwatch::ShipperCounts,
    delivery::DeliveryStats,
    logs::LogStats,
};

/// The metrics of all ways out; those of a signal that goes nowhere stay 0.
#[derive(Debug)]
pub(super) struct DeliveryMetrics {
    /// `[signal][reason]`.
    dropped: Vec<Vec<Counter>>,
    spans: Counter,
    spans_exported: Counter,
    span_queue: Gauge,
    failures: Counter,
    failure_queue: Gauge,
    /// In the order of the label's values.
    last_success: Vec<Gauge>,
    sentry: Vec<Counter>,
    traces: OnceLock<Arc<DeliveryStats>>,
    errors: OnceLock<Arc<DeliveryStats>>,
}

impl DeliveryMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let dropped =
            |signal: &&'static str| registry.counters(&catalogue::TELEMETRY_DROPPED, &[*signal], DropReason::LABELS);
        let last_success = |signal: Signal| registry.gauge(&catalogue::TELEMETRY_LAST_SUCCESS, &[signal.as_str()]);
        Self {
            dropped: Signal::LABELS.iter().map(dropped).collect(),
            spans: registry.counter(&catalogue::TELEMETRY_SPANS, &[]),
            spans_exported: registry.counter(&catalogue::TELEMETRY_SPANS_EXPORTED, &[]),
            span_queue: registry.gauge(&catalogue::TELEMETRY_SPAN_QUEUE, &[]),
            failures: registry.counter(&catalogue::TELEMETRY_ERRORS, &[]),
            failure_queue: registry.gauge(&catalogue::TELEMETRY_ERROR_QUEUE, &[]),
            last_success: vec![last_success(Signal::Trace), last_success(Signal::Error)],
            sentry: registry.counters(&catalogue::SENTRY_EVENTS, &[], SentryResult::LABELS),
            traces: OnceLock::new(),
            errors: OnceLock::new(),
        }
    }

    pub(super) fn attach_traces(&self, stats: Arc<DeliveryStats>) {
        let _ = self.traces.set(stats);
    }

    pub(super) fn attach_errors(&self, stats: Arc<DeliveryStats>) {
        let _ = self.errors.set(stats);
    }

    pub(super) fn refresh(&self, logs: Option<&LogStats>) {
        if let Some(logs) = logs {
            self.refresh_dropped(Signal::Log, |reason| logs.dropped(reason));
        }
        if let Some(traces) = self.traces.get() {
            self.refresh_dropped(Signal::Trace, |reason| traces.dropped(reason));
            self.spans.absolute(traces.produced());
            self.spans_exported.absolute(traces.delivered());
            self.span_queue.set(traces.waiting() as f64);
            self.last_success[0].set(traces.last_success_seconds() as f64);
        }
        if let Some(errors) = self.errors.get() {
            self.refresh_errors(errors);
        }
    }

    fn refresh_errors(&self, errors: &DeliveryStats) {
        self.refresh_dropped(Signal::Error, |reason| errors.dropped(reason));
        self.failures.absolute(errors.produced());
        self.failure_queue.set(errors.waiting() as f64);
        self.last_success[1].set(errors.last_success_seconds() as f64);
        for (counter, result) in self.sentry.iter().zip(SentryResult::ALL) {
            counter.absolute(match result {
                SentryResult::Sent => errors.delivered(),
                SentryResult::Failed => errors.dropped(DropReason::ExportFailed),
                SentryResult::RateLimited => errors.dropped(DropReason::RateLimited),
                SentryResult::Dropped => errors.dropped(DropReason::QueueFull) + errors.dropped(DropReason::Shutdown),
            });
        }
    }

    pub(super) fn refresh_shipper(&self, counts: &ShipperCounts) {
        let full = counts.dropped(ShipperDrop::QueueFull);
        self.refresh_dropped(Signal::CloudWatch, |reason| match reason {
            DropReason::QueueFull => full,
            DropReason::Rejected => counts.rejected_total(),
            // What the spool has spoilt.
            DropReason::WriteFailed => counts.dropped_total() - full,
            _ => 0,
        });
    }

    fn refresh_dropped(&self, signal: Signal, dropped: impl Fn(DropReason) -> u64) {
        for (counter, reason) in self.dropped[signal as usize].iter().zip(DropReason::ALL) {
            counter.absolute(dropped(*reason));
        }
    }
}
