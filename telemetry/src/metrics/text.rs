//! The exposition of what the exporter does not write: histograms, which are ours; fractions of a counter, of which
//! it knows only whole ones; and the number of its own lines.

use std::fmt::Write;

use super::histogram::Histogram;
use crate::catalogue::Metric;

// Writing to a string cannot fail, hence the results that are ignored here.

/// Appends a metric without labels: help, type and its one sample.
pub(super) fn sample(out: &mut String, metric: &Metric, value: f64) {
    head(out, metric);
    let _ = write!(out, "{} {value}\n\n", metric.name);
}

/// Appends the help and the type.
pub(super) fn head(out: &mut String, metric: &Metric) {
    let (name, help, kind) = (metric.name, metric.help, metric.kind.as_str());
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// Labels and their values, as they stand between the braces.
pub(super) fn labels(metric: &Metric, values: &[&str]) -> String {
    let mut out = String::new();
    for (label, value) in metric.labels.iter().zip(values) {
        let comma = if out.is_empty() { "" } else { "," };
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let _ = write!(out, "{comma}{}=\"{value}\"", label.name);
    }
    out
}

/// Appends the samples of one histogram.
pub(super) fn histogram(out: &mut String, metric: &Metric, labels: &str, histogram: &Histogram) {
    let name = metric.name;
    let snapshot = histogram.snapshot();
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in metric.buckets.iter().zip(snapshot.cumulative) {
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
    }
    let (count, sum) = (snapshot.count, snapshot.sum);
    let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    let _ = writeln!(out, "{name}_sum{open}{labels}{close} {sum}");
    let _ = writeln!(out, "{name}_count{open}{labels}{close} {count}");
}

/// How many samples an exposition holds.
pub(super) fn count_samples(exposition: &str) -> usize {
    exposition.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::BUILD_INFO;

    #[test]
    fn a_label_cannot_end_its_own_quotes() {
        let text = labels(&BUILD_INFO, &["a\"b", "c\\d\ne"]);
        assert_eq!(text, r#"version="a\"b",revision="c\\d\ne""#);
    }
}
