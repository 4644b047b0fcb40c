//! CloudWatch: the CloudFormation template with alarms, composites, queries and dashboard, and an evaluator of alarms.

mod alarm;
mod alarms;
mod aws;
mod checks;
mod dashboard;
pub mod evaluator;
pub mod language;
mod node;
mod parameters;
mod queries;
mod render;
pub mod template;

use std::collections::BTreeSet;

use slo::Slo;

use crate::catalogue::Catalogue;
use crate::tree::{Item, Problem, Rendered, Tree};

/// The template, from the repository's root.
pub const TEMPLATE: &str = "alerts/cloudwatch/template.yaml";
/// The body of its dashboard.
pub const DASHBOARD: &str = "dashboards/cloudwatch.json";

/// Where the runbooks are.
pub const RUNBOOKS: &str = "alerts/runbooks";

/// The files.
pub fn rendered(slo: &Slo) -> Vec<Rendered> {
    let file = |path: &str, text| Rendered { path: path.to_owned(), text };
    vec![file(TEMPLATE, render::template(slo)), file(DASHBOARD, dashboard::body(slo))]
}

/// What is wrong with the files of a tree.
pub fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    checks::problems(tree, slo, catalogue)
}

/// What is wrong with a query of Logs Insights: it does not parse, or names events or fields that no line has.
pub fn query_problems(query: &str, catalogue: &Catalogue) -> Vec<String> {
    checks::query_problems(query, catalogue)
}

/// The runbooks that alarms point to, without their folder. More than one alarm may share one.
pub fn runbooks(slo: &Slo) -> BTreeSet<String> {
    let alarms = alarms::alarms(slo).into_iter().map(|alarm| alarm.runbook);
    let composites = alarms::composites(slo).into_iter().map(|composite| composite.runbook);
    alarms.chain(composites).map(|name| format!("{name}.md")).collect()
}

/// What `ops list` prints.
pub fn items(slo: &Slo) -> Vec<Item> {
    let item = |kind, name: &str, summary: &str| Item {
        kind,
        name: name.to_owned(),
        summary: summary.to_owned(),
        file: TEMPLATE.to_owned(),
    };
    let mut items: Vec<Item> =
        alarms::alarms(slo).iter().map(|alarm| item("alarm", &alarm.name, &alarm.says)).collect();
    items.extend(alarms::composites(slo).iter().map(|all| item("composite", &all.name, &all.says)));
    items.extend(alarms::FILTERS.iter().map(|filter| item("filter", filter.metric, filter.says)));
    items.extend(queries::QUERIES.iter().map(|query| item("query", query.name, query.says)));
    items
}
