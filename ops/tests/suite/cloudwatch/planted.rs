//! Errors that no linter sees, planted one at a time into a copy of the tree: the built `ops check` refuses each and
//! names where it is.

use std::path::Path;
use std::process::Command;

use ops::cloudwatch::{DASHBOARD, TEMPLATE};
use tempfile::TempDir;

/// A file, the resource from which on the text is looked for, the text, what stands there instead, and what is said.
type Planted = (&'static str, &'static str, &'static str, &'static str, &'static str);

const PLANTED: &[Planted] = &[
    (
        TEMPLATE,
        "EcsCpuHigh",
        "MetricName: CPUUtilization",
        "MetricName: CpuUtilization",
        "EcsCpuHigh: nobody sends AWS/ECS CpuUtilization",
    ),
    (
        TEMPLATE,
        "RdsCpuHigh",
        "Namespace: AWS/RDS",
        "Namespace: AWS/Rds",
        "RdsCpuHigh: nobody sends AWS/Rds CPUUtilization: no such namespace",
    ),
    (
        TEMPLATE,
        "AlbOwn5xx",
        "Name: LoadBalancer",
        "Name: TargetGroup",
        "AlbOwn5xx: AWS/ApplicationELB RequestCount has no dimensions [TargetGroup]",
    ),
    (TEMPLATE, "EmfSilent", "MetricName: Requests", "MetricName: Request", "EmfSilent: nobody sends TaskApi Request"),
    (TEMPLATE, "LogsPanics", "MetricName: Panics", "MetricName: Panic", "LogsPanics: nobody sends TaskApi Panic"),
    (
        TEMPLATE,
        "AlbLatencyHigh",
        "DatapointsToAlarm: 3",
        "DatapointsToAlarm: 6",
        "AlbLatencyHigh: 6 data points of 5 can never be",
    ),
    (
        TEMPLATE,
        "EcsMemoryHigh",
        "Period: 60",
        "Period: 45",
        "EcsMemoryHigh: a period is 10, 30 or a multiple of 60 seconds, not 45",
    ),
    (
        TEMPLATE,
        "LogsStartFailed",
        "EvaluationPeriods: 1",
        "EvaluationPeriods: 97",
        "LogsStartFailed: looks back 87300 s; with a period of 900 s at most 86400",
    ),
    (
        TEMPLATE,
        "CertificateExpiring",
        "Period: 86400",
        "Period: 691200",
        "CertificateExpiring: looks back 691200 s; with a period of 691200 s at most 604800",
    ),
    (
        TEMPLATE,
        "SnsNotificationsFailed",
        "FILL(pages,0)+FILL(tickets,0)",
        "FILL(pages,0)+FILL(tickets,0",
        "SnsNotificationsFailed: the expression FILL(pages,0)+FILL(tickets,0 does not parse",
    ),
    (
        TEMPLATE,
        "SnsNotificationsFailed",
        "FILL(tickets,0)",
        "FILL(ticket,0)",
        "SnsNotificationsFailed: the expression reads ticket, which is no id",
    ),
    (
        TEMPLATE,
        "LogsEmfErrors",
        "FILL(unparsed,0)+FILL(invalid,0)",
        "SUM(SEARCH('x','Sum'))+unparsed+invalid",
        "LogsEmfErrors: SEARCH cannot be in an alarm",
    ),
    (TEMPLATE, "ServiceUnreachable", "AND ALARM", "AND ALERT", "ServiceUnreachable: AlarmRule does not parse"),
    (
        TEMPLATE,
        "ServiceUnreachable",
        "${AlbNoTraffic}",
        "${Service}-${Environment}-AlbTraffic",
        "ServiceUnreachable: AlarmRule looks at task-api-production-AlbTraffic, which is no alarm",
    ),
    (
        TEMPLATE,
        "ServiceUnreachable",
        "${AlbNoTraffic}",
        "${AlbTraffic}",
        "ServiceUnreachable: there is no parameter or resource AlbTraffic",
    ),
    (
        TEMPLATE,
        "RdsMemoryLow",
        "TreatMissingData: notBreaching",
        "TreatMissingData: breaching",
        "RdsMemoryLow: the description does not say why no data is breaching",
    ),
    (
        TEMPLATE,
        "RdsMemoryLow",
        "TreatMissingData: notBreaching",
        "ActionsEnabled: true",
        "RdsMemoryLow: unknown field `ActionsEnabled`",
    ),
    (
        TEMPLATE,
        "AlbLatencyHigh",
        "EvaluateLowSampleCountPercentile: ignore",
        "Statistic: Sum",
        "AlbLatencyHigh: EvaluateLowSampleCountPercentile is ignore or evaluate",
    ),
    (
        TEMPLATE,
        "AlbLatencyHigh",
        "ExtendedStatistic: p99",
        "ExtendedStatistic: p999",
        "AlbLatencyHigh: there is no statistic \"p999\"",
    ),
    (TEMPLATE, "EcsCpuHigh", "GreaterThanThreshold", "GreaterThan", "EcsCpuHigh: there is no comparison GreaterThan"),
    (TEMPLATE, "EcsCpuHigh", "-EcsCpuHigh\"", "-EcsMemoryHigh\"", "are all named task-api-production-EcsMemoryHigh"),
    (
        TEMPLATE,
        "EcsCpuHigh",
        "${Service}-${Environment}-EcsCpuHigh",
        "EcsCpuHigh",
        "EcsCpuHigh: the name EcsCpuHigh does not begin with service and environment",
    ),
    (TEMPLATE, "EcsCpuHigh", "/EcsCpuHigh.md", "/EcsBusy.md", "EcsBusy.md: is missing: EcsCpuHigh points to it"),
    (
        TEMPLATE,
        "EcsCpuHigh",
        "OKActions: [!Ref TicketTopic]",
        "OKActions: []",
        "EcsCpuHigh: whoever is told of the alarm is not told of its end",
    ),
    (TEMPLATE, "EcsCpuHigh", "Users notice: ", "Users notice: <1100>", "EcsCpuHigh: the description has 1"),
    (
        TEMPLATE,
        "AlbErrorBudgetBurn1hLong",
        "Metrics:",
        "Metrics:<seven more>",
        "AlbErrorBudgetBurn1hLong: reads 11 metrics, 10 may be",
    ),
    (
        TEMPLATE,
        "FilterPanics",
        "panicked",
        "panics",
        "FilterPanics: the pattern { $.event = \"panics\" } matches no line",
    ),
    (
        TEMPLATE,
        "FilterPanics",
        "{ $.event = ",
        "{ $.event == ",
        "FilterPanics: the pattern { $.event == \"panicked\" } does not parse",
    ),
    (
        TEMPLATE,
        "FilterPanics",
        "$.environment",
        "$.stage",
        "FilterPanics: dimension Environment is of $.stage, which not every line has",
    ),
    (
        TEMPLATE,
        "QuerySlowestRequests",
        "duration_ms",
        "duration",
        "QuerySlowestRequests: no line that the query finds has the field duration",
    ),
    (TEMPLATE, "QueryPanics", "\"panicked\"", "\"paniced\"", "QueryPanics: no line has the event paniced"),
    (TEMPLATE, "QueryPanics", "| sort", "| order", "QueryPanics: the query does not parse: there is no command order"),
    (
        TEMPLATE,
        "QueryPanics",
        "location, ",
        "location, <10000>",
        "QueryPanics: the query does not parse: is longer than 10000 characters",
    ),
    (TEMPLATE, "Dashboard", "\"widgets\": [", "\"widgets\": ", "Dashboard: the dashboard's body is not JSON"),
    (TEMPLATE, "Dashboard", "\"width\": 8", "\"width\": 30", "stands outside of the grid"),
    (
        DASHBOARD,
        "\"Errors\"",
        "\"RequestCount\"",
        "\"Requests\"",
        "widget \"Errors\": nobody sends AWS/ApplicationELB Requests",
    ),
    (
        DASHBOARD,
        "\"Failures by route\"",
        "MetricName=\\\"Faults",
        "MetricName=\\\"Errors",
        "widget \"Failures by route\": nobody sends TaskApi Errors",
    ),
    (
        DASHBOARD,
        "\"Requests each minute\"",
        "\"timeSeries\"",
        "\"lines\"",
        "widget \"Requests each minute\": there is no view",
    ),
];

/// What a short mark stands for.
fn expanded(text: &str) -> String {
    let metric = |number: u32| {
        format!(
            "\n        - Id: more{number}\n          MetricStat:\n            Metric:\n              Namespace: AWS/SNS\n              \
             MetricName: NumberOfNotificationsFailed\n              Dimensions:\n                - {{ Name: TopicName, Value: x }}\n            \
             Period: 3600\n            Stat: Sum\n          ReturnData: false"
        )
    };
    let text = text.replace("<1100>", &"x".repeat(1_100)).replace("<10000>", &"message, ".repeat(1_200));
    text.replace("<seven more>", &(0..7).map(metric).collect::<String>())
}

/// A copy of what `ops check` reads.
fn copy_of_the_tree() -> TempDir {
    let copy = TempDir::new().expect("a temporary directory");
    for folder in ["alerts", "dashboards", "docs"] {
        let from = testkit::root().join(folder);
        if from.is_dir() {
            let status = Command::new("cp").arg("-r").arg(from).arg(copy.path()).status().expect("cp runs");
            assert!(status.success());
        }
    }
    std::fs::copy(testkit::root().join("slo.toml"), copy.path().join("slo.toml")).expect("the objectives are copied");
    copy
}

/// The built program's words, without those on a difference from what is rendered.
fn check(root: &Path) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ops")).arg("--root").arg(root).arg("check").output().expect("ops runs");
    (output.status.success(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_runbook_that_nothing_points_to_and_one_that_is_gone_are_refused() {
    let copy = copy_of_the_tree();
    let folder = copy.path().join("alerts/runbooks");
    std::fs::rename(folder.join("EcsCpuHigh.md"), folder.join("EcsCpuLow.md")).expect("a runbook");
    let text = std::fs::read_to_string(folder.join("LogsPanics.md")).expect("a runbook");
    let text = text
        .replace("LogsPanics`", "LogPanics`")
        .replace("# LogsPanics", "# Panics")
        .replace("## Impact", "## Effects");
    std::fs::write(folder.join("LogsPanics.md"), text.replace("location, panic", "place, panic")).expect("a runbook");
    let (passed, said) = check(copy.path());
    assert!(!passed);
    for message in [
        "alerts/runbooks/EcsCpuHigh.md: is missing: EcsCpuHigh points to it",
        "alerts/runbooks/EcsCpuLow.md: no alarm and no alert points to it",
        "alerts/runbooks/LogsPanics.md: has the headings Meaning, Effects",
        "alerts/runbooks/LogsPanics.md: does not name under Meaning the alarm LogsPanics",
        "alerts/runbooks/LogsPanics.md: a query of the logs: no line that the query finds has the field place",
    ] {
        assert!(said.contains(message), "{message}\nsaid:\n{said}");
    }
}

#[test]
fn each_planted_error_is_refused_by_name() {
    let copy = copy_of_the_tree();
    let about = |said: &str| {
        let ours = |line: &&str| [TEMPLATE, DASHBOARD, "alerts/runbooks"].iter().any(|path| line.starts_with(path));
        let lines: Vec<String> =
            said.lines().filter(ours).filter(|line| !line.contains("differs from")).map(str::to_owned).collect();
        lines
    };
    let (_, said) = check(copy.path());
    assert_eq!(about(&said), Vec::<String>::new(), "the tree itself is fine");
    let mut refused = 0;
    for (file, place, from, to, message) in PLANTED {
        let path = copy.path().join(file);
        let whole = std::fs::read_to_string(&path).expect("a file of the tree");
        let place = if *file == TEMPLATE { format!("\n  {place}:") } else { (*place).to_owned() };
        let (before, after) = whole.split_once(&place).unwrap_or_else(|| panic!("{place} is not in {file}"));
        assert!(after.contains(from), "{place}: {from} is not there");
        let planted = format!("{before}{place}{}", after.replacen(from, &expanded(to), 1));
        std::fs::write(&path, planted).expect("the error is planted");
        let (passed, said) = check(copy.path());
        std::fs::write(&path, whole).expect("the error is removed");
        let said = about(&said);
        assert!(
            !passed && said.iter().any(|line| line.contains(message)),
            "{place} {to}: {message}\nsaid:\n{}",
            said.join("\n")
        );
        println!("{}", said.iter().find(|line| line.contains(message)).expect("found above"));
        refused += 1;
    }
    assert!(refused >= 12, "{refused}");
}
