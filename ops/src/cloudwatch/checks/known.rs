//! Which metrics exist: those of AWS, those of our log lines, those that the template's filters make.

use std::collections::{BTreeMap, BTreeSet};

use super::super::aws;
use super::super::parameters::PARAMETERS;
use super::super::template::{Metric, Template};
use crate::catalogue::Catalogue;
use telemetry::catalogue::EMF_SERVICE_NAMESPACE;

/// By namespace and name the dimension sets, each in the order of the alphabet.
#[derive(Debug, Default)]
pub(super) struct Known {
    metrics: BTreeMap<(String, String), BTreeSet<Vec<String>>>,
}

impl Known {
    pub(super) fn new(catalogue: &Catalogue, template: &Template) -> Self {
        let mut known = Self::default();
        for group in aws::GROUPS {
            for metric in group.metrics {
                for set in group.dimension_sets {
                    known.add(group.namespace, metric, set.iter().map(|&name| name.to_owned()));
                }
            }
        }
        for (namespace, emf) in &catalogue.emf {
            for metric in &emf.metrics {
                for set in &emf.dimension_sets {
                    known.add(namespace, metric, set.iter().cloned());
                }
            }
        }
        for transformation in template.filters.values().flat_map(|filter| &filter.metric_transformations) {
            let names = transformation.dimensions.iter().map(|dimension| dimension.key.clone());
            known.add(&transformation.metric_namespace, &transformation.metric_name, names);
        }
        known
    }

    /// For a dashboard that stands alone: the filters are those of the rendered template.
    pub(super) fn without_template(catalogue: &Catalogue) -> Self {
        let mut known = Self::new(catalogue, &Template::default());
        let dimensions = [telemetry::catalogue::EMF_SERVICE, telemetry::catalogue::EMF_ENVIRONMENT];
        for filter in super::super::alarms::FILTERS {
            let names = dimensions.iter().map(|&name| name.to_owned());
            known.add(EMF_SERVICE_NAMESPACE.name, filter.metric, names);
        }
        known
    }

    fn add(&mut self, namespace: &str, name: &str, dimensions: impl Iterator<Item = String>) {
        let mut set: Vec<String> = dimensions.collect();
        set.sort();
        self.metrics.entry((namespace.to_owned(), name.to_owned())).or_default().insert(set);
    }

    /// What is wrong with a metric's names.
    pub(super) fn problem(&self, metric: &Metric) -> Option<String> {
        let mut names: Vec<String> = metric.dimensions.iter().map(|dimension| dimension.name.clone()).collect();
        names.sort();
        self.names(&metric.namespace, &metric.metric_name, &names).or_else(|| {
            let empty = metric.dimensions.iter().find(|dimension| dimension.value.trim().is_empty());
            empty.map(|dimension| format!("dimension {} of {} has no value", dimension.name, metric.metric_name))
        })
    }

    /// What is wrong with a metric's name and the names of its dimensions, in the order of the alphabet.
    pub(super) fn names(&self, namespace: &str, name: &str, dimensions: &[String]) -> Option<String> {
        let Some(sets) = self.metrics.get(&(namespace.to_owned(), name.to_owned())) else {
            let namespaces = self.metrics.keys().any(|(known, _)| known == namespace);
            let what = if namespaces { "no such metric" } else { "no such namespace" };
            return Some(format!("nobody sends {namespace} {name}: {what} is known"));
        };
        if sets.contains(dimensions) {
            return None;
        }
        let sets: Vec<String> = sets.iter().map(|set| format!("[{}]", set.join(", "))).collect();
        let given = dimensions.join(", ");
        Some(format!("{namespace} {name} has no dimensions [{given}], only {}", sets.join(", ")))
    }
}

/// Whether a text begins as every name must: with service and environment.
pub(super) fn prefixed(name: &str) -> bool {
    let sample = |wanted| PARAMETERS.iter().find(|parameter| parameter.name == wanted).map_or("", |found| found.sample);
    name.starts_with(&format!("{}-{}-", sample("Service"), sample("Environment")))
}
