//! The real binary: what it refuses, what it says, and that its lines outlive SIGTERM and kill -9.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::rig::DEADLINE;
use crate::harness::aws_faults::{AwsFaults, Fault};
use crate::harness::moto::Moto;
use crate::harness::process::{Builder, Process, Serving, Signal, task_api};
use crate::harness::scrape::Scrape;
use crate::harness::skip;

/// Lines that the shipper writes to standard output alone.
const OWN: &[&str] = &[
    "log_shipper_failing",
    "log_shipper_recovered",
    "log_shipper_rejected",
    "log_shipper_retention_failed",
    "log_shipper_stopped",
];

struct Cloud {
    moto: &'static Moto,
    faults: AwsFaults,
    group: String,
}

impl Cloud {
    fn start(test: &str) -> Option<Self> {
        let moto = Moto::get()?;
        let group = format!("/test/{test}/{}", uuid::Uuid::now_v7().simple());
        Some(Self { moto, faults: AwsFaults::start(moto.address()), group })
    }

    fn builder(&self) -> Builder {
        task_api()
            .env("CLOUDWATCH_LOG_GROUP", &self.group)
            .env("AWS_ENDPOINT_URL", self.faults.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("RUST_LOG", "info")
    }

    fn messages(&self) -> Vec<String> {
        self.moto.events(&self.group).into_iter().map(|event| event.message).collect()
    }
}

/// Standard output without what only it gets.
fn shipped_lines(process: &Process) -> Vec<String> {
    let own = |line: &Value| OWN.iter().any(|name| line["event"] == *name);
    let lines = process.output();
    let parsed = lines.lines().filter(|line| serde_json::from_str(line).is_ok_and(|line: Value| !own(&line)));
    parsed.map(str::to_owned).collect()
}

fn assert_all_arrived(produced: &[String], arrived: &[String]) {
    let arrived: BTreeSet<&String> = arrived.iter().collect();
    let missing: Vec<&String> = produced.iter().filter(|line| !arrived.contains(line)).collect();
    assert!(
        missing.is_empty() && !produced.is_empty(),
        "{} of {} missing: {missing:#?}",
        missing.len(),
        produced.len()
    );
}

/// The lines of all places, each of which is in one.
fn accounted(scrape: &Scrape) -> f64 {
    let places = ["delivered_total", "rejected_total", "dropped_total", "spooled_lines", "queued_lines"];
    places.iter().map(|name| scrape.sum(&format!("log_shipper_{name}"), &[])).sum()
}

async fn drive(process: &Process, requests: usize) {
    let api = process.api().await;
    for _ in 0..requests {
        let _ = api.get("tasks").await; // refused without a token, and logged like any other
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sigterm_the_lines_in_flight_are_delivered_and_the_last_line_says_so() {
    let Some(cloud) = Cloud::start("sigterm") else { return };
    cloud.faults.puts(|_| Fault::Delay(Duration::from_millis(700)));
    let mut process = cloud.builder().env("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi").serve().await;
    let started = process.log("started").await;
    let says = |field: &str, text: &str| started[field].as_str().is_some_and(|value| value.contains(text));
    assert!(says("logs", &cloud.group) && says("logs", "stdout") && says("metrics", "TaskApi"), "{started}");
    drive(&process, 50).await;
    process.signal(Signal::TERM);
    drive_until_gone(&process).await;
    assert!(process.wait(Duration::from_secs(20)).await.success(), "{}", process.output());
    let last = process.log("log_shipper_stopped").await;
    assert_eq!(process.logs().last(), Some(&last), "it is the last line");
    let arrived = cloud.messages();
    assert_eq!(last["sent"].as_u64(), Some(arrived.len() as u64), "{last}");
    assert_eq!((last["spooled"].as_u64(), last["lost"].as_u64()), (Some(0), Some(0)), "{last}");
    assert_all_arrived(&shipped_lines(&process), &arrived);
    let metrics = arrived.iter().filter(|line| line.contains("\"_aws\"")).count();
    assert!(metrics > 0, "the last minute's metrics are shipped too");
    assert_eq!(arrived.len(), shipped_lines(&process).len() + metrics, "each line once");
}

/// Requests during the shutdown, as a load balancer that has not noticed sends them.
async fn drive_until_gone(process: &Process) {
    let api = process.api().await;
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::from_millis(200), api.get("tasks").send()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retention_that_cannot_be_set_is_said_once_and_counted() {
    let Some(cloud) = Cloud::start("retention") else { return };
    cloud.faults.rule(|request| match request.operation.as_str() {
        "PutRetentionPolicy" => Fault::error(403, "AccessDeniedException"),
        _ => Fault::None,
    });
    let mut process = cloud.builder().serve().await;
    drive(&process, 5).await;
    let line = process.log("log_shipper_retention_failed").await;
    assert_eq!((line["level"].as_str(), line["retention_days"].as_u64()), (Some("WARN"), Some(30)), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.starts_with("AccessDeniedException")), "{line}");
    let metrics = wait_for_delivery(&process).await;
    assert_eq!(metrics.value("log_shipper_retention_errors_total"), 1.0);
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(20)).await.success(), "{}", process.output());
    let told = process.logs().iter().filter(|line| line["event"] == "log_shipper_retention_failed").count();
    assert_eq!((told, cloud.faults.seen("PutRetentionPolicy")), (1, 1));
    assert_all_arrived(&shipped_lines(&process), &cloud.messages());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_an_outage_loses_no_line_that_the_spool_has() {
    let Some(cloud) = Cloud::start("kill") else { return };
    let spool = tempfile::tempdir().expect("a directory");
    let directory = spool.path().to_string_lossy().into_owned();
    let mut killed = cloud.builder().env("CLOUDWATCH_SPOOL_DIR", &directory).serve().await;
    drive(&killed, 20).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // some are delivered before the outage
    cloud.faults.rule(|_| Fault::Cut);
    drive(&killed, 200).await;
    tokio::time::sleep(Duration::from_millis(1000)).await; // the longest that a line is in memory only is 200 ms
    let produced = shipped_lines(&killed);
    assert!(produced.len() >= 220, "{}", produced.len());
    assert!(cloud.messages().len() < produced.len(), "the outage is one");
    killed.kill9();

    cloud.faults.rule(|_| Fault::None);
    let mut next = cloud.builder().env("CLOUDWATCH_SPOOL_DIR", &directory).serve().await;
    let metrics = wait_for_delivery(&next).await;
    for name in ["log_shipper_recovered_total", "log_shipper_delivered_total"] {
        assert!(metrics.value(name) >= 200.0, "{name} {}", metrics.value(name));
    }
    assert_eq!(metrics.value("log_shipper_produced_total"), accounted(&metrics));
    assert_eq!(metrics.sum("log_shipper_dropped_total", &[]), 0.0, "what was found is whole");
    next.signal(Signal::TERM);
    assert!(next.wait(Duration::from_secs(20)).await.success());
    let arrived = cloud.messages();
    assert_all_arrived(&produced, &arrived);
    assert_all_arrived(&shipped_lines(&next), &arrived);
    assert_eq!(files(spool.path()), 0, "the spool is empty");
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    // At least once: what was in flight at the kill may have been accepted.
    assert!(arrived.len() - distinct.len() <= 250, "{} of {} twice", arrived.len() - distinct.len(), arrived.len());
}

/// The library of `faketime`, which tells a process another time than the machine's.
fn faketime() -> Option<String> {
    let libraries = std::fs::read_dir("/usr/lib").expect("libraries").flatten();
    let mut found =
        libraries.map(|folder| folder.path().join("faketime/libfaketime.so.1")).filter(|path| path.is_file());
    let found = found.next().map(|path| path.to_string_lossy().into_owned());
    if found.is_none() {
        skip("faketime");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_under_the_running_binary_costs_no_line() {
    let (Some(cloud), Some(library)) = (Cloud::start("jump"), faketime()) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let clock = directory.path().join("clock");
    let set = |time: &str| std::fs::write(&clock, time).expect("a file");
    set("+0");
    let builder = cloud.builder().env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", clock.to_string_lossy());
    // The clock of a machine jumps; what durations are measured with does not.
    let mut process = builder.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").serve().await;
    // Forward within the two hours that are taken, back by days within the fourteen, and home again.
    for time in ["+0", "+1h", "-26h", "-100h", "+0"] {
        set(time);
        drive(&process, 20).await;
    }
    let metrics = wait_for_delivery(&process).await;
    assert_eq!(metrics.value("log_shipper_produced_total"), accounted(&metrics));
    let lost = metrics.sum("log_shipper_dropped_total", &[]) + metrics.sum("log_shipper_rejected_total", &[]);
    assert_eq!(lost, 0.0, "{}", metrics.text);
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(20)).await.success(), "{}", process.output());
    let produced = shipped_lines(&process);
    let days: BTreeSet<String> =
        process.logs().iter().map(|line| line["timestamp"].to_string()[1..11].into()).collect();
    assert!(days.len() >= 3, "the clock did not jump: {days:?}");
    assert_all_arrived(&produced, &cloud.messages());
    assert!(
        process.logs().iter().all(|line| line["duration_ms"].as_f64().unwrap_or(0.0) < 60_000.0),
        "no duration jumps"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sigterm_in_an_outage_the_spool_keeps_the_lines_and_memory_loses_them_in_time() {
    let Some(cloud) = Cloud::start("sigterm-outage") else { return };
    cloud.faults.rule(|_| Fault::Cut);
    let spool = tempfile::tempdir().expect("a directory");
    for directory in ["", &spool.path().to_string_lossy()] {
        let mut process = cloud.builder().env("CLOUDWATCH_SPOOL_DIR", directory).serve().await;
        drive(&process, 20).await;
        process.signal(Signal::TERM);
        assert!(process.wait(Duration::from_secs(10)).await.success(), "{}", process.output());
        let last = process.log("log_shipper_stopped").await;
        let lines = shipped_lines(&process).len() as u64;
        let (kept, other) = if directory.is_empty() { ("lost", "spooled") } else { ("spooled", "lost") };
        assert_eq!(
            (last[kept].as_u64(), last[other].as_u64(), last["sent"].as_u64()),
            (Some(lines), Some(0), Some(0)),
            "{last}"
        );
    }
    assert_eq!(files(spool.path()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accounts_are_exported_and_add_up_in_every_scrape() {
    let Some(cloud) = Cloud::start("scrape") else { return };
    cloud
        .faults
        .puts(|request| if request.number % 2 == 0 { Fault::error(500, "InternalFailure") } else { Fault::None });
    let process = cloud.builder().serve().await;
    let admin = process.admin().await;
    for _ in 0..10 {
        drive(&process, 20).await;
        let scrape = Scrape::of(&admin).await;
        assert_eq!(scrape.value("log_shipper_produced_total"), accounted(&scrape));
    }
    let scrape = wait_for_delivery(&process).await;
    assert!(scrape.sum("log_shipper_requests_total", &[("outcome", "server_error")]) >= 1.0);
    assert!(scrape.value("log_shipper_last_success_time_seconds") > 1.7e9);
    let dropped = scrape.samples.iter().filter(|sample| sample.name == "telemetry_dropped_total");
    let dropped: Vec<f64> =
        dropped.filter(|sample| sample.labels["signal"] == "cloudwatch").map(|sample| sample.value).collect();
    assert!(!dropped.is_empty() && dropped.iter().all(|value| *value == 0.0), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_shipper_itself_causes_is_not_shipped() {
    let Some(cloud) = Cloud::start("itself") else { return };
    cloud.faults.puts(|request| if request.number < 5 { Fault::Cut } else { Fault::None });
    let mut process = cloud.builder().env("RUST_LOG", "trace").serve().await;
    drive(&process, 5).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(20)).await.success());
    let of_the_client = |target: &str| target.starts_with("aws_") || target.starts_with("hyper_util::client");
    let caused = |line: &Value| line["target"].as_str().is_some_and(of_the_client);
    assert!(process.logs().iter().any(caused), "standard output has what the SDK says");
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a line of JSON");
    let arrived: Vec<Value> = cloud.messages().iter().map(parse).collect();
    assert!(arrived.iter().any(|line| line["event"] == "http_request"));
    let own = |line: &&Value| caused(line) || OWN.iter().any(|name| line["event"] == *name);
    assert_eq!(arrived.iter().find(own), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_configuration_ends_the_start_with_64_and_names_its_variable() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("CLOUDWATCH_LOG_STREAM", &[("CLOUDWATCH_LOG_STREAM", "s")]),
        ("CLOUDWATCH_METRICS_NAMESPACE", &[("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi")]),
        ("CLOUDWATCH_SPOOL_DIR", &[("CLOUDWATCH_SPOOL_DIR", "/tmp/never")]),
        ("CLOUDWATCH_SPOOL_DIR", &[("CLOUDWATCH_LOG_GROUP", "g"), ("CLOUDWATCH_SPOOL_DIR", "/dev/null/spool")]),
        ("CLOUDWATCH_LOG_GROUP", &[("CLOUDWATCH_LOG_GROUP", "no spaces")]),
        ("CLOUDWATCH_LOG_RETENTION_DAYS", &[("CLOUDWATCH_LOG_GROUP", "g"), ("CLOUDWATCH_LOG_RETENTION_DAYS", "31")]),
    ];
    for (variable, environment) in cases {
        let mut builder = task_api();
        for (name, value) in *environment {
            builder = builder.env(name, value);
        }
        let mut process = builder.start();
        let status = process.wait(DEADLINE).await;
        let errors = process.errors();
        assert_eq!(status.code(), Some(64), "{variable}: {errors:?}");
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("task-api: {variable}: got ")), "{errors:?}");
    }
}

/// Waits until the admin listener says that nothing is on its way; returns that scrape.
async fn wait_for_delivery(process: &Process) -> Scrape {
    let admin = process.admin().await;
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let scrape = Scrape::of(&admin).await;
        if scrape.value("log_shipper_spooled_lines") + scrape.value("log_shipper_queued_lines") == 0.0
            && scrape.value("log_shipper_delivered_total") > 0.0
        {
            return scrape;
        }
        assert!(tokio::time::Instant::now() < end, "not delivered in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).expect("a directory").flatten();
    names.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "seg")).count()
}
