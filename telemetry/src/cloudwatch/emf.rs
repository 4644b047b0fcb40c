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
    catalogue::{
        EMF_ENVIRONMENT, EMF_FAULTS, EMF_LATENCY, EMF_REQUESTS, EMF_ROUTE, EMF_SERVICE, EMF_SERVICE_NAMESPACE,
        EmfMetric, HTTP_BUCKETS,
    },
    clock,
    logs::json_string,
    metrics::{Metrics, RouteTotals},
};

/// What stands for a request above the last bound of the histogram, in seconds: twice that bound.
const ABOVE_LAST_BOUND: f64 = 2.0 * HTTP_BUCKETS[HTTP_BUCKETS.len() - 1];

/// Turns the growth of the request histogram into lines.
#[derive(Debug)]
pub struct Aggregator {
    namespace: String,
    service: String,
    environment: String,
    /// What the line says of its metrics: dimension sets, names and units, as JSON.
    directive: String,
    before: Vec<RouteTotals>,
}

/// The directive's `Dimensions` and `Metrics` as the catalogue has them.
fn directive() -> String {
    let list = |items: &[String]| format!("[{}]", items.join(","));
    let names = |set: &&[&str]| list(&set.iter().map(|name| json_string(name)).collect::<Vec<_>>());
    let metric =
        |metric: &EmfMetric| format!("{{\"Name\":{},\"Unit\":{}}}", json_string(metric.name), json_string(metric.unit));
    let dimensions: Vec<String> = EMF_SERVICE_NAMESPACE.dimension_sets.iter().map(names).collect();
    let metrics: Vec<String> = EMF_SERVICE_NAMESPACE.metrics.iter().map(metric).collect();
    format!("\"Dimensions\":{},\"Metrics\":{}", list(&dimensions), list(&metrics))
}

impl Aggregator {
    /// For a namespace, and the dimensions that are the same on every line.
    pub fn new(namespace: &str, service: &str, environment: &str) -> Self {
        let [namespace, service, environment] = [namespace, service, environment].map(json_string);
        Self { namespace, service, environment, directive: directive(), before: Vec::new() }
    }

    /// Hands the lines of what has happened since the last call to the queue, above INFO: a minute's line stands for
    /// thousands.
    pub(super) fn collect(&mut self, metrics: &Metrics, queue: &Queue) {
        let now = clock::now();
        for line in self.lines(metrics, milliseconds(now)) {
            queue.push(now, Level::WARN, line.as_bytes());
        }
    }

    /// One line of JSON for each route that had requests since the last call; `timestamp_ms` is since 1970.
    pub fn lines(&mut self, metrics: &Metrics, timestamp_ms: i64) -> Vec<String> {
        let totals = metrics.route_totals();
        let growth = totals.iter().enumerate().map(|(at, total)| total.since(self.before.get(at)));
        let lines = growth.filter(|growth| growth.requests() > 0).map(|growth| self.line(&growth, timestamp_ms));
        let lines = lines.collect();
        self.before = totals;
        lines
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
        let Self { namespace, service, environment, directive, .. } = self;
        let (requests_name, faults_name, latency_name) = (EMF_REQUESTS.name, EMF_FAULTS.name, EMF_LATENCY.name);
        let (requests, faults, sum) = (route.requests(), route.faults, route.sum_seconds);
        let route = json_string(route.route);
        format!(
            "{{\"_aws\":{{\"Timestamp\":{timestamp_ms},\"CloudWatchMetrics\":[{{\"Namespace\":{namespace},{directive}}}]}},\
             \"{EMF_SERVICE}\":{service},\"{EMF_ENVIRONMENT}\":{environment},\"{EMF_ROUTE}\":{route},\
             \"{requests_name}\":{requests},\"{faults_name}\":{faults},\
             \"{latency_name}\":{{\"Values\":[{values}],\"Counts\":[{counts}],\
             \"Min\":{least},\"Max\":{most},\"Sum\":{sum},\"Count\":{requests}}}}}"
        )
    }
}
