//! The catalogue of `telemetry` as values that a test can change: what would break if a name changed?

use std::collections::BTreeMap;

use telemetry::catalogue::{self as code, Kind, Values};

/// All that a query can name.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    /// By name; a histogram once, without `_bucket`, `_sum` and `_count`.
    pub metrics: BTreeMap<String, Metric>,
    /// Fields of a log line by the event that has them; what every line may have stands under the empty name.
    pub fields: BTreeMap<String, Vec<String>>,
    /// Levels of a log line by its event.
    pub levels: BTreeMap<String, Vec<String>>,
    /// What CloudWatch makes of our log lines, by namespace.
    pub emf: BTreeMap<String, Emf>,
}

/// The metrics of one namespace of CloudWatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emf {
    /// Their names.
    pub metrics: Vec<String>,
    /// The dimension sets that each of them has.
    pub dimension_sets: Vec<Vec<String>>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Labels by name; `None` takes any value.
    pub labels: BTreeMap<String, Option<Vec<String>>>,
    /// Upper bounds of a histogram, in seconds.
    pub buckets: Vec<f64>,
}

impl Catalogue {
    /// What our code emits.
    pub fn of_the_code() -> Self {
        let metrics = code::METRICS
            .iter()
            .chain(code::CANARY_METRICS)
            .map(|metric| (metric.name.to_owned(), Metric::from(*metric)))
            .collect();
        let mut fields: BTreeMap<String, Vec<String>> = code::LOG_EVENTS
            .iter()
            .chain(code::CANARY_EVENTS)
            .map(|event| {
                let names = event.fields.iter().chain(event.optional).map(|&name| name.to_owned());
                (event.name.to_owned(), names.collect())
            })
            .collect();
        let top = code::TOP_LEVEL_FIELDS.iter().chain(&["message", "event"]).map(|&name| name.to_owned());
        fields.insert(String::new(), top.collect());
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
        let events = code::LOG_EVENTS.iter().chain(code::CANARY_EVENTS);
        let levels = events.map(|event| (event.name.to_owned(), owned(event.levels))).collect();
        let emf = code::EMF_NAMESPACES.iter().map(|namespace| {
            let metrics = namespace.metrics.iter().map(|metric| metric.name.to_owned()).collect();
            let dimension_sets = namespace.dimension_sets.iter().map(|set| owned(set)).collect();
            (namespace.name.to_owned(), Emf { metrics, dimension_sets })
        });
        Self { metrics, fields, levels, emf: emf.collect() }
    }

    /// The metric that a series' name belongs to, and which part of a histogram it is: `x_bucket` is of `x`.
    pub fn metric(&self, series: &str) -> Option<&Metric> {
        let part = |suffix| {
            let metric = self.metrics.get(series.strip_suffix(suffix)?)?;
            (metric.kind == Kind::Histogram).then_some(metric)
        };
        let whole = self.metrics.get(series).filter(|metric| metric.kind != Kind::Histogram);
        whole.or_else(|| part("_bucket")).or_else(|| part("_sum")).or_else(|| part("_count"))
    }

    /// Gives a metric another name.
    pub fn rename_metric(&mut self, from: &str, to: &str) {
        if let Some(metric) = self.metrics.remove(from) {
            self.metrics.insert(to.to_owned(), metric);
        }
    }

    /// Gives a label of one metric another name.
    pub fn rename_label(&mut self, metric: &str, from: &str, to: &str) {
        if let Some(metric) = self.metrics.get_mut(metric)
            && let Some(values) = metric.labels.remove(from)
        {
            metric.labels.insert(to.to_owned(), values);
        }
    }

    /// Gives a field of one event another name; the empty event is what every line has.
    pub fn rename_field(&mut self, event: &str, from: &str, to: &str) {
        for field in self.fields.get_mut(event).into_iter().flatten().filter(|field| *field == from) {
            to.clone_into(field);
        }
    }

    /// Gives a metric or a dimension of CloudWatch another name.
    pub fn rename_emf(&mut self, namespace: &str, from: &str, to: &str) {
        if let Some(emf) = self.emf.get_mut(namespace) {
            let names = emf.metrics.iter_mut().chain(emf.dimension_sets.iter_mut().flatten());
            names.filter(|name| *name == from).for_each(|name| to.clone_into(name));
        }
    }
}

impl From<&code::Metric> for Metric {
    fn from(metric: &code::Metric) -> Self {
        let values = |label: &code::Label| match label.values {
            Values::Closed(values) => Some(values.iter().map(|&value| value.to_owned()).collect()),
            Values::Bounded { .. } => None,
        };
        let labels = metric.labels.iter().map(|label| (label.name.to_owned(), values(label))).collect();
        Self { kind: metric.kind, labels, buckets: metric.buckets.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_named_by_its_parts_only() {
        let catalogue = Catalogue::of_the_code();
        let name = "http_server_request_duration_seconds";
        assert!(catalogue.metric(name).is_none());
        for part in ["_bucket", "_sum", "_count"] {
            assert!(catalogue.metric(&format!("{name}{part}")).is_some(), "{part}");
        }
        assert!(catalogue.metric("panics_total").is_some());
        assert!(catalogue.metric("panics_total_count").is_none());
    }

    #[test]
    fn the_edges_that_an_objective_can_have_are_the_buckets_of_the_catalogue() {
        assert_eq!(slo::REQUEST_EDGES, code::HTTP_BUCKETS);
        assert_eq!(slo::DATABASE_EDGES, code::DB_BUCKETS);
    }
}
