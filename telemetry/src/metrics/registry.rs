//! The recorder, and the only place where a handle is made: from the catalogue's metric and values for its
//! labels. Counters and gauges are the exporter's, histograms our own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::{histogram::Histogram, openmetrics::Exposition, text};

use crate::catalogue::{self, Kind, METRICS, Metric, Values};

static METADATA: Metadata<'static> = Metadata::new("telemetry", Level::INFO, None);

/// One metric's histograms by their labels, in the order in which they are exposed.
type Histograms = BTreeMap<String, Arc<Histogram>>;

/// The recorder of one app.
#[derive(Debug)]
pub(super) struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: Mutex<BTreeMap<&'static str, Histograms>>,
}

impl Registry {
    /// A recorder that knows the help of every metric.
    pub(super) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in METRICS {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => {}
            }
        }
        let handle = recorder.handle();
        Self { recorder, handle, histograms: Mutex::default() }
    }

    /// Head and samples of each metric, in the form of text; histograms alone are written as `format` has them.
    pub(super) fn render(&self, format: Exposition) -> String {
        let mut out = self.handle.render();
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in METRICS {
            let Some(of_metric) = histograms.get(metric.name) else { continue };
            text::head(&mut out, metric);
            for (labels, histogram) in of_metric {
                text::histogram(&mut out, metric, labels, histogram, format);
            }
            out.push('\n');
        }
        out
    }

    pub(super) fn counter(&self, metric: &Metric, values: &[&'static str]) -> Counter {
        self.recorder.register_counter(&key(metric, Kind::Counter, values), &METADATA)
    }

    pub(super) fn gauge(&self, metric: &Metric, values: &[&'static str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, Kind::Gauge, values), &METADATA)
    }

    pub(super) fn histogram(&self, metric: &Metric, values: &[&'static str]) -> Arc<Histogram> {
        check(metric, Kind::Histogram, values);
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let of_metric = histograms.entry(metric.name).or_default();
        let histogram = of_metric.entry(text::labels(metric, values));
        Arc::clone(histogram.or_insert_with(|| Arc::new(Histogram::new(metric.buckets))))
    }

    /// One counter for each value of the last label.
    pub(super) fn counters(
        &self,
        metric: &Metric,
        first: &[&'static str],
        last: &'static [&'static str],
    ) -> Vec<Counter> {
        last.iter().map(|value| self.counter(metric, &[first, &[*value]].concat())).collect()
    }

    /// Ends the start if a bounded label has outgrown what the catalogue says of it.
    pub(super) fn check_bound(&self, label: &catalogue::Label, size: usize) {
        if let Values::Bounded { what, at_most } = label.values {
            assert!(size <= at_most, "{}: {size} {what}, the catalogue allows {at_most}", label.name);
        }
    }
}

fn key(metric: &Metric, kind: Kind, values: &[&'static str]) -> Key {
    check(metric, kind, values);
    let labels: Vec<Label> =
        metric.labels.iter().zip(values).map(|(label, value)| Label::from_static_parts(label.name, value)).collect();
    Key::from_parts(metric.name, labels)
}

fn check(metric: &Metric, kind: Kind, values: &[&'static str]) {
    debug_assert_eq!(metric.kind, kind, "{}", metric.name);
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
}
