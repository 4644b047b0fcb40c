//! A signal that changes its name makes `ops check` name the alarm, the filter, the query or the graph that breaks.

use std::collections::BTreeSet;

use ops::catalogue::Catalogue;
use ops::tree::Tree;

use super::objectives;

/// Metrics and dimensions of CloudWatch that no alarm, query or graph names. It may only shrink: each is billed, and
/// seen by nobody.
const EMF_UNUSED: &[&str] = &[
    // Those of CloudWatch Synthetics, so that alarms and dashboards that were made for it find what they know. Ours read
    // SuccessPercentWithRetries, which of a run is 0 when Failed is 1 and 100 when that is 0; steps are on the canary's Grafana
    // dashboard.
    "CloudWatchSynthetics Failed",
    "CloudWatchSynthetics StepName",
];

/// What a renamed thing is called.
const RENAMED: &str = "RenamedByThisTest";

/// What is said of the tree when the catalogue has changed.
fn said(change: impl FnOnce(&mut Catalogue)) -> Vec<String> {
    let mut catalogue = Catalogue::of_the_code();
    change(&mut catalogue);
    let problems = ops::cloudwatch::problems(&Tree::new(testkit::root()), &objectives(), &catalogue);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tree_is_fine_with_the_catalogue_as_it_is() {
    assert_eq!(said(|_| {}), Vec::<String>::new());
}

#[test]
fn each_metric_and_dimension_of_our_log_lines_is_missed_by_name() {
    let mut unused = Vec::new();
    for (namespace, emf) in &Catalogue::of_the_code().emf {
        for metric in &emf.metrics {
            let said = said(|catalogue| catalogue.rename_emf(namespace, metric, RENAMED));
            let breaks = format!("nobody sends {namespace} {metric}: no such metric is known");
            missed(&format!("{namespace} {metric}"), &said, &breaks, &mut unused);
        }
        for dimension in emf.dimension_sets.iter().flatten().collect::<BTreeSet<_>>() {
            let said = said(|catalogue| catalogue.rename_emf(namespace, dimension, RENAMED));
            missed(&format!("{namespace} {dimension}"), &said, " has no dimensions [", &mut unused);
            let about = |line: &String| line.contains(namespace) && line.contains(dimension.as_str());
            assert!(said.iter().all(about), "{namespace} {dimension}\n{}", said.join("\n"));
        }
    }
    assert_eq!(unused, EMF_UNUSED, "right: what may be unused; the list may only shrink");
}

/// Each thing that is said of a renamed name is that it breaks so; a name of which nothing is said is unused.
fn missed(name: &str, said: &[String], breaks: &str, unused: &mut Vec<String>) {
    if said.is_empty() {
        unused.push(name.to_owned());
    }
    assert!(said.iter().all(|line| line.contains(breaks)), "{name}: {breaks}\n{}", said.join("\n"));
}

#[test]
fn each_field_that_a_filter_or_query_reads_is_missed_by_name() {
    for (event, from, breaks) in [
        ("http_request", "status", "QueryErrorsByRoute: no line that the query finds has the field status"),
        ("http_request", "duration_ms", "QuerySlowestRequests: no line that the query finds has the field duration_ms"),
        ("http_request", "db_time_ms", "QueryDatabase: no line"),
        ("http_request", "client_address", "QueryRefused: no line"),
        ("panicked", "location", "QueryPanics: no line"),
        ("", "trace_id", "QueryOneRequest: no line"),
        ("", "service", "FilterPanics: dimension Service is of $.service"),
        ("", "event", "FilterPanics: the pattern"),
    ] {
        let said = said(|catalogue| catalogue.rename_field(event, from, "renamed"));
        let found = said.iter().any(|line| line.contains(breaks));
        // The pattern on `event` is judged by the events' names, and a query on it by its field.
        let found = found || (from == "event" && said.iter().any(|line| line.contains("has the field event")));
        assert!(found, "{from}: {breaks}\n{}", said.join("\n"));
    }
}

#[test]
fn each_event_that_a_filter_or_query_counts_is_missed_by_name() {
    for (event, breaks) in [
        ("panicked", "FilterPanics: the pattern"),
        ("failed", "FilterStartFailures: the pattern"),
        ("database_connection_failed", "FilterDatabaseConnectFailures: the pattern"),
        ("refresh_token_reused", "FilterTokenReuses: the pattern"),
        ("http_request", "QueryErrorsByRoute: no line has the event http_request"),
    ] {
        let said = said(|catalogue| {
            let levels = catalogue.levels.remove(event).expect("an event");
            catalogue.levels.insert("renamed".to_owned(), levels);
        });
        assert!(said.iter().any(|line| line.contains(breaks)), "{event}: {breaks}\n{}", said.join("\n"));
    }
}
