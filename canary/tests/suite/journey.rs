//! A good day: what is asked, what it costs, what stays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::process::Builder;

use crate::rig::{EMAIL, Front, PASSWORD, Ran, Rig, SOON, register};

const STEPS: [&str; 11] =
    ["health", "login", "create", "read", "list", "update", "stale", "anonymous", "delete", "gone", "logout"];

/// The canonical lines of the service.
fn requests(rig: &Rig) -> Vec<Value> {
    rig.api
        .logs()
        .into_iter()
        .filter(|line| line["event"] == "http_request" && line["route"] != "/api/v1/auth/register")
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_day_is_ok_costs_12_requests_and_leaves_no_row() {
    let Some(rig) = Rig::on_postgres(&[Front::good(2), Front::good(3)]).await else { return };
    let before = rig.rows();
    assert_eq!((before["users"], before["sessions"], before["tasks"]), (1, 1, 0), "those of the registration");
    let ran = rig.run(&[2, 3]).await.expect(0, "ok");
    assert_eq!(rig.rows(), before, "every table has the rows that it had");
    assert_eq!(ran.report["reasons"], serde_json::json!([]));
    let steps: Vec<&str> =
        ran.report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(steps, STEPS);
    assert!(ran.report["steps"].as_array().unwrap().iter().all(|step| step["outcome"] == "ok"), "{}", ran.output);

    // One health for each of the two addresses, and one request for each other step.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await; // a line is written after its answer
    let requests = requests(&rig);
    assert_eq!(requests.len(), 12, "{requests:#?}");

    // Each request is found in the service's log by its trace.
    let logged: BTreeSet<&str> = requests.iter().map(|line| line["trace_id"].as_str().unwrap()).collect();
    let sent: BTreeSet<&str> = ran.attempts().map(|attempt| attempt["trace_id"].as_str().unwrap()).collect();
    assert_eq!((sent.len(), &sent), (12, &logged));
    assert!(requests.iter().all(|line| line["trace_flags"] == "01"), "{requests:#?}");

    // The service believes the claim of all that come with the token or the secret: not of health and anonymous.
    let claimed = requests.iter().filter(|line| line["synthetic"] == "canary").count();
    assert_eq!(claimed, 9, "{requests:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_addresses_cost_no_more_than_12_requests_and_each_further_one_another() {
    let Some(rig) = Rig::start(&[2, 3, 4, 68].map(Front::good)).await else { return };
    let mut before = 0;
    for (addresses, cost) in [(&[2][..], 11), (&[2, 3], 12), (&[2, 3, 4], 12), (&[2, 3, 4, 68], 13)] {
        rig.run(addresses).await.expect(0, "ok");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await; // a line is written after its answer
        let after = requests(&rig).len();
        assert_eq!(after - before, cost, "{addresses:?}");
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phases_of_each_attempt_add_up_to_its_time() {
    let Some(rig) = Rig::start(&[Front::good(2)]).await else { return };
    let ran = rig.run(&[2]).await.expect(0, "ok");
    let mut seen = BTreeMap::<String, f64>::new();
    for attempt in ran.attempts() {
        let phases = attempt["phases"].as_object().unwrap();
        let sum: f64 = phases.values().map(|ms| ms.as_f64().unwrap()).sum();
        let total = attempt["total_ms"].as_f64().unwrap();
        assert!((sum - total).abs() < 1.0, "{sum} of {total}: {attempt}");
        for (phase, ms) in phases {
            *seen.entry(phase.clone()).or_default() += ms.as_f64().unwrap();
        }
    }
    // The addresses were given: there is no name to resolve. All else takes time.
    for phase in ["connect", "tls", "send", "wait", "receive"] {
        assert!(seen[phase] > 0.0, "{phase}: {seen:?}");
    }
    // Every phase is where it belongs: hashing a password dwarfs a handshake, and is waited for.
    let login = &ran.step("login")["attempts"][0]["phases"];
    assert!(login["wait"].as_f64() > login["tls"].as_f64(), "{login}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_get_a_line_for_each_step_with_a_bar_and_the_verdict_last() {
    let Some(rig) = Rig::start(&[Front::good(2)]).await else { return };
    let mut process = rig.canary("run", &[2]).start();
    assert!(process.wait(SOON).await.success(), "{}", process.output());
    let output = process.output();
    for step in STEPS {
        let line = output.lines().find(|line| line.trim_start().starts_with(&format!("{step} "))).expect(step);
        assert!(line.contains("127.0.0.2  ok ") && line.trim_end().ends_with(['w', 'r']), "{line}");
    }
    assert!(output.lines().last().unwrap().starts_with("OK  in "), "{output}");
    assert!(!output.contains('\x1b'), "no colours but on a terminal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_looked_up_takes_its_time_in_dns() {
    let api = Builder::task_api().serve().await;
    let address = api.address("api").await;
    register(&address, EMAIL).await;
    let target = address.replace("127.0.0.1", "localhost");
    let builder =
        Builder::new(env!("CARGO_BIN_EXE_canary")).arg("run").arg("--target").arg(&target).arg("--family").arg("ipv4");
    let ran = Ran::of(builder.env("CANARY_EMAIL", EMAIL).env("CANARY_PASSWORD", PASSWORD)).await;
    // The service listens on one of the addresses that the name may have.
    let addresses = ran.report["addresses"].as_array().unwrap();
    assert!(
        addresses.iter().any(|address| address["address"] == "127.0.0.1" && address["up"] == true),
        "{}",
        ran.output
    );
    for attempt in ran.attempts().filter(|attempt| attempt["address"] == "127.0.0.1") {
        let phase = |name: &str| attempt["phases"][name].as_f64().unwrap();
        assert!(phase("dns") > 0.0 && phase("connect") > 0.0 && phase("tls") == 0.0, "{attempt}");
    }
    assert_eq!(ran.step("gone")["attempts"][0]["status"], 404, "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_fails_at_dns() {
    let Some(rig) = Rig::start(&[Front::good(2)]).await else { return };
    let target = "https://no-such-name.invalid";
    let ca = rig.file("ca.pem").display().to_string();
    let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
    for argument in ["run", "--target", target, "--ca-file", &ca] {
        builder = builder.arg(argument);
    }
    let ran = Ran::of(builder.env("CANARY_EMAIL", "a@b").env("CANARY_PASSWORD", "x")).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("health (dns): no-such-name.invalid does not resolve"), "{}", ran.output);
    // A name server that stumbles is asked again, as any step is tried again.
    assert_eq!(ran.step("health")["attempts"].as_array().unwrap().len(), 2, "{}", ran.output);
    assert_eq!((&ran.report["retries"], ran.report["reasons"].as_array().unwrap().len()), (&1.into(), 1));
    assert!(ran.report["steps"].as_array().unwrap()[1..].iter().all(|step| step["outcome"] == "skipped"));
}
