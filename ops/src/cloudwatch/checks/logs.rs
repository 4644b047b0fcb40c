//! Metric filters and saved queries, against the log lines that our code writes.

use std::collections::BTreeSet;

use super::super::language::insights;
use super::super::language::pattern::{Line, Pattern};
use super::super::template::Filter;
use crate::catalogue::Catalogue;

/// CloudWatch Logs takes no more.
const DIMENSIONS_MAX: usize = 3;

/// What is wrong with a metric filter.
pub(super) fn filter(filter: &Filter, catalogue: &Catalogue) -> Vec<String> {
    let pattern = match Pattern::parse(&filter.filter_pattern) {
        Ok(pattern) => pattern,
        Err(error) => return vec![format!("the pattern {} does not parse: {error}", filter.filter_pattern)],
    };
    let lines = lines(catalogue);
    let mut problems = Vec::new();
    if !lines.iter().any(|line| pattern.can_match(line)) {
        problems.push(format!("the pattern {} matches no line that is ever written", filter.filter_pattern));
    }
    let every_line = catalogue.fields.get("").into_iter().flatten().map(String::as_str).collect::<BTreeSet<_>>();
    for transformation in &filter.metric_transformations {
        if transformation.dimensions.len() > DIMENSIONS_MAX {
            problems.push(format!("{} has more than {DIMENSIONS_MAX} dimensions", transformation.metric_name));
        }
        for dimension in &transformation.dimensions {
            let field = dimension.value.strip_prefix("$.").unwrap_or_default();
            if !every_line.contains(field) {
                problems
                    .push(format!("dimension {} is of {}, which not every line has", dimension.key, dimension.value));
            }
        }
    }
    problems
}

/// A line of each event at each of its levels.
fn lines(catalogue: &Catalogue) -> Vec<Line<'_>> {
    let every = || catalogue.fields.get("").into_iter().flatten().map(String::as_str);
    let mut lines = Vec::new();
    for (event, levels) in &catalogue.levels {
        let own = catalogue.fields.get(event).into_iter().flatten().map(String::as_str);
        let fields: BTreeSet<&str> = every().chain(own).collect();
        lines.extend(levels.iter().map(|level| Line { event, level, fields: fields.clone() }));
    }
    lines
}

/// What is wrong with a query of Logs Insights.
pub(crate) fn query(query: &str, catalogue: &Catalogue) -> Vec<String> {
    let names = match insights::names(query) {
        Ok(names) => names,
        Err(error) => return vec![format!("the query does not parse: {error}")],
    };
    let mut problems = Vec::new();
    let unknown = |event: &&String| event.is_empty() || !catalogue.levels.contains_key(*event);
    problems.extend(names.events.iter().filter(unknown).map(|event| format!("no line has the event {event}")));
    // A query on certain events can name their fields only; one on all may name any.
    let events: BTreeSet<&String> =
        if names.events.is_empty() { catalogue.levels.keys().collect() } else { names.events.iter().collect() };
    let mut fields: BTreeSet<&str> = catalogue.fields.get("").into_iter().flatten().map(String::as_str).collect();
    fields.extend(events.iter().filter_map(|event| catalogue.fields.get(*event)).flatten().map(String::as_str));
    let wrong = names.fields.iter().filter(|field| !fields.contains(field.as_str()));
    problems.extend(wrong.map(|field| format!("no line that the query finds has the field {field}")));
    problems
}
