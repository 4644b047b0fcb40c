//! Answers that come and are wrong, or late, or only at a second attempt; and what is the canary's own fault.

use std::time::Duration;

use serde_json::json;
use testkit::proxy::Proxy;

use crate::rig::{Answers, Front, Ran, Rig, SOON};

/// What a `GET` of one task answers in place of the service.
fn instead_of_a_task(answer: &str) -> Answers {
    Answers::Before(format!(
        "location ~ ^/api/v1/tasks/ {{ default_type application/json; add_header etag '\"1\"' always; \
         if ($request_method = GET) {{ {answer} }} TO_SERVICE }}"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_error_of_ours_and_no_outage() {
    let Some(rig) = Rig::start(&[Front::good(20)]).await else { return };
    let ran = Ran::of(rig.canary("run", &[20]).env("CANARY_PASSWORD", "hunter22-wrong")).await.expect(3, "error");
    assert_eq!(ran.reasons(), "the credentials were refused: e-mail or password is wrong");
    assert_eq!(ran.step("login")["attempts"].as_array().unwrap().len(), 1, "another attempt would change nothing");
    assert!(!ran.output.contains("hunter22"), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_written_otherwise_is_no_fault_of_the_target() {
    let Some(rig) = Rig::start(&[Front::good(28)]).await else { return };
    // A line break at the end of a mounted secret, an address in other letters and with spaces around it.
    let secret = format!("{}\n", crate::rig::SECRET);
    let email = format!(" {}\n", crate::rig::EMAIL.to_uppercase());
    let file = rig.file("credentials.json");
    std::fs::write(&file, json!({ "email": email, "password": crate::rig::PASSWORD }).to_string()).unwrap();
    let builder = rig.canary("run", &[28]).env("CANARY_EMAIL", "").env("CANARY_PASSWORD", "");
    let builder = builder.env("SYNTHETIC_SECRET", secret).env("CANARY_CREDENTIALS_FILE", file.display().to_string());
    Ran::of(builder).await.expect(0, "ok");
    // One that no header takes is refused before anything is asked.
    let mut process = rig.canary("run", &[28]).env("SYNTHETIC_SECRET", "two words").start();
    assert_eq!(process.wait(SOON).await.code(), Some(3), "{}", process.output());
    assert!(process.output().contains("SYNTHETIC_SECRET: takes visible characters"), "{}", process.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_one_although_the_credentials_cannot_be_read() {
    let Some(rig) = Rig::start(&[Front::good(29).answering(Answers::Broken), Front::good(78)]).await else { return };
    let without = |number| {
        let builder = rig.canary("run", &[number]).env("CANARY_EMAIL", "").env("CANARY_PASSWORD", "");
        builder.env("CANARY_CREDENTIALS_FILE", rig.file("none").display().to_string())
    };
    let ran = Ran::of(without(29)).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("health at 127.0.0.29 (check): answered 503, expected 200\n"), "{}", ran.output);
    assert!(ran.reasons().contains("CANARY_CREDENTIALS_FILE: "), "{}", ran.output);
    assert_eq!(ran.report["evidence"]["step"], "health");
    // Of a target that is up it can say no more.
    let ran = Ran::of(without(78)).await.expect(3, "error");
    assert_eq!((&ran.step("health")["outcome"], &ran.step("login")["outcome"]), (&json!("ok"), &json!("skipped")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_with_the_body_of_another_task_fails_at_that_step() {
    let other = json!({
        "id": "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77", "title": "Fire Bob", "status": "todo", "version": 1,
        "labels": ["canary-probe"], "created_by": "0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f",
    });
    let front = Front::good(21).answering(instead_of_a_task(&format!("return 200 '{other}';")));
    let Some(rig) = Rig::on_postgres(&[front]).await else { return };
    let before = rig.rows();
    let ran = rig.run(&[21]).await.expect(2, "failed");
    assert_eq!(ran.reasons(), "read at 127.0.0.21 (check): the task has not the expected id: this is another task");
    assert_eq!((&ran.step("create")["outcome"], &ran.step("list")["outcome"]), (&json!("ok"), &json!("skipped")));
    let evidence = ran.report["evidence"]["body"].as_str().unwrap();
    assert!(evidence.contains("0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77"), "{evidence}");
    assert!(!ran.output.contains("Fire Bob"), "a task's text is nobody's business");
    // It cleaned up although it failed in the middle.
    assert_eq!(rig.rows(), before, "no task, no activity, no session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_mends_a_step_and_hides_nothing() {
    // One address answers health and the login, and nothing else: login goes there, create to the other, read there again.
    let half = Answers::Before("location /health { TO_SERVICE } location /api/v1/tasks { return 502; }".to_owned());
    let Some(rig) = Rig::start(&[Front::good(22).answering(half), Front::good(23)]).await else { return };
    let ran = rig.run(&[22, 23]).await.expect(1, "degraded");
    let read = ran.step("read");
    assert_eq!(read["outcome"], "retried");
    let of = |at: usize, field: &str| read["attempts"][at][field].clone();
    assert_eq!((of(0, "address"), of(0, "status")), (json!("127.0.0.22"), json!(502)));
    assert_eq!((of(1, "address"), of(1, "status")), (json!("127.0.0.23"), json!(200)));
    assert!(of(0, "trace_id") != of(1, "trace_id"));
    assert!(
        ran.reasons().contains("read at 127.0.0.22 (check): answered 502, expected 200; attempt 2 succeeded"),
        "{}",
        ran.output
    );
    assert_eq!(ran.report["evidence"]["step"], "read");
    assert_eq!(ran.report["retries"], 1);

    let ran = Ran::of(rig.canary("run", &[23, 22]).arg("--retries").arg("0")).await.expect(2, "failed");
    assert_eq!(ran.reasons(), "create at 127.0.0.22 (check): answered 502, expected 201");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_byte_that_comes_late_breaks_a_limit_in_the_phase_of_waiting() {
    let Some(mut rig) = Rig::start(&[Front::good(24)]).await else { return };
    let proxy = Proxy::start(rig.upstream()).await;
    rig.through(proxy.address(), &[Front::good(24)]);
    proxy.delay(Duration::from_millis(150)); // each way: the first byte comes 300 ms later

    // The limits that are shipped. A login may be too slow for those on a machine under test, which is another step's matter; and
    // even a handshake may, so there is another run then.
    let shipped = testkit::root().join("slo.toml");
    let mut ran = Ran::of(rig.canary_with("run", &[24], &shipped)).await;
    for _ in 0..9 {
        if ran.step("health")["attempts"][0]["fault"].is_object() {
            ran = Ran::of(rig.canary_with("run", &[24], &shipped)).await;
        }
    }
    let health = &ran.step("health")["attempts"][0];
    assert_eq!(
        (&ran.step("health")["outcome"], &health["slow"]["phase"]),
        (&json!("slow"), &json!("wait")),
        "{health}"
    );
    assert!(ran.reasons().contains("health at 127.0.0.24 is slow (wait): took "), "{}", ran.output);

    // Above requests.latency: users are served, and slowly. Login hashes a password and has the limit of a step only.
    let slo = rig.limits("server.toml", 0.25, 20.0);
    let ran = Ran::of(rig.canary_with("run", &[24], &slo)).await.expect(1, "degraded");
    for step in ["read", "list", "gone"] {
        let attempt = &ran.step(step)["attempts"][0];
        assert_eq!(
            (&ran.step(step)["outcome"], &attempt["slow"]["phase"]),
            (&json!("slow"), &json!("wait")),
            "{attempt}"
        );
        assert!(attempt["phases"]["wait"].as_f64().unwrap() >= 300.0, "{attempt}");
    }
    assert_eq!(ran.step("login")["outcome"], "ok");
    assert!(ran.reasons().contains("the limit is 250 ms (requests.latency)"), "{}", ran.output);

    // Above canary.latency: a step may not take so long, whatever it waits for.
    proxy.delay(Duration::from_millis(500));
    let slo = rig.limits("step.toml", 0.2, 0.8);
    let ran = Ran::of(rig.canary_with("run", &[24], &slo)).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("health at 127.0.0.24 (wait): took "), "{}", ran.output);
    assert!(ran.reasons().contains("the limit of a step is 800 ms (canary.latency)"), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_is_slow_in_the_phase_of_receiving() {
    let dripping = "location = /api/v1/tasks { limit_rate 250; TO_SERVICE }".to_owned();
    let Some(rig) = Rig::start(&[Front::good(27).answering(Answers::Before(dripping))]).await else { return };
    let slo = rig.limits("dripping.toml", 0.25, 20.0);
    let ran = Ran::of(rig.canary_with("run", &[27], &slo)).await.expect(1, "degraded");
    let list = ran.step("list");
    assert_eq!(
        (&list["outcome"], &list["attempts"][0]["slow"]["phase"]),
        (&json!("slow"), &json!("receive")),
        "{list}"
    );
    assert!(ran.reasons().contains("list at 127.0.0.27 is slow (receive): took "), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hangs_ends_with_the_deadline_in_the_phase_of_waiting() {
    let Some(mut rig) = Rig::start(&[Front::good(25)]).await else { return };
    let proxy = Proxy::start(rig.upstream()).await;
    rig.through(proxy.address(), &[Front::good(25)]);
    proxy.blackhole();
    let started = std::time::Instant::now();
    let ran = Ran::of(rig.canary("run", &[25]).arg("--deadline").arg("5s")).await.expect(2, "failed");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(ran.reasons().starts_with("health at 127.0.0.25 (wait): wait had not ended after "), "{}", ran.output);
    let attempt = &ran.step("health")["attempts"][0];
    assert!(attempt["phases"]["wait"].as_f64().unwrap() > 1000.0, "{attempt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_change_that_is_accepted_fails_at_that_step() {
    // Whoever drops If-Match on the way makes every change win.
    let careless = "location ~ ^/api/v1/tasks/ { proxy_set_header If-Match ''; TO_SERVICE }".to_owned();
    let Some(rig) = Rig::start(&[Front::good(26).answering(Answers::Before(careless))]).await else { return };
    let mut process = rig.canary("run", &[26]).start();
    assert_eq!(process.wait(SOON).await.code(), Some(2), "{}", process.output());
    let output = process.output();
    assert!(output.contains("stale at 127.0.0.26 (check): answered 200, expected 412"), "{output}");
    assert!(output.lines().last().unwrap().starts_with("FAILED  in "), "{output}");
}
