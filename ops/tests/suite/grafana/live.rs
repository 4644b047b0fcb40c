//! Every panel against a real Prometheus that scraped the real service: no "No data", for any choice, and the figures of
//! the drive.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::prometheus::{Prometheus, encoded};

use crate::harness::dashboards::{self, Dashboard, list, replaced};
use crate::harness::drive::Drive;
use crate::harness::stage::{Instance, Stage};

/// Scrapes each second see an answer within this.
const SCRAPED_WITHIN: Duration = Duration::from_secs(20);
/// The canary has made two good runs within this.
const PROBED_WITHIN: Duration = Duration::from_secs(60);
/// Panels times choices: fewer mean that variables have no values.
const QUERIES_MIN: usize = 900;
/// Routes of a load balancer's checks.
const CHECKS: [&str; 2] = ["/health", "/ready"];
/// Covers the test from its first request on.
const WHOLE: &str = "5m";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_has_a_value_for_every_choice_and_rates_are_those_of_the_drive() {
    let Some(mut stage) = Stage::start().await else { return };
    // The first answer of a status makes its series, which then starts at 1: a rate cannot see that one, but the next.
    let mut before = BTreeMap::new();
    for what in ["the drive that makes every series", "the drive that moves them"] {
        for instance in &stage.instances {
            for synthetic in [None, Some("canary"), Some("load")] {
                Box::pin(drive(&stage, instance, synthetic, 1)).await;
            }
        }
        before = settle(&stage, what, |_, count| count > 0.0).await;
    }

    let mut seen = BTreeMap::new();
    for (instance, journeys) in stage.instances.iter().zip([3, 2]) {
        seen.insert(instance.name.clone(), Box::pin(drive(&stage, instance, None, journeys)).await);
    }
    let total = |instance: &str| seen[instance].values().sum::<u32>();
    let after = settle(&stage, "the drive that is counted", |instance, count| {
        (count - before[instance].1 - f64::from(total(instance))).abs() < 0.5
    })
    .await;
    for instance in &stage.instances {
        let (from, to) = (before[&instance.name].0, after[&instance.name].0);
        compare(&stage.prometheus, &instance.name, (from, to), &seen[&instance.name]);
    }
    look_from_outside(&mut stage).await;
    every_panel_has_a_value(&stage);
    super::operands::every_alert_has_values_to_compare(&stage);
}

/// The canary runs, until its rates and what the rules make of them are there. It comes after the drive that is counted: some of
/// its requests count like anybody's.
async fn look_from_outside(stage: &mut Stage) {
    stage.outside.canary_starts().await;
    let mut awaited = vec!["sum(increase(canary_runs_total{outcome=\"ok\"}[5m])) > 1"];
    if stage.has_rules {
        awaited.push("slo:sli_error:ratio_rate5m{sloth_slo=\"canary-success\"} == 0");
    }
    let deadline = Instant::now() + PROBED_WITHIN;
    while let Some(missing) = awaited.iter().find(|expression| stage.prometheus.query(expression).is_empty()) {
        assert!(Instant::now() < deadline, "never true: {missing}\n{}", stage.outside.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// So many journeys, and a failure where users ask; what was answered.
async fn drive(
    stage: &Stage,
    instance: &Instance,
    synthetic: Option<&'static str>,
    journeys: u32,
) -> BTreeMap<(String, u16), u32> {
    let mut drive = Drive::new(&instance.api, synthetic);
    for _ in 0..journeys {
        drive.journey().await;
    }
    if synthetic.is_none() {
        stage.without_activity(drive.fail()).await;
    }
    drive.seen
}

/// Waits until a scrape of each instance has seen what it must; the time of that scrape in seconds since 1970, and the
/// users' requests up to then.
async fn settle(stage: &Stage, what: &str, done: impl Fn(&str, f64) -> bool) -> BTreeMap<String, (f64, f64)> {
    let deadline = Instant::now() + SCRAPED_WITHIN;
    let (mut settled, mut previous) = (BTreeMap::new(), BTreeMap::new());
    while settled.len() < stage.instances.len() {
        assert!(Instant::now() < deadline, "{what} is not in Prometheus after {SCRAPED_WITHIN:?}: {previous:?}");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for instance in &stage.instances {
            let name = &instance.name;
            let count = format!(r#"http_server_request_duration_seconds_count{{instance="{name}", synthetic="none"}}"#);
            // Both in one question, so that they are of one scrape.
            let both = stage.prometheus.query(&format!(
                r#"label_replace(sum({count}), "of", "count", "", "") or label_replace(max(timestamp({count})), "of", "time", "", "")"#
            ));
            let of = |of: &str| both.iter().find(|(labels, _)| labels["of"] == of).map(|(_, value)| *value);
            let (Some(count), Some(time)) = (of("count"), of("time")) else { continue };
            // Twice the same: nothing is under way.
            if previous.insert(name.clone(), count) == Some(count) && done(name, count) {
                settled.entry(name.clone()).or_insert((time, count));
            }
        }
    }
    settled
}

/// The rate of a panel times the seconds between two scrapes is what the drive counted between them. The window starts and
/// ends at a sample, so Prometheus has nothing to extrapolate.
fn compare(prometheus: &Prometheus, instance: &str, (from, to): (f64, f64), seen: &BTreeMap<(String, u16), u32>) {
    const TOLERANCE: f64 = 0.02;
    let seconds = to - from;
    let window = format!("{:.0}ms", seconds * 1000.0);
    let ask = |title: &str, label: &str| -> BTreeMap<String, f64> {
        let dashboards = dashboards::all();
        let overview = dashboards.iter().find(|dashboard| dashboard.uid == "task-api-overview").expect("the overview");
        let panel = overview.panels().into_iter().find(|panel| panel["title"] == title).expect("the panel");
        let mut chosen = overview.all_chosen();
        chosen.insert("instance".into(), instance.replace('.', r"\\."));
        let expression = replaced(panel["targets"][0]["expr"].as_str().expect("a query"), &chosen, &window, &window);
        let series = at(prometheus, &expression, to);
        series.into_iter().map(|(labels, value)| (labels[label].as_str().expect("a label").to_owned(), value)).collect()
    };
    let sum = |key: &dyn Fn(&(String, u16)) -> Option<String>| {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (answer, count) in seen {
            if let Some(key) = key(answer) {
                *sums.entry(key).or_default() += f64::from(*count);
            }
        }
        sums
    };
    let driven = sum(&|(route, _)| Some(route.clone()));
    // The panels show users, and a health check is none: the objectives leave it out as well.
    let of_users = |route: &str| !CHECKS.contains(&route);
    let routes = sum(&|(route, _)| of_users(route).then(|| route.clone()));
    let statuses = sum(&|(route, status)| of_users(route).then(|| status.to_string()));
    let failures = sum(&|(route, status)| (of_users(route) && *status >= 500).then(|| route.clone()));
    assert_eq!(driven.len(), routes.len() + CHECKS.len(), "the drive asks for health, which the panels leave out");
    assert!(!failures.is_empty(), "a drive with failures");
    let known = prometheus.api("label/http_route/values");
    assert_eq!(Some(driven.len()), known.as_array().map(Vec::len), "a drive over every route: {driven:?}");

    let close = |found: f64, expected: f64| (found - expected).abs() <= TOLERANCE * expected + 1e-9;
    for (title, label, expected) in [
        ("Which routes do users ask for, and how often?", "http_route", &routes),
        ("Which statuses do they get?", "http_response_status_code", &statuses),
    ] {
        let found = ask(title, label);
        assert!(CHECKS.iter().all(|route| !found.contains_key(*route)), "{title}: {found:?}");
        for (value, rate) in &found {
            let expected = expected.get(value).copied().unwrap_or_default();
            let count = rate * seconds;
            assert!(close(count, expected), "{title} {value}: {count} on the panel, {expected} by the drive");
        }
        assert!(expected.keys().all(|value| found.contains_key(value)), "{title}: {found:?}");
    }
    let found = ask("Which routes fail, and how often?", "http_route");
    for (route, count) in &routes {
        let expected = failures.get(route).copied().unwrap_or_default() / count;
        assert!(close(found[route], expected), "share of failures of {route}: {} not {expected}", found[route]);
    }
}

/// The value of an expression at a time in seconds since 1970, with its labels.
fn at(prometheus: &Prometheus, expression: &str, time: f64) -> Vec<(Value, f64)> {
    let data = prometheus.api(&format!("query?query={}&time={time:.3}", encoded(expression)));
    let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
    let series = list(&data["result"]).iter();
    series.map(|series| (series["metric"].clone(), value(series).expect("a number"))).collect()
}

fn every_panel_has_a_value(stage: &Stage) {
    let mut empty = Vec::new();
    let mut with_value = 0;
    for dashboard in dashboards::all() {
        for chosen in dashboard.choices(&stage.prometheus) {
            for (title, expression) in queries(&dashboard) {
                let recorded = ops::promql::series(&replaced(&expression, &chosen, "1m", "1h"));
                if recorded.iter().any(|name| name.starts_with("slo:")) && !stage.has_rules {
                    continue;
                }
                let expression = replaced(&expression, &chosen, WHOLE, WHOLE);
                let found = stage.prometheus.query(&expression);
                // An operation that never ran has no duration: 0 / 0. Everything else was driven.
                let rests = dashboard.uid == "task-api-database" && chosen["operation"] != ".+";
                let value = !found.is_empty() && (rests || found.iter().any(|(_, value)| value.is_finite()));
                with_value += usize::from(value);
                let what = format!("{} / {title}: {expression}", dashboard.uid);
                if !value {
                    empty.push(what);
                }
            }
        }
    }
    assert!(empty.is_empty(), "{} queries without data\n{}", empty.len(), empty.join("\n"));
    assert!(with_value > QUERIES_MIN, "only {with_value} queries were asked");
}

/// Every query of a dashboard, with the title of its panel.
fn queries(dashboard: &Dashboard) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let panels = dashboard.panels().into_iter();
    panels
        .flat_map(|panel| list(&panel["targets"]).iter().map(|target| (text(&panel["title"]), text(&target["expr"]))))
        .collect()
}
