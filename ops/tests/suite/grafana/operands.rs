//! What alerts compare is there: each side of each comparison has a value on a real Prometheus.

use std::collections::BTreeSet;

use promql_parser::parser::{self, Expr};

use crate::harness::stage::Stage;
use crate::tree::objectives;

/// What the programs of this stage do not emit, by the beginning of a series' name: those that only Prometheus and
/// Alertmanager have of themselves, and exporters. Promtool's tests and the live chain have the alerts that read them.
const OF_OTHERS: [&str; 5] = ["alertmanager_", "prometheus_", "pg_", "redis_", "ALERTS"];

/// Asks for each operand of each alert.
pub(super) fn every_alert_has_values_to_compare(stage: &Stage) {
    let (mut asked, mut missing) = (0, BTreeSet::new());
    for alert in ops::prometheus::alerts(&objectives()) {
        let parsed = parser::parse(&alert.expr).expect("an expression of ours");
        let mut found = Vec::new();
        operands(&parsed, &mut found);
        for operand in found.into_iter().filter(|operand| !is_left_out(operand)) {
            asked += 1;
            if stage.prometheus.query(&operand).is_empty() {
                missing.insert(format!("{}: {operand}", alert.name));
            }
        }
    }
    assert!(missing.is_empty(), "nothing to compare, so these alerts cannot fire: {missing:#?}");
    assert!(asked > 60, "only {asked} operands were asked for");
}

/// What stands on the sides of comparisons and of `and`, `or`, `unless`.
fn operands(expression: &Expr, found: &mut Vec<String>) {
    match expression {
        Expr::Paren(inner) => operands(&inner.expr, found),
        Expr::Binary(binary) if binary.op.is_comparison_operator() || binary.op.is_set_operator() => {
            operands(&binary.lhs, found);
            operands(&binary.rhs, found);
        }
        Expr::NumberLiteral(_) => {}
        other => found.push(other.to_string()),
    }
}

/// Absence is what some alerts look for, and nothing is a day old here.
fn is_left_out(operand: &str) -> bool {
    let series = ops::promql::series(operand);
    operand.starts_with("absent") || operand.contains(" offset ") || series.is_empty() || {
        series.iter().all(|name| OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)))
    }
}
