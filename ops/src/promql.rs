//! Reads PromQL as Prometheus would, and refuses what nobody emits: metrics, labels, label values, bucket edges.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use telemetry::catalogue::Kind;

use crate::catalogue::{Catalogue, Metric};

/// Labels that a scrape adds to every series.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// What an expression may name.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// What our code emits.
    pub catalogue: &'a Catalogue,
    /// Series of recording rules and of other programs (`up`, exporters), with the labels they have besides those of the
    /// target.
    pub others: BTreeMap<String, BTreeSet<String>>,
}

/// What is wrong with an expression; empty when Prometheus would find data for it once the service has had traffic. A
/// Grafana variable (`$job`, `${interval}`) must have been replaced by a value before.
pub fn problems(expression: &str, known: &Known<'_>) -> Vec<String> {
    let parsed = match parser::parse(expression) {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("does not parse: {error}")],
    };
    let mut walk = Walk { known, problems: Vec::new() };
    // It cannot fail: its error has no value.
    let _ = walk_expr(&mut walk, &parsed);
    walk.problems
}

/// The names of the series that an expression reads; empty when it does not parse.
pub fn series(expression: &str) -> BTreeSet<String> {
    let mut names = Names(BTreeSet::new());
    if let Ok(parsed) = parser::parse(expression) {
        // It cannot fail: its error has no value.
        let _ = walk_expr(&mut names, &parsed);
    }
    names.0
}

struct Names(BTreeSet<String>);

impl ExprVisitor for Names {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        if let Some(name) = selector(expression).and_then(|selector| selector.name.clone()) {
            self.0.insert(name);
        }
        Ok(true)
    }
}

struct Walk<'a> {
    known: &'a Known<'a>,
    problems: Vec<String>,
}

impl ExprVisitor for Walk<'_> {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        if let Some(selector) = selector(expression) {
            self.selector(selector);
        }
        if let Expr::Aggregate(aggregate) = expression {
            self.grouping(aggregate);
        }
        Ok(true)
    }
}

/// The selector that an expression is, instant or over a range. The walk does not go into the latter by itself.
fn selector(expression: &Expr) -> Option<&VectorSelector> {
    match expression {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

impl Walk<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let Some(name) = &selector.name else {
            self.problems.push("a selector without a metric's name reads every series".to_owned());
            return;
        };
        let matchers = selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten());
        if let Some(metric) = self.known.catalogue.metric(name) {
            matchers.for_each(|matcher| self.matcher(name, metric, matcher));
        } else if let Some(labels) = self.known.others.get(name) {
            for matcher in matchers.filter(|matcher| !has(labels, &matcher.name)) {
                self.problems.push(format!("{name} has no label {}", matcher.name));
            }
        } else if self.known.catalogue.metrics.contains_key(name) {
            self.problems.push(format!("{name} is a histogram: name {name}_bucket, {name}_sum or {name}_count"));
        } else {
            self.problems.push(format!("nobody emits {name}"));
        }
    }

    fn matcher(&mut self, name: &str, metric: &Metric, matcher: &Matcher) {
        if TARGET_LABELS.contains(&matcher.name.as_str()) {
            return;
        }
        if matcher.name == "le" && name.ends_with("_bucket") {
            return self.edge(name, metric, matcher);
        }
        let Some(values) = metric.labels.get(&matcher.name) else {
            self.problems.push(format!("{name} has no label {}", matcher.name));
            return;
        };
        let matches = |value: &String| match &matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => *value == matcher.value,
            MatchOp::Re(pattern) | MatchOp::NotRe(pattern) => pattern.is_match(value),
        };
        if values.as_ref().is_some_and(|values| !values.iter().any(matches)) {
            self.problems.push(format!("label {} of {name} never matches {:?}", matcher.name, matcher.value));
        }
    }

    fn edge(&mut self, name: &str, metric: &Metric, matcher: &Matcher) {
        // The label is text: `1` does not find `1.0`.
        let is_edge = matcher.value == "+Inf" || metric.buckets.iter().any(|edge| format!("{edge:?}") == matcher.value);
        if matcher.op != MatchOp::Equal || !is_edge {
            self.problems.push(format!("{name} has no bucket {:?}", matcher.value));
        }
    }

    /// Grouping by a label that no series below has makes one group of all, in silence.
    fn grouping(&mut self, aggregate: &AggregateExpr) {
        let Some(LabelModifier::Include(labels)) = &aggregate.modifier else { return };
        let mut below = Names(BTreeSet::new());
        // It cannot fail: its error has no value.
        let _ = walk_expr(&mut below, &aggregate.expr);
        for label in labels.labels.iter().filter(|label| !TARGET_LABELS.contains(&label.as_str())) {
            let found = below.0.iter().any(|series| self.has_label(series, label));
            if !found && !below.0.is_empty() && !makes_labels(&aggregate.expr) {
                self.problems.push(format!("nothing that is grouped by {label} has such a label"));
            }
        }
    }

    fn has_label(&self, series: &str, label: &str) -> bool {
        match self.known.catalogue.metric(series) {
            Some(metric) => metric.labels.contains_key(label) || (label == "le" && metric.kind == Kind::Histogram),
            None => self.known.others.get(series).is_some_and(|labels| labels.contains(label)),
        }
    }
}

fn has(labels: &BTreeSet<String>, name: &str) -> bool {
    labels.contains(name) || TARGET_LABELS.contains(&name)
}

/// Whether a function within makes labels of its own.
fn makes_labels(expression: &Expr) -> bool {
    struct Makes(bool);
    impl ExprVisitor for Makes {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            if let Expr::Call(call) = expression {
                self.0 |= matches!(call.func.name, "label_replace" | "label_join" | "vector");
            }
            Ok(true)
        }
    }
    let mut makes = Makes(false);
    // It cannot fail: its error has no value.
    let _ = walk_expr(&mut makes, expression);
    makes.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(expression: &str) -> Vec<String> {
        let catalogue = Catalogue::of_the_code();
        let others = [("up".to_owned(), BTreeSet::new())].into();
        problems(expression, &Known { catalogue: &catalogue, others })
    }

    #[test]
    fn what_is_emitted_may_be_asked_for() {
        for expression in [
            "up{job=\"task-api\"} == 0",
            "sum by (http_route) (rate(http_server_request_duration_seconds_count{http_response_status_code=~\"5..\"}[5m]))",
            "histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))",
            "rate(http_server_request_duration_seconds_bucket{le=\"0.2\"}[5m])",
            "max_over_time(panics_total[1h] offset 5m) > 0",
            "sum(rate(telemetry_dropped_total{signal=\"log\"}[5m])) by (reason, instance)",
        ] {
            assert_eq!(wrong(expression), Vec::<String>::new(), "{expression}");
        }
    }

    #[test]
    fn what_nobody_emits_is_refused() {
        for (expression, problem) in [
            ("rate(http_requests_total[5m])", "nobody emits http_requests_total"),
            ("panics_total{route=\"x\"}", "panics_total has no label route"),
            ("up{color=\"red\"}", "up has no label color"),
            (
                "telemetry_dropped_total{signal=\"smoke\"}",
                "label signal of telemetry_dropped_total never matches \"smoke\"",
            ),
            ("rate(http_server_request_duration_seconds[5m])", "is a histogram"),
            ("http_server_request_duration_seconds_bucket{le=\"0.3\"}", "has no bucket \"0.3\""),
            ("http_server_request_duration_seconds_bucket{le=\"1\"}", "has no bucket \"1\""),
            ("sum by (route) (panics_total)", "nothing that is grouped by route"),
            ("{job=\"task-api\"}", "without a metric's name"),
            ("sum(rate(panics_total[5m])", "does not parse"),
        ] {
            let found = wrong(expression);
            assert!(found.len() == 1 && found[0].contains(problem), "{expression}: {found:?}");
        }
    }
}
