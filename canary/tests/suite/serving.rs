//! `canary serve`: scraped by a real Prometheus while its target breaks and is mended.

use std::time::{Duration, Instant};

use telemetry::catalogue::{CANARY_EVENTS, CANARY_METRICS};
use testkit::process::{Process, Signal};
use testkit::prometheus::Prometheus;

use crate::rig::{Answers, EMAIL, Front, PASSWORD, Rig, SECRET, SOON};

/// Asks until the expression is true, in PromQL's sense: it has a result.
async fn until(prometheus: &Prometheus, expression: &str, canary: &Process) {
    let deadline = Instant::now() + SOON;
    while prometheus.query(expression).is_empty() {
        assert!(Instant::now() < deadline, "never true: {expression}\n{}", canary.output());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_sees_a_target_break_and_mend() {
    let Some(rig) = Rig::start(&[Front::good(50), Front::good(51)]).await else { return };
    let history = rig.file("history").display().to_string();
    let builder = rig.canary("serve", &[50, 51]).arg("--interval").arg("3s").arg("--history").arg(&history);
    let mut canary = builder.env("CANARY_LISTEN_ADDR", "127.0.0.1:0").start();
    let admin = canary.log("canary_started").await["admin"].as_str().unwrap().to_owned();
    let host = admin.trim_start_matches("http://");
    let scrape = format!(
        "scrape_configs: [{{job_name: canary, scrape_interval: 1s, static_configs: [{{targets: ['{host}']}}]}}]"
    );
    let Some(prometheus) = Prometheus::start(&scrape) else { return };

    until(&prometheus, "canary_runs_total{outcome=\"ok\"} >= 1", &canary).await;
    until(&prometheus, "time() - canary_last_success_timestamp_seconds < 10", &canary).await;
    until(&prometheus, "canary_certificate_expiry_timestamp_seconds - time() > 86400 * 89", &canary).await;
    until(&prometheus, "canary_step_duration_seconds_count{step=\"login\"} >= 1", &canary).await;
    until(&prometheus, "sum(canary_address_up) == 2", &canary).await;
    until(&prometheus, &format!("canary_info{{target=\"{}\"}} == 1", rig.target()), &canary).await;

    rig.change(&[Front::good(50), Front::good(51).answering(Answers::Broken)]);
    until(&prometheus, "canary_address_up{address=\"127.0.0.51\"} == 0", &canary).await;
    until(&prometheus, "canary_runs_total{outcome=\"degraded\"} >= 1", &canary).await;
    until(&prometheus, "canary_step_failures_total{step=\"health\", phase=\"check\"} >= 1", &canary).await;
    rig.change(&[Front::good(50).answering(Answers::Broken), Front::good(51).answering(Answers::Broken)]);
    until(&prometheus, "canary_runs_total{outcome=\"failed\"} >= 1", &canary).await;
    rig.change(&[Front::good(50), Front::good(51)]);
    until(&prometheus, "sum(canary_address_up) == 2", &canary).await;

    // Every metric of the catalogue is there, and no other of the canary's.
    let text = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    let mut names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut listed: Vec<&str> = CANARY_METRICS.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed);
    assert_eq!(reqwest::get(format!("{admin}/health")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("{admin}/else")).await.unwrap().status(), 404);

    canary.signal(Signal::TERM);
    assert!(canary.wait(SOON).await.success(), "{}", canary.output());
    for output in [&text, &canary.output()] {
        assert!([PASSWORD, SECRET, EMAIL, "eyJ"].iter().all(|secret| !output.contains(secret)), "{output}");
    }
    for line in canary.logs() {
        let event = CANARY_EVENTS.iter().find(|event| line["event"] == event.name).unwrap_or_else(|| panic!("{line}"));
        assert!(event.levels.contains(&line["level"].as_str().unwrap()), "{line}");
        assert!(event.fields.iter().all(|field| !line[*field].is_null()), "{line}");
        let known = |name: &str| {
            let top = telemetry::catalogue::TOP_LEVEL_FIELDS;
            ["event", "message"].contains(&name)
                || top.contains(&name)
                || event.fields.contains(&name)
                || event.optional.contains(&name)
        };
        assert!(line.as_object().unwrap().keys().all(|name| known(name)), "{line}");
    }
    shows_its_history(&history, &canary).await;
}

/// What `canary history` says is what the log says.
async fn shows_its_history(path: &str, canary: &Process) {
    let of = |outcome: &str| canary.logs().iter().filter(|line| line["outcome"] == outcome).count();
    let run = |format: &'static str| {
        let builder = testkit::process::Builder::new(env!("CARGO_BIN_EXE_canary"));
        builder.arg("history").arg("--history").arg(path).arg("--output").arg(format).start()
    };
    let mut json = run("json");
    assert!(json.wait(SOON).await.success(), "{}", json.output());
    let summary = &json.logs()[0];
    let days = summary["days"].as_array().unwrap();
    let counted: Vec<usize> =
        (0..4).map(|at| days.iter().map(|day| day["runs"][at].as_u64().unwrap() as usize).sum()).collect();
    // A run that SIGTERM cut short is in neither.
    assert_eq!(counted, ["ok", "degraded", "failed", "error"].map(of), "{summary}\n{}", canary.output());
    assert!(!summary["incidents"].as_array().unwrap().is_empty(), "{summary}");
    // Of the degraded run and the failed one everything is there: where it was, what came, and which trace.
    let faults = summary["faults"].as_array().unwrap();
    for outcome in ["degraded", "failed"] {
        // A run that was on its way when the address broke has met it at a later step, and one on a busy machine may be late.
        let of_health = |fault: &&serde_json::Value| {
            let evidence = &fault["evidence"];
            fault["outcome"] == outcome && evidence["step"] == "health" && evidence["attempt"]["status"] == 503
        };
        let fault = faults.iter().find(of_health).unwrap_or_else(|| panic!("{faults:?}"));
        let evidence = &fault["evidence"];
        assert!(evidence["body"].as_str().unwrap().contains("503 Service Temporarily"), "{fault}");
        assert_eq!(fault["trace_id"], evidence["attempt"]["trace_id"], "{fault}");
    }
    let mut text = run("text");
    assert!(text.wait(SOON).await.success() && text.output().contains("incidents\n  20"), "{}", text.output());
    let latest = faults.last().unwrap()["trace_id"].as_str().unwrap();
    for shown in [&format!("    trace {latest}"), "first failure: health at 127.0.0.5", "    server: nginx"] {
        assert!(text.output().contains(shown), "{shown}: {}", text.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_hangs_ends_before_the_next_one_is_due() {
    let Some(rig) = Rig::start(&[Front::good(52)]).await else { return };
    // Nobody answers: 127.0.0.52 hangs in the middle of TLS.
    let listener = std::net::TcpListener::bind(("127.0.0.53", rig.port)).expect("an address");
    let builder =
        rig.canary("serve", &[53]).arg("--interval").arg("2s").arg("--history").arg("/no/such/folder/history");
    let canary = builder.env("CANARY_LISTEN_ADDR", "127.0.0.1:0").start();
    let deadline = Instant::now() + SOON;
    let runs = loop {
        let runs: Vec<_> = canary.logs().into_iter().filter(|line| line["event"] == "canary_run").collect();
        if runs.len() >= 4 {
            break runs;
        }
        assert!(Instant::now() < deadline, "{}", canary.output());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    drop(listener);
    // A history that cannot be kept is no reason to see nothing.
    assert_eq!(canary.log("canary_history_failed").await["level"], "WARN");
    let starts: Vec<f64> = runs.iter().map(|run| ended_at(run) - run["duration_ms"].as_f64().unwrap()).collect();
    for run in &runs {
        assert_eq!((&run["outcome"], &run["step"], &run["phase"]), (&"failed".into(), &"health".into(), &"tls".into()));
        assert!(run["duration_ms"].as_f64().unwrap() < 2000.0 * 0.8, "{run}");
    }
    // Jittered: by up to a tenth of the interval, and no two alike.
    let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (1700.0..2500.0).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.5), "{gaps:?}");
}

fn ended_at(line: &serde_json::Value) -> f64 {
    let at: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    at.as_microsecond() as f64 / 1e3
}
