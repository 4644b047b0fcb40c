//! Rules for one query: it parses, names what is emitted, keeps to the chosen targets, and takes rates over the interval
//! that fits the zoom.

use std::time::Duration;

use telemetry::catalogue::Kind;

use super::Ground;
use super::file::File;
use crate::grafana::reads::{self, Selector};
use crate::promql;

/// What Grafana's own ranges are while a query is checked: `variables::built_in`.
const RATE_INTERVAL: Duration = Duration::from_secs(60);
const RANGE: Duration = Duration::from_secs(3600);

/// All that is wrong.
pub(super) fn problems(file: &File, expression: &str, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = known(file, expression, ground);
    let Ok(named) = file.with_names(expression) else { return problems };
    let reads = reads::of(&named);
    for selector in &reads.selectors {
        problems.extend(targets(selector));
        let counter = ground.known.catalogue.metric(&selector.name).is_some_and(|metric| metric.kind != Kind::Gauge);
        if counter && !selector.range {
            problems.push(format!("{} only grows: take its rate or increase", selector.name));
        }
    }
    for (function, range) in &reads.ranges {
        let fits = match function.as_str() {
            "rate" | "irate" => *range == RATE_INTERVAL,
            _ => *range == RATE_INTERVAL || *range == RANGE,
        };
        if !fits {
            problems
                .push(format!("{function} over {range:?}: it must be $__rate_interval, or $__range for an increase"));
        }
    }
    problems
}

/// Whether it parses and names what is emitted, with "All" chosen everywhere.
pub(super) fn known(file: &File, expression: &str, ground: &Ground<'_>) -> Vec<String> {
    match file.with_all(expression) {
        Ok(replaced) => promql::problems(&replaced, &ground.known),
        Err(name) => vec![format!("the dashboard has no variable ${name}")],
    }
}

/// A scraped series is read from the chosen jobs and instances. Recorded ones are of all of them: they have no such labels.
fn targets(selector: &Selector) -> Vec<String> {
    if selector.name.contains(':') || selector.name == "sloth_slo_info" {
        return Vec::new();
    }
    let missing = |label: &&str| {
        let chosen = (label.to_string(), true, label.to_uppercase());
        !selector.matchers.contains(&chosen)
    };
    let missing = ["job", "instance"].into_iter().filter(|label| missing(label));
    missing.map(|label| format!(r#"{} is read without {label}=~"${label}""#, selector.name)).collect()
}
