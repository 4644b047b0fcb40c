//! Servers that are known to be good or bad, and what is said of them.

use std::time::Duration;

use loadtest::fixture::Fault;

use crate::harness::{fixture, leftovers, machine, objectives, result, rules, run, short, slo};

#[tokio::test]
async fn the_self_test_gives_every_server_the_verdict_it_deserves() {
    let _machine = machine().await;
    let (code, output, _) = run(&["self-test", "--short", "--slo", &slo()]).await;
    assert_eq!(code, 0, "{output}");
    let names = loadtest::commands::self_test::names(&objectives());
    assert!(names.len() >= 7, "{names:?}");
    for name in &names {
        assert!(output.lines().any(|line| line.starts_with("right  ") && line.contains(name)), "{name}: {output}");
    }
    assert_eq!(output.matches("right  ").count(), names.len(), "{output}");
    for verdict in ["PASS at", "FAIL at", "INVALID at"] {
        assert!(output.contains(verdict), "{output}");
    }
}

#[tokio::test]
async fn the_limits_are_those_of_the_objectives_file() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { delay: Duration::from_millis(20), ..Fault::default() });
    let text = std::fs::read_to_string(slo()).expect("slo.toml").replacen("latency = 0.2 ", "latency = 0.01 ", 1);
    let folder = tempfile::TempDir::new().expect("a directory");
    let strict = folder.path().join("slo.toml");
    std::fs::write(&strict, text).expect("slo.toml of the test");
    let strict = strict.display().to_string();
    let arguments = ["--rate", "500", "--profile", &profile];
    let (_, output, directory) = run(&short(&server.url(), &strict, &arguments)).await;
    let measured = result(directory.path());
    let failed = rules(&measured, "latency p99").into_iter().filter(|rule| rule["outcome"] == "fail").count();
    assert!(failed >= 1, "20 ms are over 10 ms: {output}");
    let (_, output, directory) = run(&short(&server.url(), &slo(), &arguments)).await;
    let failed =
        rules(&result(directory.path()), "latency").into_iter().filter(|rule| rule["outcome"] == "fail").count();
    assert_eq!(failed, 0, "{output}");
}

#[tokio::test]
async fn a_version_that_changes_mid_run_makes_it_invalid() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { version_changes: true, ..Fault::default() });
    let metrics = format!("{}/metrics", server.url());
    let more = ["--rate", "100", "--profile", &profile, "--metrics-url", &metrics];
    let (code, output, directory) = run(&short(&server.url(), &slo(), &more)).await;
    assert_eq!(code, 2, "{output}");
    let measured = result(directory.path());
    assert_eq!(rules(&measured, "same version")[0]["outcome"], "invalid", "{output}");
    assert_eq!(measured["verdict"], "INVALID");
    let junit = std::fs::read_to_string(directory.path().join("report/junit.xml")).expect("junit.xml");
    assert!(
        junit.contains("name=\"verdict below the objective: 100/s in place of 1000/s\"><error message=\"INVALID"),
        "{junit}"
    );
}

#[tokio::test]
async fn metrics_that_are_lost_in_the_middle_of_a_run_make_it_invalid() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { metrics_reads: Some(2), ..Fault::default() });
    let metrics = format!("{}/metrics", server.url());
    let more = ["--rate", "100", "--profile", &profile, "--metrics-url", &metrics];
    let (code, output, directory) = run(&short(&server.url(), &slo(), &more)).await;
    assert_eq!(code, 2, "{output}");
    let measured = result(directory.path());
    let view = rules(&measured, "server's view")[0];
    assert_eq!((&view["outcome"], &view["measured"]), (&"invalid".into(), &"lost in the middle of the run".into()));
}

#[tokio::test]
async fn too_few_samples_are_no_pass() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault::default());
    let (code, output, directory) = run(&short(&server.url(), &slo(), &["--rate", "50", "--profile", &profile])).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("too few samples"), "{output}");
    assert!(output.contains("INVALID BELOW THE OBJECTIVE of 1000/s, at 50/s"), "{output}");
    assert!(output.contains("database, counts and version not checked"), "{output}");
    let junit = std::fs::read_to_string(directory.path().join("report/junit.xml")).expect("junit.xml");
    assert!(junit.contains("name=\"verdict below the objective: 50/s in place of 1000/s\""), "{junit}");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(server.projects(), 0);
}

#[tokio::test]
async fn a_server_that_dies_fails_and_one_that_never_answers_is_invalid() {
    let _machine = machine().await;
    let slo = slo();
    let (mut url, mut profile) = Default::default();
    let mut ended = (0, String::new());
    // A machine that is too busy makes it INVALID, and rightly; it is not the same twice.
    for _ in 0..3 {
        let server;
        (server, profile) = fixture(Fault::default());
        url = server.url();
        let process = crate::harness::tool(&short(&url, &slo, &["--rate", "100", "--profile", &profile])).start();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        drop(server);
        let (code, output, directory) = crate::harness::finished(process).await;
        let measured = result(directory.path());
        assert_eq!(rules(&measured, "errors")[0]["outcome"], "fail", "{output}");
        assert_eq!(leftovers(directory.path()).len(), 1, "what could not be taken away is noted: {output}");
        ended = (code, output);
        if code != 2 {
            break;
        }
    }
    assert_eq!(ended.0, 1, "{}", ended.1);

    let (code, output, _) = run(&short(&url, &slo, &["--rate", "100", "--profile", &profile])).await;
    assert_eq!((code, output.trim()), (2, format!("INVALID: GET /health of {url}: no connection").as_str()));
}

#[tokio::test]
async fn latencies_agree_with_those_of_another_client_at_a_fixed_rate_at_the_same_time() {
    let Some(python) = testkit::program("python3") else { return testkit::skip("python3") };
    let _machine = machine().await;
    // Between 30 and 130 ms, and a standstill of 0.3 s in every 1.5 s: what a closed loop would leave out.
    let fault = Fault {
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(100),
        freeze: Some((Duration::from_millis(1_500), Duration::from_millis(300))),
        ..Fault::default()
    };
    let (server, profile) = fixture(fault);
    let script = testkit::root().join("loadtest/tests/open_loop.py").display().to_string();
    let port = server.address.port().to_string();
    let (url, slo) = (server.url(), slo());
    let own = short(&url, &slo, &["--rate", "200", "--profile", &profile, "--duration", "6s", "--warm-up", "1s"]);
    let mut said = String::new();
    // The machine's noise is not the same twice; an error of the tool is.
    for _ in 0..3 {
        let process = crate::harness::tool(&own).start();
        process_says(&process, "requests/s on").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let arguments = [&script, port.as_str(), "/api/v1/tasks?limit=20", "Bearer 1", "200", "6"];
        let other = crate::harness::first(&python, &arguments).start();
        let (_, text, _) = crate::harness::finished(other).await;
        let (_, output, directory) = crate::harness::finished(process).await;
        let all = &result(directory.path())["operations"][0];
        let other: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let agree = [("p50", 0), ("p99", 1)].map(|(name, index)| {
            let (own, other) = (all[name].as_f64().expect("seconds"), other.get(index).copied().unwrap_or(0.0));
            said += &format!("{name}: {own} s here, {other} s there\n{text}\n");
            (own / other - 1.0).abs() <= 0.1
        });
        if agree == [true, true] {
            return;
        }
        said += &output;
    }
    panic!("{said}");
}

/// Waits until a process has said this.
async fn process_says(process: &testkit::process::Process, text: &str) {
    for _ in 0..600 {
        if process.output().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Milliseconds behind a percentile in what wrk prints: `     99%   22.31ms`.
fn wrk_millis(output: &str, percentile: &str) -> f64 {
    let line = output.lines().find_map(|line| line.trim().strip_prefix(percentile)).expect("the percentile");
    let (number, unit) = line.trim().split_at(line.trim().find(|c: char| c.is_ascii_alphabetic()).expect("a unit"));
    number.parse::<f64>().expect("a number")
        * if unit == "us" {
            1e-3
        } else if unit == "ms" {
            1.0
        } else {
            1e3
        }
}

#[tokio::test]
async fn latencies_agree_with_those_of_an_independent_tool() {
    let Some(wrk) = testkit::program("wrk") else { return testkit::skip("wrk") };
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { delay: Duration::from_millis(50), ..Fault::default() });
    // Without stalls a closed loop of 20 connections is as honest as an open one: about 390 requests/s.
    let url = format!("{}/api/v1/tasks?limit=20", server.url());
    let mut said = String::new();
    // The machine's noise is not the same in two runs one after the other; an error of the tool is.
    for _ in 0..3 {
        let arguments = ["-t1", "-c20", "-d3s", "--latency", "-H", "authorization: Bearer 0", &url];
        let (_, other, _) = crate::harness::finished(crate::harness::first(&wrk, &arguments).start()).await;
        let more = ["--rate", "390", "--profile", &profile];
        let (_, _, directory) = run(&short(&server.url(), &slo(), &more)).await;
        let all = &result(directory.path())["operations"][0];
        let agree = [("50%", &all["p50"]), ("99%", &all["p99"])].map(|(percentile, own)| {
            let (own, other) = (own.as_f64().expect("seconds") * 1e3, wrk_millis(&other, percentile));
            said += &format!("{percentile}: {own} ms here, {other} ms by wrk\n");
            (own / other - 1.0).abs() <= 0.1
        });
        if agree == [true, true] {
            return;
        }
    }
    panic!("{said}");
}
