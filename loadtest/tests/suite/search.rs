//! The knee of a server whose limit is known, and a short soak.

use std::time::Duration;

use loadtest::fixture::Fault;
use serde_json::Value;

use crate::harness::{finished, fixture, machine, slo, tool};

#[tokio::test]
async fn find_max_ends_close_below_what_the_server_can_do() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { capacity: Some(500.0), ..Fault::default() });
    let url = server.url();
    let slo = slo();
    let mut arguments = vec!["find-max", "--host", &url, "--slo", &slo, "--metrics-url", "none", "--profile", &profile];
    arguments.extend(["--from", "400", "--to", "900", "--precision", "0.6", "--step", "3s", "--output", "json"]);
    arguments.extend(["--report-dir", "report"]);
    let process = tool(&arguments).start();
    let (code, output, _) = finished(process).await;
    assert_eq!(code, 0, "{output}");
    let json = output.split_once("\n]").map(|(json, _)| format!("{json}\n]")).expect("steps");
    let steps: Vec<Value> = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {output}"));
    let rates = |verdict: &str| -> Vec<f64> {
        steps.iter().filter(|step| step["verdict"] == verdict).filter_map(|step| step["rate"].as_f64()).collect()
    };
    let held = rates("PASS").into_iter().fold(0.0, f64::max);
    let broke = rates("FAIL").into_iter().fold(f64::INFINITY, f64::min);
    assert_eq!((held, broke), (400.0, 600.0), "one step below its limit, one above: {output}");
    assert_eq!(server.projects(), 0);
}

/// The steps of a search that has to end INVALID, as `--output json` gives them.
async fn invalid(fault: Fault, more: &[&str]) -> (usize, String) {
    let _machine = machine().await;
    let (server, profile) = fixture(fault);
    let (url, slo) = (server.url(), slo());
    let mut arguments = vec!["find-max", "--host", &url, "--slo", &slo, "--profile", &profile, "--step", "1s"];
    arguments.extend(["--output", "json", "--report-dir", "report"]);
    arguments.extend(more);
    let (code, output, _) = finished(tool(&arguments).start()).await;
    assert_eq!(code, 2, "{output}");
    assert_eq!(output.matches("says nothing").count(), 1, "{output}");
    assert_eq!(server.projects(), 0);
    (output.matches("\"verdict\": \"INVALID\"").count(), output)
}

#[tokio::test]
async fn find_max_ends_at_a_step_that_would_say_nothing_again() {
    // Metrics that nobody serves.
    let metrics = ["--metrics-url", "http://127.0.0.1:9/metrics", "--from", "100", "--to", "900"];
    let (steps, output) = invalid(Fault::default(), &metrics).await;
    assert_eq!(steps, 1, "{output}");
}

#[tokio::test]
async fn a_soak_without_the_target_s_metrics_cannot_say_that_nothing_grows() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { delay: Duration::from_millis(2), ..Fault::default() });
    let url = server.url();
    let slo = slo();
    let mut arguments = vec!["soak", "--host", &url, "--slo", &slo, "--metrics-url", "none", "--profile", &profile];
    arguments.extend(["--rate", "400", "--duration", "4s", "--warm-up", "500ms", "--report-dir", "report"]);
    let (code, output, directory) = finished(tool(&arguments).start()).await;
    assert_eq!(code, 2, "{output}");
    let measured = crate::harness::result(directory.path());
    assert_eq!(measured["verdict"], "INVALID", "every report says so: {output}");
    assert_eq!(crate::harness::rules(&measured, "growth").len(), 3, "{output}");
    assert!(output.contains("memory, bytes") && output.contains("INVALID"), "{output}");
}
