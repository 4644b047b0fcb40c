//! What a run that died has left is removed by a later one, and nothing else is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::process::{Process, Signal};
use testkit::proxy::Proxy;

use crate::rig::{Answers, EMAIL, Front, PASSWORD, Ran, Rig, SOON};

const ALIVE: &str = "SELECT count(*) FROM tasks WHERE deleted_at IS NULL";

/// The sessions of the canary's account.
fn sessions(rig: &Rig) -> String {
    let of_the_canary =
        format!("SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = '{EMAIL}'");
    rig.database.as_ref().unwrap().psql(&of_the_canary)
}

/// A rig whose service is so slow that a run can be caught in its middle.
async fn slow(number: u8) -> Option<(Rig, Proxy)> {
    let mut rig = Rig::on_postgres(&[Front::good(number)]).await?;
    let proxy = Proxy::start(rig.upstream()).await;
    rig.through(proxy.address(), &[Front::good(number)]);
    proxy.delay(Duration::from_millis(150));
    Some((rig, proxy))
}

/// Starts a run and waits until its task is there.
async fn caught_in_the_middle(rig: &Rig, number: u8) -> Process {
    let process = rig.canary("run", &[number]).start();
    let deadline = Instant::now() + SOON;
    while rig.database.as_ref().unwrap().psql(ALIVE) == "0" {
        assert!(Instant::now() < deadline, "no task is made\n{}", process.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process
}

/// Somebody who is logged in.
struct User {
    api: String,
    token: String,
}

impl User {
    async fn logs_in(rig: &Rig, email: &str) -> Self {
        let api = rig.api.address("api").await;
        let body = json!({ "email": email, "password": PASSWORD });
        let request = reqwest::Client::new().post(format!("{api}/api/v1/auth/login")).json(&body);
        let session: Value = request.send().await.unwrap().json().await.unwrap();
        Self { api, token: session["access_token"].as_str().unwrap().to_owned() }
    }

    async fn sends(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let request = reqwest::Client::new().request(method, format!("{}/api/v1/{path}", self.api));
        let response = request.bearer_auth(&self.token).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// Makes a task by hand, as like to the canary's as the API allows, with these fields besides.
    async fn makes(&self, more: Value) -> Value {
        let mut task = json!({ "title": "canary probe 1", "labels": ["canary-probe"] });
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.sends(reqwest::Method::POST, "tasks", task).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_is_swept_by_a_later_one_and_nothing_else_is() {
    let Some((rig, proxy)) = slow(30).await else { return };
    let database = rig.database.as_ref().unwrap();
    let mut process = caught_in_the_middle(&rig, 30).await;
    process.kill9();
    proxy.delay(Duration::ZERO);
    // The same title and label in the same account, but an id of the service's; and somebody else with all but the account.
    let canary = User::logs_in(&rig, EMAIL).await;
    canary.makes(json!({})).await;
    crate::rig::register(&rig.api.address("api").await, "ann@example.com").await;
    let ann = User::logs_in(&rig, "ann@example.com").await;
    // In a project that the canary may write to: its list shows the task.
    let project = ann.sends(reqwest::Method::POST, "projects", json!({ "name": "Ours" })).await;
    let account = database.psql(&format!("SELECT id FROM users WHERE email = '{EMAIL}'"));
    let membership = format!("projects/{}/members/{account}", project["id"].as_str().unwrap());
    ann.sends(reqwest::Method::PUT, &membership, json!({ "role": "editor" })).await;
    ann.makes(json!({ "id": "0197c3a5-6f2e-7cc0-9b1e-63616e617279", "project_id": project["id"] })).await;
    assert_eq!(
        canary.sends(reqwest::Method::GET, "tasks?label=canary-probe", json!({})).await["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(database.psql(ALIVE), "3");
    // Of the canary's sessions there are that of the registration, that of the test, and the one of the killed run: it stays
    // until it expires, and no later run can know it.
    assert_eq!(sessions(&rig), "3");

    // Younger than ten minutes it may belong to a canary that runs at this moment.
    let ran = rig.run(&[30]).await.expect(0, "ok");
    assert_eq!((&ran.report["cleanup"]["swept"], database.psql(ALIVE).as_str()), (&json!(0), "3"));

    database.psql("UPDATE tasks SET created_at = created_at - interval '11 minutes'");
    let ran = rig.run(&[30]).await.expect(0, "ok");
    assert_eq!(ran.report["cleanup"]["swept"], 1, "{}", ran.output);
    let left = "SELECT count(*), count(*) FILTER (WHERE right(id::text, 12) = '63616e617279' AND u.email = 'ann@example.com'), \
                count(*) FILTER (WHERE right(t.id::text, 12) <> '63616e617279') \
                FROM tasks t JOIN users u ON u.id = t.created_by";
    assert_eq!(database.psql(&left.replace("right(id", "right(t.id")), "2|1|1");
    // Nothing of the swept task is left: each of the other two has the entry of its making.
    assert_eq!(rig.rows()["task_activity"], 2);
    assert_eq!(sessions(&rig), "3", "the two runs that went well have left none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leftover_under_which_somebody_works_stays_with_all_that_is_under_it() {
    let Some((rig, proxy)) = slow(33).await else { return };
    let database = rig.database.as_ref().unwrap();
    let mut process = caught_in_the_middle(&rig, 33).await;
    process.kill9();
    proxy.delay(Duration::ZERO);
    let leftover = database.psql("SELECT id FROM tasks");
    let owner = User::logs_in(&rig, EMAIL).await;
    let body = json!({ "title": "Fire Bob", "parent_id": leftover });
    let subtask = owner.sends(reqwest::Method::POST, "tasks", body).await;
    database.psql("UPDATE tasks SET created_at = created_at - interval '11 minutes'");

    let ran = rig.run(&[33]).await.expect(0, "ok");
    assert_eq!((&ran.report["cleanup"]["swept"], database.psql(ALIVE).as_str()), (&json!(0), "2"), "{}", ran.output);
    assert_eq!(ran.report["cleanup"]["kept"], 1, "{}", ran.output);

    // Nobody works under it any more.
    database.psql(&format!("DELETE FROM tasks WHERE id = '{}'", subtask["id"].as_str().unwrap()));
    let ran = rig.run(&[33]).await.expect(0, "ok");
    assert_eq!((&ran.report["cleanup"]["swept"], database.psql(ALIVE).as_str()), (&json!(1), "0"), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_comes_too_late_leaves_no_session() {
    // The session is there, and its token takes two seconds to arrive.
    let dripping = "location /api/v1/auth/login { limit_rate 400; TO_SERVICE }".to_owned();
    let front = Front::good(34).answering(Answers::Before(dripping));
    let Some(rig) = Rig::on_postgres(&[front]).await else { return };
    let before = rig.rows();
    let slo = rig.limits("step.toml", 10.0, 1.0);
    let ran = Ran::of(rig.canary_with("run", &[34], &slo)).await.expect(2, "failed");
    assert!(ran.reasons().starts_with("login at 127.0.0.34 (receive): took "), "{}", ran.output);
    assert_eq!(ran.step("login")["attempts"].as_array().unwrap().len(), 2, "{}", ran.output);
    assert_eq!(rig.rows(), before, "neither attempt's session stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_told_to_stop_or_loses_its_terminal_removes_its_task_first() {
    let Some((rig, _proxy)) = slow(31).await else { return };
    let before = rig.rows();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut process = caught_in_the_middle(&rig, 31).await;
        process.signal(signal);
        assert_eq!(process.wait(SOON).await.code(), Some(3), "{}", process.output());
        assert!(process.output().contains("interrupted by a signal, and has cleaned up"), "{}", process.output());
        assert_eq!(rig.rows(), before, "no task, no activity, no session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_removed_is_named() {
    let Some((rig, mut proxy)) = slow(32).await else { return };
    let mut process = caught_in_the_middle(&rig, 32).await;
    proxy.cut().await;
    assert_eq!(process.wait(SOON).await.code(), Some(2), "{}", process.output());
    let id = rig.database.as_ref().unwrap().psql("SELECT id FROM tasks WHERE deleted_at IS NULL");
    assert!(process.output().contains(&format!("  - task {id} could not be removed")), "{id} {}", process.output());
}
