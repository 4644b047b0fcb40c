//! The catalogue: every signal the workspace emits, declared once.
//!
//! A metric's doc comment is its HELP text, its labels name every value they can take, and the enums whose
//! members become label values stand beside it. Dashboards, alerts and the tests of the service read this list.

mod canary;
mod emf;
mod events;
mod metrics;
mod reference;
mod sets;
mod spans;

pub use canary::*;
pub use emf::*;
pub use events::*;
pub use metrics::*;
pub use reference::{REFERENCE_PATH, reference};
pub use sets::*;
pub use spans::*;

/// What a metric counts like; decides its `# TYPE` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at each start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations by upper bound, with their sum.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The values a label can take. There is no third form: a label without a bound is a leak of memory, here and in
/// every system that scrapes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Exactly these.
    Closed(&'static [&'static str]),
    /// A list that the program fixes at its start.
    Bounded {
        /// Where the values come from.
        what: &'static str,
        /// More than so many is a mistake in the program.
        at_most: usize,
    },
}

/// One label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// As it is exposed.
    pub name: &'static str,
    /// What it can hold.
    pub values: Values,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// As it is exposed; OpenTelemetry's convention in Prometheus' spelling.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The unit in UCUM: `s`, `By`, `1`, or `{what}` for things counted.
    pub unit: &'static str,
    /// The HELP line.
    pub help: &'static str,
    /// Its labels, in the order in which they are exposed.
    pub labels: &'static [Label],
    /// Upper bounds of a histogram, in `unit`, without `+Inf`; empty for the other kinds.
    pub buckets: &'static [f64],
}

impl Metric {
    const fn counter(name: &'static str, unit: &'static str, labels: &'static [Label]) -> Self {
        Self { name, kind: Kind::Counter, unit, help: "", labels, buckets: &[] }
    }

    const fn gauge(name: &'static str, unit: &'static str, labels: &'static [Label]) -> Self {
        Self { name, kind: Kind::Gauge, unit, help: "", labels, buckets: &[] }
    }

    const fn histogram(name: &'static str, labels: &'static [Label], buckets: &'static [f64]) -> Self {
        Self { name, kind: Kind::Histogram, unit: "s", help: "", labels, buckets }
    }

    const fn with_help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// How many lines of the exposition one combination of labels takes: a histogram has its buckets, `+Inf`,
    /// a sum and a count.
    pub const fn lines_per_series(&self) -> usize {
        match self.kind {
            Kind::Histogram => self.buckets.len() + 3,
            Kind::Counter | Kind::Gauge => 1,
        }
    }

    /// The most lines this metric can expose, given the real size of each bounded label.
    pub fn series_max(&self, bounded: impl Fn(&Label) -> Option<usize>) -> usize {
        let combinations: usize = self
            .labels
            .iter()
            .map(|label| match label.values {
                Values::Closed(values) => values.len(),
                Values::Bounded { at_most, .. } => bounded(label).unwrap_or(at_most),
            })
            .product();
        combinations * self.lines_per_series()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_every_metric_explains_itself() {
        let mut names = HashSet::new();
        for metric in METRICS.iter().chain(CANARY_METRICS) {
            assert!(names.insert(metric.name), "{} stands twice", metric.name);
            assert!(metric.help.ends_with('.'), "{} has no sentence as its help", metric.name);
            assert!(!metric.help.contains(['\n', '\\']), "{} has help that needs escaping", metric.name);
            assert!(!metric.unit.is_empty(), "{} has no unit", metric.name);
        }
    }

    #[test]
    fn names_follow_the_conventions_of_their_kind() {
        for metric in METRICS.iter().chain(CANARY_METRICS) {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
            let histogram = metric.kind == Kind::Histogram;
            assert_eq!(histogram, !metric.buckets.is_empty(), "{}", metric.name);
            assert!(metric.buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
            assert_eq!(metric.name.contains("_seconds"), metric.unit == "s", "{}", metric.name);
            assert_eq!(metric.name.contains("_bytes"), metric.unit == "By", "{}", metric.name);
        }
    }

    #[test]
    fn closed_sets_hold_no_value_twice() {
        for label in METRICS.iter().chain(CANARY_METRICS).flat_map(|metric| metric.labels) {
            if let Values::Closed(values) = label.values {
                let distinct: HashSet<_> = values.iter().collect();
                assert_eq!(distinct.len(), values.len(), "{}", label.name);
            }
        }
    }
}
