//! What a PromQL expression reads, as far as a dashboard cares: matchers, ranges, labels that it shows.

use std::convert::Infallible;
use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// All that is read.
#[derive(Debug, Default)]
pub struct Reads {
    /// In reading order.
    pub selectors: Vec<Selector>,
    /// Functions of a range, with the range.
    pub ranges: Vec<(String, Duration)>,
    /// Series and a label by which they are grouped.
    pub grouped: Vec<(String, String)>,
}

/// One selector.
#[derive(Debug)]
pub struct Selector {
    /// Of the series.
    pub name: String,
    /// Label, whether `=~`, value.
    pub matchers: Vec<(String, bool, String)>,
    /// Whether it reads a range; a counter must be read so.
    pub range: bool,
}

/// Parses an expression without variables; nothing for one that does not parse.
pub fn of(expression: &str) -> Reads {
    let mut walk = Walk::default();
    if let Ok(parsed) = parser::parse(expression) {
        // It cannot fail: its error has no value.
        let _ = walk_expr(&mut walk, &parsed);
    }
    walk.0
}

#[derive(Default)]
struct Walk(Reads);

impl ExprVisitor for Walk {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.0.selectors.push(read(selector, false)),
            Expr::MatrixSelector(matrix) => self.0.selectors.push(read(&matrix.vs, true)),
            Expr::Aggregate(aggregate) => self.group(aggregate),
            Expr::Subquery(subquery) => self.0.ranges.push(("a subquery".to_owned(), subquery.range)),
            Expr::Call(call) => {
                for argument in &call.args.args {
                    if let Expr::MatrixSelector(matrix) = argument.as_ref() {
                        self.0.ranges.push((call.func.name.to_owned(), matrix.range));
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Walk {
    fn group(&mut self, aggregate: &AggregateExpr) {
        let Some(LabelModifier::Include(labels)) = &aggregate.modifier else { return };
        for series in crate::promql::series(&aggregate.expr.to_string()) {
            self.0.grouped.extend(labels.labels.iter().map(|label| (series.clone(), label.clone())));
        }
    }
}

fn read(selector: &VectorSelector, range: bool) -> Selector {
    let matcher =
        |matcher: &Matcher| (matcher.name.clone(), matches!(matcher.op, MatchOp::Re(_)), matcher.value.clone());
    let matchers = selector.matchers.matchers.iter().map(matcher).collect();
    Selector { name: selector.name.clone().unwrap_or_default(), matchers, range }
}
