//! The metrics of the CloudWatch Logs shipper: its accounts, copied at each scrape.

use metrics::{Counter, Gauge};

use super::registry::Registry;
use crate::{
    catalogue::{self, ShipperDrop, ShipperOutcome, ShipperReject},
    clock,
    cloudwatch::ShipperCounts,
};

/// The handles.
#[derive(Debug)]
pub(super) struct ShipperMetrics {
    produced: Counter,
    recovered: Counter,
    delivered: Counter,
    rejected: Vec<Counter>,
    dropped: Vec<Counter>,
    truncated: Counter,
    requests: Vec<Counter>,
    spool_errors: Counter,
    retention_errors: Counter,
    queued_lines: Gauge,
    queued_bytes: Gauge,
    spooled_lines: Gauge,
    spooled_bytes: Gauge,
    last_success: Gauge,
    lag: Gauge,
}

impl ShipperMetrics {
    /// Registers all at 0.
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            produced: registry.counter(&catalogue::LOG_SHIPPER_PRODUCED, &[]),
            recovered: registry.counter(&catalogue::LOG_SHIPPER_RECOVERED_LINES, &[]),
            delivered: registry.counter(&catalogue::LOG_SHIPPER_DELIVERED, &[]),
            rejected: registry.counters(&catalogue::LOG_SHIPPER_REJECTED_LINES, &[], ShipperReject::LABELS),
            dropped: registry.counters(&catalogue::LOG_SHIPPER_DROPPED, &[], ShipperDrop::LABELS),
            truncated: registry.counter(&catalogue::LOG_SHIPPER_TRUNCATED, &[]),
            requests: registry.counters(&catalogue::LOG_SHIPPER_REQUESTS, &[], ShipperOutcome::LABELS),
            spool_errors: registry.counter(&catalogue::LOG_SHIPPER_SPOOL_ERRORS, &[]),
            retention_errors: registry.counter(&catalogue::LOG_SHIPPER_RETENTION_ERRORS, &[]),
            queued_lines: registry.gauge(&catalogue::LOG_SHIPPER_QUEUED_LINES, &[]),
            queued_bytes: registry.gauge(&catalogue::LOG_SHIPPER_QUEUED_BYTES, &[]),
            spooled_lines: registry.gauge(&catalogue::LOG_SHIPPER_SPOOLED_LINES, &[]),
            spooled_bytes: registry.gauge(&catalogue::LOG_SHIPPER_SPOOLED_BYTES, &[]),
            last_success: registry.gauge(&catalogue::LOG_SHIPPER_LAST_SUCCESS, &[]),
            lag: registry.gauge(&catalogue::LOG_SHIPPER_LAG, &[]),
        }
    }

    /// Copies the accounts; they are of one moment, so they add up in every scrape.
    pub(super) fn update(&self, counts: &ShipperCounts) {
        self.produced.absolute(counts.produced);
        self.recovered.absolute(counts.recovered);
        self.delivered.absolute(counts.delivered);
        self.rejected.iter().zip(counts.rejected).for_each(|(counter, lines)| counter.absolute(lines));
        for (counter, reason) in self.dropped.iter().zip(ShipperDrop::ALL) {
            counter.absolute(counts.dropped(*reason));
        }
        self.truncated.absolute(counts.truncated);
        self.requests.iter().zip(counts.requests).for_each(|(counter, requests)| counter.absolute(requests));
        self.spool_errors.absolute(counts.spool_errors);
        self.retention_errors.absolute(counts.retention_errors);
        self.queued_lines.set(counts.queued as f64);
        self.queued_bytes.set(counts.queued_bytes as f64);
        self.spooled_lines.set(counts.spooled as f64);
        self.spooled_bytes.set(counts.spooled_bytes as f64);
        self.last_success.set(counts.last_success_ms as f64 / 1000.0);
        let now = clock::since_epoch().as_millis() as u64;
        let oldest = if counts.oldest_pending_ms == 0 { now } else { counts.oldest_pending_ms };
        self.lag.set(now.saturating_sub(oldest) as f64 / 1000.0);
    }
}
