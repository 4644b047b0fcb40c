//! CloudWatch: what is rendered, what is refused, what each alarm does in an outage, and what a real server makes of it.

mod canary;
mod evaluator;
mod late;
mod planted;
mod renamed;
mod scenarios;
mod servers;
mod world;

use ops::cloudwatch::template::Template;
use ops::cloudwatch::{DASHBOARD, TEMPLATE};
use slo::Slo;

/// The objectives of the repository.
fn objectives() -> Slo {
    Slo::read(&testkit::root().join("slo.toml")).expect("the repository's objectives")
}

/// Objectives that differ from the repository's in one place.
fn objectives_with(from: &str, to: &str) -> Slo {
    let text = std::fs::read_to_string(testkit::root().join("slo.toml")).expect("the repository's objectives");
    assert!(text.contains(from), "{from}");
    Slo::parse(&text.replacen(from, to, 1), "slo.toml").expect("objectives")
}

/// The template that follows from objectives, as text.
fn rendered(slo: &Slo, path: &str) -> String {
    let files = ops::cloudwatch::rendered(slo);
    files.into_iter().find(|file| file.path == path).expect("a rendered file").text
}

/// The template that follows from objectives, read back.
fn template(slo: &Slo) -> Template {
    let template = Template::parse(&rendered(slo, TEMPLATE)).expect("a template");
    assert_eq!(template.refused, []);
    template
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let slo = objectives();
    for path in [TEMPLATE, DASHBOARD] {
        assert_eq!(rendered(&slo, path), rendered(&slo, path), "{path}");
    }
    assert!(rendered(&slo, TEMPLATE).starts_with("# Rendered by `cargo run -p ops -- render` from slo.toml"));
}

#[test]
fn another_objective_changes_the_alarms_and_the_dashboard() {
    let (before, after) = (objectives(), objectives_with("latency = 0.2 ", "latency = 0.25 "));
    let lines = |slo: &Slo, path: &str| rendered(slo, path).lines().filter(|line| line.contains("0.2")).count();
    for path in [TEMPLATE, DASHBOARD] {
        assert_ne!(rendered(&before, path), rendered(&after, path), "{path}");
        assert!(lines(&before, path) > 0);
    }
    let template = template(&after);
    assert_eq!(template.alarms["AlbLatencyHigh"].threshold, 0.25);
    let long = &template.alarms["EmfLatencyBudgetBurn1hLong"];
    assert!(long.metrics.iter().any(|query| query.metric_stat.as_ref().is_some_and(|stat| stat.stat == "PR(:0.25)")));
}

#[test]
fn burn_rates_have_their_window_as_period_and_thresholds_from_the_objectives() {
    let template = template(&objectives());
    for (name, period, threshold) in [
        ("AlbErrorBudgetBurn1hLong", 3_600, 0.0144),
        ("AlbErrorBudgetBurn1hShort", 300, 0.0144),
        ("AlbErrorBudgetBurn6hLong", 21_600, 0.006),
        ("AlbErrorBudgetBurn1dLong", 86_400, 0.003),
        ("AlbErrorBudgetBurn3dLong", 259_200, 0.001),
        ("AlbErrorBudgetBurn3dShort", 21_600, 0.001),
        ("EmfLatencyBudgetBurn1hLong", 3_600, 0.144),
        ("EmfLatencyBudgetBurn3dLong", 259_200, 0.01),
    ] {
        let alarm = &template.alarms[name];
        let periods: Vec<u64> =
            alarm.metrics.iter().filter_map(|query| Some(query.metric_stat.as_ref()?.period)).collect();
        assert!(!periods.is_empty() && periods.iter().all(|found| *found == period), "{name}: {periods:?}");
        assert_eq!((alarm.evaluation_periods, alarm.threshold), (1, threshold), "{name}");
        assert!(alarm.alarm_actions.is_empty(), "{name} is told by its composite");
    }
}

#[test]
fn the_template_and_the_dashboards_file_have_the_same_body() {
    let slo = objectives();
    let body = ops::cloudwatch::template::with_samples(&rendered(&slo, DASHBOARD)).expect("a dashboard");
    let boards = template(&slo).dashboards;
    assert_eq!(boards.len(), 1);
    assert!(boards.values().all(|board| board.dashboard_body.trim_end() == body.trim_end()));
}

#[test]
fn everything_is_listed() {
    let items = ops::cloudwatch::items(&objectives());
    let template = template(&objectives());
    let count = |kind: &str| items.iter().filter(|item| item.kind == kind).count();
    assert_eq!(count("alarm"), template.alarms.len());
    assert_eq!(count("composite"), template.composites.len());
    assert_eq!(count("filter"), template.filters.len());
    assert_eq!(count("query"), template.queries.len());
    assert!(items.iter().all(|item| !item.summary.is_empty() && item.file == TEMPLATE));
}
