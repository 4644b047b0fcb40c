//! The exposition of what the exporter does not write: histograms, which are ours; fractions of a counter, of which
//! it knows only whole ones; and the number of its own lines.

use std::fmt::Write;

use super::{exemplar::Exemplar, histogram::Histogram, openmetrics::Exposition};
use crate::{catalogue::Metric, hex};

// Writing to a string cannot fail, hence the results that are ignored here.

/// Appends a metric without labels: help, type and its one sample.
pub(super) fn sample(out: &mut String, metric: &Metric, value: f64) {
    head(out, metric);
    let _ = write!(out, "{} {value}\n\n", metric.name);
}

/// Appends one sample of a metric with labels; the head is written before.
pub(super) fn labelled(out: &mut String, metric: &Metric, values: &[&str], value: f64) {
    let _ = writeln!(out, "{}{{{}}} {value}", metric.name, labels(metric, values));
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

/// Appends the samples of one histogram; in OpenMetrics its buckets have their exemplars. That format wants a point in
/// whole bounds, and both have it: a query names one spelling of a bucket, whichever way it was scraped.
pub(super) fn histogram(out: &mut String, metric: &Metric, labels: &str, histogram: &Histogram, format: Exposition) {
    let name = metric.name;
    let snapshot = histogram.snapshot();
    let comma = if labels.is_empty() { "" } else { "," };
    let openmetrics = format == Exposition::OpenMetrics;
    let mut bucket = |at, bound: &dyn std::fmt::Display, count| {
        let _ = write!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        if let Some(found) = histogram.exemplar(at).filter(|_| openmetrics) {
            exemplar(out, &found);
        }
        out.push('\n');
    };
    for (at, (bound, count)) in metric.buckets.iter().zip(snapshot.cumulative).enumerate() {
        bucket(at, &format_args!("{bound:?}"), count);
    }
    let (count, sum) = (snapshot.count, snapshot.sum);
    bucket(metric.buckets.len(), &"+Inf", count);
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    let _ = writeln!(out, "{name}_sum{open}{labels}{close} {sum}");
    let _ = writeln!(out, "{name}_count{open}{labels}{close} {count}");
}

/// Appends an exemplar to the line of its bucket: the ids, what was observed, and when, in seconds since 1970.
fn exemplar(out: &mut String, exemplar: &Exemplar) {
    let (trace_id, span_id) = (hex::encode(&exemplar.trace_id), hex::encode(&exemplar.span_id));
    let (seconds, at) = (exemplar.nanoseconds as f64 / 1e9, exemplar.at_ms);
    let (at, milliseconds) = (at / 1000, at % 1000);
    let _ = write!(out, " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {seconds} {at}.{milliseconds:03}");
}

/// How many samples an exposition holds.
pub(super) fn count_samples(exposition: &str) -> usize {
    exposition.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{BUILD_INFO, DB_CONNECTION_WAIT_TIME, DB_OPERATION_DURATION},
        trace_context::TraceContext,
    };
    use std::time::Duration;

    #[test]
    fn a_label_cannot_end_its_own_quotes() {
        let text = labels(&BUILD_INFO, &["a\"b", "c\\d\ne"]);
        assert_eq!(text, r#"version="a\"b",revision="c\\d\ne""#);
    }

    fn written(metric: &Metric, labels: &str, histogram: &Histogram, format: Exposition) -> String {
        let mut out = String::new();
        super::histogram(&mut out, metric, labels, histogram, format);
        out
    }

    #[test]
    fn a_histogram_in_text_has_no_exemplars() {
        let histogram = Histogram::new(DB_CONNECTION_WAIT_TIME.buckets);
        histogram.record_with(Duration::from_micros(7500), Some(&TraceContext::new_root()));
        let expected = "\
db_client_connection_wait_time_seconds_bucket{le=\"0.001\"} 0
db_client_connection_wait_time_seconds_bucket{le=\"0.005\"} 0
db_client_connection_wait_time_seconds_bucket{le=\"0.01\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"0.025\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"0.05\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"0.1\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"0.5\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"1.0\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"5.0\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"10.0\"} 1
db_client_connection_wait_time_seconds_bucket{le=\"+Inf\"} 1
db_client_connection_wait_time_seconds_sum 0.0075
db_client_connection_wait_time_seconds_count 1
";
        assert_eq!(written(&DB_CONNECTION_WAIT_TIME, "", &histogram, Exposition::Text), expected);
    }

    #[test]
    fn a_histogram_in_openmetrics_has_an_exemplar_on_each_bucket_that_saw_a_recorded_trace() {
        let histogram = Histogram::new(DB_OPERATION_DURATION.buckets);
        let trace = TraceContext { trace_id: [0xab; 16], span_id: [0x0c; 8], ..TraceContext::new_root() };
        histogram.record(Duration::from_millis(3));
        histogram.record_with(Duration::from_micros(7500), Some(&trace));
        histogram.record_with(Duration::from_secs(20), Some(&trace));
        let text = written(&DB_OPERATION_DURATION, "a=\"b\"", &histogram, Exposition::OpenMetrics);
        let lines: Vec<&str> = text.lines().collect();
        let name = "db_client_operation_duration_seconds";
        let exemplars: Vec<_> = lines.iter().filter_map(|line| line.split_once(" # ")).collect();
        let sampled: Vec<_> = exemplars.iter().map(|(sample, _)| sample.to_string()).collect();
        let bucket = |le: &str, count| format!("{name}_bucket{{a=\"b\",le=\"{le}\"}} {count}");
        assert_eq!(sampled, [bucket("0.01", 2), bucket("+Inf", 3)]);
        let ids = format!("{{trace_id=\"{}\",span_id=\"{}\"}}", "ab".repeat(16), "0c".repeat(8));
        for ((_, exemplar), seconds) in exemplars.iter().zip(["0.0075", "20"]) {
            let timestamp = exemplar.strip_prefix(&format!("{ids} {seconds} ")).unwrap_or_else(|| panic!("{exemplar}"));
            let (whole, fraction) = timestamp.split_once('.').unwrap_or_default();
            let now = crate::clock::since_epoch().as_secs();
            assert!(whole.parse::<u64>().is_ok_and(|at| (now - 60..=now).contains(&at)), "{exemplar}");
            assert_eq!(fraction.len(), 3, "{exemplar}");
        }
        for le in ["0.5", "1.0", "5.0", "10.0"] {
            assert!(lines.contains(&&*bucket(le, 2)), "{le} in\n{text}");
        }
        assert_eq!(
            lines[lines.len() - 2..],
            [format!("{name}_sum{{a=\"b\"}} 20.0105"), format!("{name}_count{{a=\"b\"}} 3")]
        );
    }
}
