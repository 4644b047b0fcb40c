//! What `ops check` refuses in a tree: mistakes that somebody plants into rules, tests and runbooks.

use ops::catalogue::Catalogue;
use ops::prometheus::problems;
use ops::tree::Problem;

use crate::tree::{Copy, changed, here, objectives};

const SERVICE: &str = "alerts/prometheus/service.yml";
const RUNBOOK: &str = "alerts/runbooks/NoTraffic.md";

fn found(copy: &Copy) -> Vec<Problem> {
    problems(&copy.tree(), &objectives(), &Catalogue::of_the_code())
}

#[test]
fn the_tree_is_as_it_should_be() {
    let problems = problems(&here(), &objectives(), &Catalogue::of_the_code());
    assert!(problems.is_empty(), "{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_planted_mistake_is_refused_with_its_place_and_its_reason() {
    let test = "alerts/prometheus/tests/service.yml";
    for (path, from, to, file, message) in [
        (SERVICE, "panics_total", "panic_total", SERVICE, "RequestPanicked: nobody emits panic_total"),
        (SERVICE, "state=\"used\"", "state=\"lent\"", SERVICE, "never matches \"lent\""),
        (SERVICE, "le=\"0.05\"", "le=\"0.04\"", SERVICE, "has no bucket \"0.04\""),
        (SERVICE, "sum by (db_operation_name)", "sum by (operation)", SERVICE, "nothing that is grouped by operation"),
        (SERVICE, "[15m]", "[15", SERVICE, "does not parse"),
        (SERVICE, "severity: page", "severity: urgent", SERVICE, "it takes page or ticket"),
        (
            SERVICE,
            "summary: \"No instance of the Task API answers.\"",
            "note: x",
            SERVICE,
            "TaskApiDown: has no summary",
        ),
        (SERVICE, "TaskApiDown.md", "TaskDown.md", SERVICE, "runbook_url is not https://"),
        (SERVICE, "/d/task-api-overview", "/d/task-api-nothing", SERVICE, "task-api-nothing leads to no dashboard"),
        (SERVICE, "    rules:", "    rule:", SERVICE, "is not what Prometheus reads"),
        (SERVICE, "alert: TaskApiDown", "alert: task_api_down", SERVICE, "not in CamelCase"),
        (SERVICE, "alert: NoTraffic", "alert: NoRequests", "alerts/runbooks/NoRequests.md", "is missing"),
        (SERVICE, "alert: NoTraffic", "alert: NoRequests", RUNBOOK, "is an orphan"),
        (
            "alerts/prometheus/slo-requests-availability.yml",
            "\"slo:period_error_budget_remaining:ratio{",
            "\"slo:period_budget_remaining:ratio{",
            "alerts/prometheus/slo-requests-availability.yml",
            "in an annotation: nobody emits",
        ),
        (test, "alertname: RequestPanicked", "alertname: Panicked", test, "tests Panicked, which is no alert"),
        (RUNBOOK, "## Impact", "## Effect", RUNBOOK, "it takes [\"Meaning\", \"Impact\""),
        (
            RUNBOOK,
            "```promql\n",
            "```promql\nsum(rate(http_requests_total[5m]))\n\n",
            RUNBOOK,
            "nobody emits http_requests_total",
        ),
        (RUNBOOK, "# NoTraffic", "# No traffic", RUNBOOK, "the title is not"),
        ("docs/on-call.md", "```promql\n", "```promql\nrate(x[5m])\n\n", "docs/on-call.md", "nobody emits x"),
    ] {
        let copy = Copy::of_here();
        copy.change(path, from, to);
        let problems = found(&copy);
        let named = problems.iter().any(|problem| problem.file == file && problem.what.contains(message));
        assert!(named, "{from} -> {to}: {message} in {file} is not among {problems:#?}");
    }
}

#[test]
fn an_alert_without_tests_a_copied_runbook_and_a_rule_of_the_past_are_refused() {
    let copy = Copy::of_here();
    copy.remove("alerts/prometheus/tests/monitoring.yml");
    assert!(found(&copy).iter().any(|problem| problem.what.contains("Watchdog is looked at 0 times")));

    let copy = Copy::of_here();
    let page = copy.tree().read(RUNBOOK).expect("a page");
    copy.write("alerts/runbooks/TaskApiDown.md", &page.replace("# NoTraffic", "# TaskApiDown"));
    assert!(found(&copy).iter().any(|problem| problem.what.contains("says the same as alerts/runbooks/NoTraffic.md")));

    let copy = Copy::of_here();
    copy.write("alerts/prometheus/old.yml", "groups: []\n");
    assert!(found(&copy).iter().any(|problem| problem.what.contains("is not rendered from slo.toml any more")));

    let copy = Copy::of_here();
    copy.write("alerts/runbooks/Nobody.md", "# Nobody\n");
    assert!(found(&copy).iter().any(|problem| problem.file.ends_with("Nobody.md") && problem.what.contains("orphan")));
}

/// Folders in which a changed objective must change something. It may only grow.
const FOLLOWS: [&str; 5] = [
    "alerts/prometheus/slo-",
    "alerts/prometheus/tests/",
    "alerts/cloudwatch/",
    "dashboards/grafana/",
    "dashboards/cloudwatch.json",
];

#[test]
fn another_latency_changes_what_follows_and_the_check_names_those_files() {
    let slower = changed("latency = 0.2 ", "latency = 0.25 ");
    let (before, after) = (ops::rendered(&objectives()), ops::rendered(&slower));
    let differ: Vec<&str> = before.iter().filter(|file| !after.contains(file)).map(|file| file.path.as_str()).collect();
    let refused = ops::problems(&here(), &slower, &Catalogue::of_the_code());
    for folder in FOLLOWS {
        assert!(differ.iter().any(|path| path.starts_with(folder)), "nothing in {folder} follows: {differ:?}");
    }
    for path in differ {
        let named = refused.iter().any(|problem| problem.file == path && problem.what.contains("differs"));
        assert!(named, "{path} is not named");
    }
    assert!(refused.iter().any(|problem| problem.what.contains("le=\"0.25\"")), "the difference is shown");
    let runbook = "alerts/runbooks/LatencyBurnSlow.md";
    let stale = "looks for 0.2, the objective is 0.25";
    assert!(
        refused.iter().any(|problem| problem.file == runbook && problem.what.contains(stale)),
        "so is a stale query"
    );
}
