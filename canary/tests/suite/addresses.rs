//! Several addresses under one name: which of them is bad.

use crate::rig::{Answers, Front, Ran, Rig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broken_address_is_degraded_and_named_and_all_broken_is_failed() {
    let broken = |number| Front::good(number).answering(Answers::Broken);
    let Some(rig) = Rig::start(&[broken(4), Front::good(5), Front::good(6)]).await else { return };
    let ran = rig.run(&[4, 5, 6]).await.expect(1, "degraded");
    assert_eq!(ran.report["reasons"].as_array().unwrap().len(), 1, "{}", ran.output);
    assert!(ran.reasons().contains("address 127.0.0.4 is down (check): answered 503, expected 200"), "{}", ran.output);
    let up: Vec<bool> = ran.report["addresses"].as_array().unwrap().iter().map(|a| a["up"] == true).collect();
    assert_eq!(up, [false, true, true]);
    // The journey went where it is served, to each of them in turn.
    let steps = ran.report["steps"].as_array().unwrap();
    let first = |step: &serde_json::Value| step["attempts"][0]["address"].as_str().unwrap().to_owned();
    let went: Vec<String> = steps[1..].iter().map(first).collect();
    assert!(went.iter().all(|address| address == "127.0.0.5" || address == "127.0.0.6"), "{went:?}");
    assert!(went.windows(2).all(|pair| pair[0] != pair[1]), "{went:?}");
    assert_eq!(ran.step("health")["outcome"], "partial");
    // Evidence of the first failure, which a retry did not hide.
    let evidence = &ran.report["evidence"];
    assert_eq!((&evidence["step"], &evidence["attempt"]["status"]), (&"health".into(), &503.into()), "{evidence}");
    assert!(evidence["body"].as_str().unwrap().contains("503 Service Temporarily Unavailable"), "{evidence}");
    assert!(evidence["headers"]["server"].as_str().unwrap().starts_with("nginx"), "{evidence}");

    rig.change(&[broken(4), broken(5), broken(6)]);
    let ran = rig.run(&[4, 5, 6]).await.expect(2, "failed");
    for number in [4, 5, 6] {
        let expected = format!("health at 127.0.0.{number} (check): answered 503, expected 200");
        assert!(ran.reasons().contains(&expected), "{expected}\n{}", ran.output);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_nobody_listens_is_named_with_its_phase() {
    let Some(rig) = Rig::start(&[Front::good(7)]).await else { return };
    let ran = rig.run(&[7, 8]).await.expect(1, "degraded");
    assert!(ran.reasons().contains("address 127.0.0.8 is down (connect): no connection"), "{}", ran.output);
    let ran = rig.run(&[8]).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("health at 127.0.0.8 (connect): no connection"), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_hangs_keeps_no_user_of_the_others_waiting() {
    let Some(rig) = Rig::start(&[Front::good(18)]).await else { return };
    // Connections are taken into the backlog and nobody ever says a word, not even of TLS.
    let hole = std::net::TcpListener::bind(("127.0.0.19", rig.port)).expect("an address");
    let ran = Ran::of(rig.canary("run", &[19, 18]).arg("--deadline").arg("9s")).await.expect(1, "degraded");
    drop(hole);
    assert!(ran.reasons().starts_with("address 127.0.0.19 is down (tls): tls had not ended after "), "{}", ran.output);
    assert_eq!(ran.report["reasons"].as_array().unwrap().len(), 1, "{}", ran.output);
    assert!(ran.report["steps"].as_array().unwrap().iter().all(|step| step["outcome"] != "skipped"), "{}", ran.output);
    // It had its share of the run, and no more.
    let waited =
        ran.attempts().find(|attempt| attempt["address"] == "127.0.0.19").unwrap()["total_ms"].as_f64().unwrap();
    assert!((3000.0..4500.0).contains(&waited), "{waited} of 9000 ms");
}

/// Answers `/health`, and to all else with this block.
fn half(rest: &str) -> Answers {
    Answers::Before(format!("location /health {{ TO_SERVICE }} location /api/ {{ {rest} }}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_answers_health_and_nothing_else_is_degraded_and_named_wherever_it_stands() {
    let fronts = [Front::good(70), Front::good(71).answering(half("return 502;"))];
    let Some(rig) = Rig::on_postgres(&fronts).await else { return };
    let before = rig.rows();
    for order in [&[70, 71][..], &[71, 70]] {
        let ran = rig.run(order).await.expect(1, "degraded");
        assert!(ran.reasons().contains(" at 127.0.0.71 (check): answered 502, expected "), "{}", ran.output);
        // It is asked once, and then no more while there is another.
        let asked = ran.attempts().filter(|attempt| attempt["address"] == "127.0.0.71").count();
        assert_eq!((asked, &ran.report["retries"]), (2, &1.into()), "{}", ran.output);
        assert_eq!(rig.rows(), before, "no task, no activity, no session");
    }
    // Where nothing is tried again, the first step that goes there fails.
    let ran = Ran::of(rig.canary("run", &[70, 71]).arg("--retries").arg("0")).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("create at 127.0.0.71 (check): answered 502, expected 201"), "{}", ran.output);
    assert_eq!(rig.rows(), before, "the clean-up went to the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_answers_health_and_hangs_on_the_rest_costs_one_attempt_and_leaves_no_row() {
    // Connections are taken into the backlog and nobody ever says a word.
    let hole = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("an address");
    let hangs = half(&format!("proxy_pass http://{};", hole.local_addr().expect("a port")));
    let Some(rig) = Rig::on_postgres(&[Front::good(72), Front::good(73).answering(hangs)]).await else { return };
    let before = rig.rows();
    let slo = rig.limits("hangs.toml", 10.0, 2.0); // given up after 10 s
    for order in [&[72, 73][..], &[73, 72]] {
        let ran = Ran::of(rig.canary_with("run", order, &slo)).await.expect(1, "degraded");
        assert!(ran.reasons().contains(" at 127.0.0.73 (wait): wait had not ended after "), "{}", ran.output);
        assert_eq!(ran.report["retries"], 1, "{}", ran.output);
        assert!(ran.report["duration_ms"].as_f64().unwrap() < 25_000.0, "{}", ran.output);
        assert_eq!(rig.rows(), before, "no task, no activity, no session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_three_addresses_the_login_does_for_the_last_one_and_a_dead_one_is_named_all_the_same() {
    let Some(rig) = Rig::start(&[Front::good(74), Front::good(75), Front::good(76)]).await else { return };
    let ran = rig.run(&[74, 75, 76]).await.expect(0, "ok");
    assert_eq!(ran.step("health")["attempts"].as_array().unwrap().len(), 2, "{}", ran.output);
    assert_eq!(ran.step("login")["attempts"][0]["address"], "127.0.0.76");
    let up = |ran: &Ran| -> Vec<bool> {
        ran.report["addresses"].as_array().unwrap().iter().map(|address| address["up"] == true).collect()
    };
    assert_eq!(up(&ran), [true; 3]);
    assert!(ran.report["addresses"][2]["certificate"].is_object(), "{}", ran.output);

    // Nobody listens at the last one: the login finds out, and is told no fault of its own.
    let ran = rig.run(&[74, 75, 77]).await.expect(1, "degraded");
    assert_eq!(up(&ran), [true, true, false]);
    assert!(ran.reasons().starts_with("address 127.0.0.77 is down (connect): no connection"), "{}", ran.output);
    assert_eq!(ran.report["reasons"].as_array().unwrap().len(), 1, "{}", ran.output);

    // Another one is down: all are asked.
    let ran = rig.run(&[77, 74, 75]).await.expect(1, "degraded");
    assert_eq!((up(&ran), ran.step("health")["attempts"].as_array().unwrap().len()), (vec![false, true, true], 4));
    let ran = Ran::of(rig.canary("run", &[77, 74]).arg("--retries").arg("0")).await.expect(1, "degraded");
    assert_eq!((&ran.step("health")["outcome"], &ran.report["retries"]), (&"partial".into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_that_does_not_redirect_is_reported() {
    let plain = Front { plain: "return 200 'in the clear';", ..Front::good(9) };
    let Some(rig) = Rig::start(&[plain]).await else { return };
    let ran = rig.run(&[9]).await.expect(1, "degraded");
    let expected = format!(
        "plain HTTP does not lead to HTTPS: port {} of 127.0.0.9 answers 200 and does not redirect",
        rig.http_port
    );
    assert_eq!(ran.reasons(), expected);

    rig.change(&[Front { plain: "return 301 http://$host/;", ..Front::good(9) }]);
    let ran = rig.run(&[9]).await.expect(1, "degraded");
    assert!(ran.reasons().contains("answers 301 to http://"), "{}", ran.output);

    // Another port of the same name is another place; and each address has a listener of its own.
    let elsewhere = Front { plain: "return 301 https://tasks.example.com:1/;", ..Front::good(67) };
    rig.change(&[Front::good(9), elsewhere]);
    let ran = rig.run(&[9, 67]).await.expect(1, "degraded");
    let expected = format!(
        "plain HTTP does not lead to HTTPS: port {} of 127.0.0.67 answers 301 to https://tasks.example.com:1/",
        rig.http_port
    );
    assert_eq!(ran.reasons(), expected);
}
