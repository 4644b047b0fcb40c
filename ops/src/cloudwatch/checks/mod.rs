//! What no linter of CloudFormation sees: CloudWatch takes an alarm on a metric that nobody sends, a pattern that never
//! matches, and a query on a field that does not exist, and is silent for ever.

mod alarm;
mod dashboard;
mod known;
mod logs;
mod runbook;

use std::collections::BTreeMap;

use slo::Slo;

use super::template::Template;
use super::{DASHBOARD, TEMPLATE};
use crate::catalogue::Catalogue;
use crate::tree::{Problem, Tree};
use known::Known;

pub(super) use alarm::single;
pub(super) use logs::query as query_problems;

/// All that is wrong with the template, the dashboard and the runbooks of a tree.
pub(crate) fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    let file = |what: String| Problem::new(TEMPLATE, what);
    match tree.read(TEMPLATE).and_then(|text| Template::parse(&text).map_err(&file)) {
        Ok(template) => {
            problems.extend(template_problems(&template, slo, catalogue).into_iter().map(&file));
            problems.extend(runbook::problems(tree, slo, &template, catalogue));
        }
        Err(problem) => problems.push(problem),
    }
    match tree.read(DASHBOARD) {
        Ok(text) => {
            let found = match super::template::with_samples(&text) {
                Ok(body) => dashboard::problems(&body, &Known::without_template(catalogue), catalogue),
                Err(problem) => vec![problem],
            };
            problems.extend(found.into_iter().map(|what| Problem::new(DASHBOARD, what)));
        }
        Err(problem) => problems.push(problem),
    }
    problems
}

fn template_problems(template: &Template, slo: &Slo, catalogue: &Catalogue) -> Vec<String> {
    let known = Known::new(catalogue, template);
    let mut problems: Vec<String> = template.refused.iter().map(|(id, problem)| format!("{id}: {problem}")).collect();
    let mut say = |id: &str, found: Vec<String>| problems.extend(found.into_iter().map(|what| format!("{id}: {what}")));
    for (id, alarm) in &template.alarms {
        say(id, alarm::problems(alarm, slo, &known));
    }
    for (id, composite) in &template.composites {
        say(id, alarm::composite_problems(composite, slo, template));
    }
    for (id, filter) in &template.filters {
        say(id, logs::filter(filter, catalogue));
    }
    for (id, query) in &template.queries {
        say(id, logs::query(&query.query_string, catalogue));
    }
    for (id, board) in &template.dashboards {
        say(id, dashboard::problems(&board.dashboard_body, &known, catalogue));
    }
    problems.extend(names(template));
    problems
}

/// A name that stands twice: the second alarm overwrites the first.
fn names(template: &Template) -> Vec<String> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let alarms = template.alarms.iter().map(|(id, alarm)| (alarm.alarm_name.as_str(), id));
    let composites = template.composites.iter().map(|(id, composite)| (composite.alarm_name.as_str(), id));
    for (name, id) in alarms.chain(composites) {
        by_name.entry(name).or_default().push(id);
    }
    let twice = by_name.into_iter().filter(|(_, ids)| ids.len() > 1);
    twice.map(|(name, ids)| format!("{}: are all named {name}, so one overwrites the other", ids.join(", "))).collect()
}
