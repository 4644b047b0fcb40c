//! Every name that the service emits is used somewhere, and whoever uses it notices when it changes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ops::catalogue::Catalogue;
use ops::tree::Problem;

use crate::tree::{Copy, here, objectives};
use crate::users;

/// Metrics that no rule, panel, alarm, query or runbook names. It may only shrink: a metric that nobody looks at costs
/// memory for nothing.
const METRICS_UNUSED: &[&str] = &[];

/// Labels, as `metric.label`, that nothing names.
const LABELS_UNUSED: &[&str] = &[];

/// Fields of log lines, as `event.field`, that no query names: those of the lines that the shipper writes to standard
/// output only, since they would feed itself. No query of Logs Insights can find them.
const FIELDS_UNUSED: &[&str] = &[
    "log_shipper_failing.reason",
    "log_shipper_failing.error",
    "log_shipper_recovered.failed_for_ms",
    "log_shipper_rejected.lines",
    "log_shipper_rejected.error",
    "log_shipper_retention_failed.retention_days",
    "log_shipper_retention_failed.error",
];

/// Files, as `name: file`, in which a name may change unnoticed, each with its reason. It may only shrink.
const UNNOTICED: &[&str] = &[];

/// What a renamed thing is called.
const RENAMED: &str = "renamed_by_this_test";

/// The files that break when the catalogue changes like this.
fn broken(change: impl FnOnce(&mut Catalogue)) -> BTreeSet<String> {
    static BEFORE: LazyLock<BTreeSet<Problem>> =
        LazyLock::new(|| ops::problems(&here(), &objectives(), &Catalogue::of_the_code()).into_iter().collect());
    let mut catalogue = Catalogue::of_the_code();
    change(&mut catalogue);
    let after = ops::problems(&here(), &objectives(), &catalogue);
    after.into_iter().filter(|problem| !BEFORE.contains(problem)).map(|problem| problem.file).collect()
}

/// What came of the renames of many names.
#[derive(Default)]
struct Found {
    /// Names that no file breaks without.
    unused: Vec<String>,
    /// `name: file` of the files whose text has the name, and in which nobody notices that it changed.
    unnoticed: Vec<String>,
}

impl Found {
    fn add(&mut self, name: &str, broken: &BTreeSet<String>, users: &BTreeSet<String>) {
        if broken.is_empty() {
            self.unused.push(name.to_owned());
        }
        self.unnoticed.extend(users.difference(broken).map(|file| format!("{name}: {file}")));
    }
}

#[test]
fn every_committed_file_is_what_the_code_renders_and_names_only_what_is_emitted() {
    let problems = ops::problems(&here(), &objectives(), &Catalogue::of_the_code());
    assert!(problems.is_empty(), "{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_renamed_signal_is_missed_by_each_panel_alert_alarm_query_and_page_that_asks_for_it() {
    let mut catalogue = Catalogue::of_the_code();
    catalogue.rename_metric("http_server_request_duration_seconds", RENAMED);
    catalogue.rename_field("http_request", "duration_ms", RENAMED);
    catalogue.rename_emf("TaskApi", "Requests", RENAMED);
    let problems: Vec<String> =
        ops::problems(&here(), &objectives(), &catalogue).iter().map(Problem::to_string).collect();
    let metric = "nobody emits http_server_request_duration_seconds_count";
    let field = "no line that the query finds has the field duration_ms";
    let emf = "nobody sends TaskApi Requests";
    for (file, place, what) in [
        ("dashboards/grafana/task-api-overview.json", "panel \"Which routes fail, and how often?\" query A", metric),
        ("alerts/prometheus/service.yml", "NoTraffic", metric),
        ("alerts/prometheus/slo-requests-availability.yml", "slo:sli_total:rate5m", metric),
        ("alerts/runbooks/NoTraffic.md", "line ", metric),
        ("docs/on-call.md", "line ", metric),
        ("alerts/cloudwatch/template.yaml", "EmfLatencyBudgetBurn1hLong", emf),
        ("dashboards/cloudwatch.json", "widget \"Requests by route\"", emf),
        ("alerts/cloudwatch/template.yaml", "QuerySlowestRequests", field),
        ("dashboards/cloudwatch.json", "widget \"Slowest requests\"", field),
        ("docs/on-call.md", "line ", field),
    ] {
        let named = |line: &&String| line.starts_with(&format!("{file}: ")) && line.contains(place);
        assert!(
            problems.iter().filter(named).any(|line| line.contains(what)),
            "{file}, {place}: {what}\n{problems:#?}"
        );
    }
}

#[test]
fn each_edge_that_a_latency_can_have_makes_rules_and_panels_that_find_its_bucket() {
    let catalogue = Catalogue::of_the_code();
    let copy = Copy::of_here();
    for (index, edge) in slo::REQUEST_EDGES.iter().enumerate() {
        let mut slo = objectives();
        slo.requests.latency = *edge;
        slo.database.latency = slo::DATABASE_EDGES[index % slo::DATABASE_EDGES.len()];
        for file in ops::rendered(&slo) {
            copy.tree().write(&file).expect("written");
        }
        let mut problems = ops::prometheus::problems(&copy.tree(), &slo, &catalogue);
        problems.extend(ops::grafana::problems(&copy.tree(), &slo, &catalogue));
        // Pages are mended by people, who are told so.
        problems.retain(|problem| !problem.file.ends_with(".md"));
        assert_eq!(problems, [], "{edge} s, and {} s in the database", slo.database.latency);
    }
    assert!(slo::REQUEST_EDGES.len() >= slo::DATABASE_EDGES.len(), "every edge had its turn");
}

#[test]
fn every_metric_is_used_and_all_its_users_notice_when_it_is_renamed() {
    let catalogue = Catalogue::of_the_code();
    let mut found = Found::default();
    for name in catalogue.metrics.keys() {
        found.add(name, &broken(|changed| changed.rename_metric(name, RENAMED)), &users::of_metric(name));
    }
    assert_eq!(
        found.unused, METRICS_UNUSED,
        "right: what may be unused. Name it in a rule, a panel or a runbook and shorten the list; do not lengthen it"
    );
    assert_eq!(
        found.unnoticed, UNNOTICED,
        "right: where a metric's name may change unnoticed; the list may only shrink"
    );
}

#[test]
fn every_label_is_used_and_all_its_users_notice_when_it_is_renamed() {
    let catalogue = Catalogue::of_the_code();
    let mut found = Found::default();
    for (metric, known) in &catalogue.metrics {
        for label in known.labels.keys() {
            let broken = broken(|changed| changed.rename_label(metric, label, RENAMED));
            found.add(&format!("{metric}.{label}"), &broken, &users::of_label(metric, label, &catalogue));
        }
    }
    assert_eq!(found.unused, LABELS_UNUSED, "right: what may be unused; the list may only shrink");
    assert_eq!(
        found.unnoticed, UNNOTICED,
        "right: where a label's name may change unnoticed; the list may only shrink"
    );
}

#[test]
fn every_field_of_a_log_line_is_used_and_all_its_users_notice_when_it_is_renamed() {
    let catalogue = Catalogue::of_the_code();
    let mut found = Found::default();
    for (event, fields) in &catalogue.fields {
        for field in fields {
            let broken = broken(|changed| changed.rename_field(event, field, RENAMED));
            found.add(&format!("{event}.{field}"), &broken, &users::of_field(event, field, &catalogue));
        }
    }
    assert_eq!(found.unused, FIELDS_UNUSED, "right: what may be unused; the list may only shrink");
    assert_eq!(
        found.unnoticed, UNNOTICED,
        "right: where a field's name may change unnoticed; the list may only shrink"
    );
}
