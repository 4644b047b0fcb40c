//! Who is told, as amtool works it out.

use std::collections::BTreeSet;
use std::time::Duration;

use ops::tree::Rendered;
use serde_json::{Value, json};

use super::promtool::{run, written};
use super::scaled;
use super::servers::Server;
use crate::tree::objectives;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Alertmanager with the rendered routes. Nobody listens: how alerts are grouped and held back shows before anybody is told.
fn alertmanager() -> Option<Server> {
    let path = "alerts/alertmanager.yml";
    let files = ops::prometheus::rendered(&objectives());
    let file = files.iter().find(|file| file.path == path).expect("it is rendered");
    let config = scaled::routing(file, &format!("http://{}", testkit::free_address()));
    let text = serde_norway::to_string(&config).expect("YAML");
    let folder = written(&[Rendered { path: path.to_owned(), text }]);
    Server::alertmanager(testkit::free_address(), folder)
}

#[tokio::test]
async fn an_alert_that_another_explains_is_held_back_and_its_like_elsewhere_is_not() {
    let Some(server) = alertmanager() else { return };
    let held = "held back";
    // Name, severity, other labels, and whether it is held back.
    let alerts = [
        // Who is woken for an objective needs no ticket for it.
        ("AvailabilityBurnFast", "page", [("sloth_slo", "requests-availability"), ("", "")], ""),
        ("AvailabilityBurnSlow", "ticket", [("sloth_slo", "requests-availability"), ("", "")], held),
        ("ErrorsInQuietHours", "ticket", [("sloth_slo", "requests-availability"), ("", "")], held),
        ("LatencyBurnSlow", "ticket", [("sloth_slo", "requests-latency"), ("", "")], ""),
        // What an instance says of itself is old news once it is gone.
        ("TargetDown", "ticket", [("job", "task-api"), ("instance", "a")], ""),
        ("RuntimeSaturated", "ticket", [("job", "task-api"), ("instance", "a")], held),
        ("RuntimeSaturated", "ticket", [("job", "task-api"), ("instance", "b")], ""),
        // A canary that is gone is silent, and so is its objective; that of others is not its matter.
        ("TargetDown", "ticket", [("job", "canary"), ("instance", "c")], ""),
        ("CanarySilent", "ticket", [("", ""), ("", "")], held),
        ("SliAbsent", "ticket", [("sloth_slo", "canary-success"), ("", "")], held),
        ("SliAbsent", "ticket", [("sloth_slo", "requests-latency"), ("", "")], ""),
        // Lines that do not move at all are late as well.
        ("LogShipperStalled", "ticket", [("job", "task-api"), ("instance", "b")], ""),
        ("LogShipperLagging", "ticket", [("job", "task-api"), ("instance", "b")], held),
        ("LogShipperLagging", "ticket", [("job", "task-api"), ("instance", "d")], ""),
    ];
    let labels = alerts.map(|(name, severity, more, _)| {
        let mut labels = json!({"alertname": name, "severity": severity, "service": "task-api"});
        for (label, value) in more.iter().filter(|(label, _)| !label.is_empty()) {
            labels[*label] = (*value).into();
        }
        labels
    });
    server.post("/api/v2/alerts", &json!(labels.clone().map(|labels| json!({ "labels": labels })))).await;
    let wait = async {
        loop {
            let found = server.get("/api/v2/alerts", &[]).await;
            let states: Vec<(Value, Value)> = found
                .as_array()
                .into_iter()
                .flatten()
                .map(|alert| (alert["labels"].clone(), alert["status"]["state"].clone()))
                .collect();
            if states.len() == alerts.len() && states.iter().all(|(_, state)| state != "unprocessed") {
                return states;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let states = tokio::time::timeout(TIMEOUT, wait).await.expect("all are judged in time");
    for (labels, (.., expected)) in labels.iter().zip(&alerts) {
        let state = states.iter().find(|(found, _)| found == labels).map(|(_, state)| state.as_str());
        let expected = if *expected == held { "suppressed" } else { "active" };
        assert_eq!(state, Some(Some(expected)), "{labels}");
    }
}

#[tokio::test]
async fn the_alerts_of_one_objective_are_told_together_and_the_others_each_by_its_name() {
    let Some(server) = alertmanager() else { return };
    let alerts = [
        ("AvailabilityBurnFast", "page", "requests-availability"),
        ("CanaryBurnFast", "page", "canary-success"),
        ("AvailabilityBurnSlow", "ticket", "requests-availability"),
        ("ErrorBudgetExhausted", "ticket", "requests-availability"),
        ("SliAbsent", "ticket", "requests-availability"),
        ("RequestPanicked", "ticket", ""),
        ("RuntimeSaturated", "ticket", ""),
    ];
    let posted = alerts.map(|(name, severity, objective)| {
        let mut labels = json!({"alertname": name, "severity": severity, "service": "task-api"});
        if !objective.is_empty() {
            labels["sloth_slo"] = objective.into();
        }
        json!({ "labels": labels })
    });
    server.post("/api/v2/alerts", &json!(posted)).await;
    let expected = [
        "AvailabilityBurnFast",
        "AvailabilityBurnSlow ErrorBudgetExhausted SliAbsent",
        "CanaryBurnFast",
        "RequestPanicked",
        "RuntimeSaturated",
    ];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    let wait = async {
        loop {
            let groups = together(&server.get("/api/v2/alerts/groups", &[]).await);
            if groups.iter().map(|group| group.split(' ').count()).sum::<usize>() == alerts.len() {
                return groups;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let groups = tokio::time::timeout(TIMEOUT, wait).await.expect("all are there in time");
    assert_eq!(groups, expected);
}

/// The names of each group, in order.
fn together(groups: &Value) -> BTreeSet<String> {
    let names = |group: &Value| {
        let alerts = group["alerts"].as_array().into_iter().flatten();
        let mut names: Vec<&str> = alerts.filter_map(|alert| alert["labels"]["alertname"].as_str()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    groups.as_array().into_iter().flatten().map(names).filter(|names| !names.is_empty()).collect()
}

#[test]
fn each_alert_reaches_the_receiver_of_its_severity_and_the_watchdog_its_own() {
    let Some(amtool) = testkit::program("amtool") else { return testkit::skip("amtool") };
    let slo = objectives();
    let folder = written(&ops::prometheus::rendered(&slo));
    let (passed, said) = run(&amtool, &["check-config", "alerts/alertmanager.yml"], folder.path());
    assert!(passed && said.contains("3 receivers"), "{said}");
    for alert in ops::prometheus::alerts(&slo) {
        let receiver = if alert.name == "Watchdog" { "heartbeat" } else { alert.severity.as_str() };
        let mut labels: Vec<String> = alert.labels().iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.push(format!("alertname={}", alert.name));
        let mut arguments = vec!["config", "routes", "test", "--config.file=alerts/alertmanager.yml"];
        arguments.extend(labels.iter().map(String::as_str));
        let (passed, said) = run(&amtool, &arguments, folder.path());
        assert!(passed && said.lines().next() == Some(receiver), "{}: {said}", alert.name);
        if alert.name == "Watchdog" {
            continue;
        }
        arguments.push("sloth_slo=requests-availability");
        let (passed, said) = run(&amtool, &arguments, folder.path());
        assert!(passed && said.lines().next() == Some(receiver), "{}: {said}", alert.name);
    }
}
