//! The RED metrics as log lines in CloudWatch's embedded metric format: one line for each route that had requests, each
//! minute.
//!
//! Two dimension sets, each a billed metric of its own for every metric: `Service, Environment, Route`, to see which
//! operation it is, and `Service, Environment`, because an alarm cannot search and must name the whole. Method and
//! status are no dimensions: they would multiply the bill, and the log lines have them.

use std::fmt::Write;

use tracing::Level;

use super::{event::milliseconds, queue::Queue};
use crate::{
    catalogue::HTTP_BUCKETS,
    clock,
    logs::json_string,
    metrics::{Metrics, RouteTotals},
};

/// What stands for a request above the last bound of the histogram, in seconds: twice that bound.
const ABOVE_LAST_BOUND: f64 = 2.0 * HTTP_BUCKETS[HTTP_BUCKETS.len() - 1];

/// Turns the growth of the request histogram into lines.
pub(super) struct Aggregator {
    namespace: String,
    service: String,
    environment: String,
    before: Vec<RouteTotals>,
}

impl Aggregator {
    pub(super) fn new(namespace: &str, service: &str, environment: &str) -> Self {
        let [namespace, service, environment] = [namespace, service, environment].map(json_string);
        Self { namespace, service, environment, before: Vec::new() }
    }

    /// Hands the lines of what has happened since the last call to the queue, above INFO: a minute's line stands for
    /// thousands.
    pub(super) fn collect(&mut self, metrics: &Metrics, queue: &Queue) {
        let now = clock::now();
        let totals = metrics.route_totals();
        for (at, total) in totals.iter().enumerate() {
            let growth = total.since(self.before.get(at));
            if growth.requests() > 0 {
                queue.push(now, Level::WARN, self.line(&growth, milliseconds(now)).as_bytes());
            }
        }
        self.before = totals;
    }

    fn line(&self, route: &RouteTotals, timestamp_ms: i64) -> String {
        let (mut values, mut counts, mut bounds) = (String::new(), String::new(), Vec::new());
        for (at, count) in route.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            // The upper bound: a percentile is never better than it was, and exact at the edges of the objectives.
            let bound = HTTP_BUCKETS.get(at).copied().unwrap_or(ABOVE_LAST_BOUND);
            let comma = if bounds.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(values, "{comma}{bound}");
            let _ = write!(counts, "{comma}{count}");
            bounds.push(bound);
        }
        let (least, most) = (bounds.first().copied().unwrap_or(0.0), bounds.last().copied().unwrap_or(0.0));
        let Self { namespace, service, environment, .. } = self;
        let (requests, faults, sum) = (route.requests(), route.faults, route.sum_seconds);
        let route = json_string(route.route);
        format!(
            "{{\"_aws\":{{\"Timestamp\":{timestamp_ms},\"CloudWatchMetrics\":[{{\"Namespace\":{namespace},\
             \"Dimensions\":[[\"Service\",\"Environment\",\"Route\"],[\"Service\",\"Environment\"]],\
             \"Metrics\":[{{\"Name\":\"Requests\",\"Unit\":\"Count\"}},{{\"Name\":\"Faults\",\"Unit\":\"Count\"}},\
             {{\"Name\":\"Latency\",\"Unit\":\"Seconds\"}}]}}]}},\
             \"Service\":{service},\"Environment\":{environment},\"Route\":{route},\
             \"Requests\":{requests},\"Faults\":{faults},\
             \"Latency\":{{\"Values\":[{values}],\"Counts\":[{counts}],\
             \"Min\":{least},\"Max\":{most},\"Sum\":{sum},\"Count\":{requests}}}}}"
        )
    }
}
