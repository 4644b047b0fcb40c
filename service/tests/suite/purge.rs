//! What is taken out for good: old trash, with its activity, and what has expired.

use std::time::Duration;

use serde_json::{Value, json};
use service::clock::Clock;
use service::store::purge::Purged;

use super::given::{self, app_at_noon, chain, logged_in, path, shared_project, task, titles};
use super::harness::client::Api;
use super::harness::postgres::Cluster;
use super::harness::{Backend, TestApp, on_both_backends};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MICROSECOND: Duration = Duration::from_micros(1);

async fn purge(app: &TestApp, clock: &Clock) -> Purged {
    app.running.state().db.purge(clock.now()).await.expect("the purge succeeds")
}

async fn delete(api: &Api, task: &Value) {
    api.delete(&path(task)).await.expect(204);
}

async fn restore(api: &Api, task: &Value) -> u16 {
    api.post(&format!("{}/restore", path(task)), json!(null)).await.status
}

/// A create with the id of a task that is gone for good succeeds, and its activity starts anew.
async fn is_gone_for_good(api: &Api, task: &Value) -> bool {
    let again = api.post("tasks", json!({"title": "again", "id": task["id"]})).await;
    if again.status == 409 {
        return false;
    }
    let activity = api.get(&format!("{}/activity", path(&again.expect(201).body))).await.expect(200);
    let actions: Vec<Value> =
        activity.at("/items").as_array().into_iter().flatten().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["created"], "activity of the task before is left");
    true
}

on_both_backends! {
    async fn trash_of_thirty_days_goes_and_younger_trash_stays(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let [old, child] = chain(&ann, "old ").await;
        let young = task(&ann, json!({"title": "young"})).await;
        task(&ann, json!({"title": "living"})).await;
        given::patched(&ann, &old, json!({"title": "changed"})).await;
        delete(&ann, &old).await;
        clock.advance(MICROSECOND);
        delete(&ann, &young).await;
        clock.advance(30 * DAY - MICROSECOND);
        let purged = purge(&app, &clock).await;
        assert_eq!(purged.tasks, 2);
        assert_eq!(given::counter(&app, "tasks_purged_total").await, 2);
        let ann = logged_in(&app, &ann).await;
        assert_eq!([restore(&ann, &old).await, restore(&ann, &child).await, restore(&ann, &young).await], [404, 404, 200]);
        assert!(is_gone_for_good(&ann, &old).await && is_gone_for_good(&ann, &child).await, "still there");
        let mut left = titles(&ann, "").await;
        left.sort();
        assert_eq!(left, ["again", "again", "living", "young"]);
    }

    async fn a_second_purge_finds_nothing(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let [top, ..] = chain::<5>(&ann, "").await;
        delete(&ann, &top).await;
        ann.post("tasks", json!({"title": "keyed"})).header("idempotency-key", "k").await.expect(201);
        assert_eq!(purge(&app, &clock).await, Purged::default());
        clock.advance(31 * DAY);
        assert_eq!(purge(&app, &clock).await, Purged { tasks: 5, others: 2 }, "a tree; a session and a key");
        assert_eq!(purge(&app, &clock).await, Purged::default());
    }

    async fn what_is_purged_is_no_longer_found_by_any_search(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let gone = task(&ann, json!({"title": "needle"})).await;
        task(&ann, json!({"title": "needle that lives"})).await;
        delete(&ann, &gone).await;
        clock.advance(30 * DAY);
        purge(&app, &clock).await;
        let ann = logged_in(&app, &ann).await;
        assert_eq!(titles(&ann, "q=needle").await, ["needle that lives"]);
        assert!(is_gone_for_good(&ann, &gone).await, "still there");
        assert_eq!(titles(&ann, "q=needle").await, ["needle that lives"]);
        assert_eq!(titles(&ann, "q=again").await, ["again"]);
    }

    async fn a_deleted_project_goes_with_its_tasks(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let (owner, editor) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&owner, &[(&editor, "editor")]).await;
        let bob = logged_in(&app, &editor).await;
        let inside = task(&bob, json!({"title": "inside", "project_id": project})).await;
        let trashed = task(&bob, json!({"title": "trashed", "project_id": project})).await;
        let outside = task(&bob, json!({"title": "outside"})).await;
        clock.advance(DAY);
        let (ann, bob) = (logged_in(&app, &owner).await, logged_in(&app, &editor).await);
        delete(&bob, &trashed).await;
        ann.delete(&format!("projects/{project}")).await.expect(204);
        bob.get(&path(&inside)).await.problem(404, "not-found");
        clock.advance(30 * DAY - MICROSECOND);
        assert_eq!(purge(&app, &clock).await.tasks, 0);
        clock.advance(MICROSECOND);
        let purged = purge(&app, &clock).await;
        assert_eq!(purged, Purged { tasks: 2, others: 3 }, "two tasks; their project and the sessions of its last day");
        let bob = logged_in(&app, &editor).await;
        assert!(is_gone_for_good(&bob, &inside).await && is_gone_for_good(&bob, &trashed).await, "still there");
        assert_eq!(given::now(&bob, &outside).await, outside);
    }

    /// More than one statement takes, some of it in the trash twice over: by itself and with its project.
    async fn a_large_project_goes_in_one_run(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let project = shared_project(&ann, &[]).await;
        for batch in 0..9 {
            let fields = |number: usize| json!({"title": format!("{batch} {number}"), "project_id": project});
            let operations: Vec<Value> =
                (0..100).map(|number| json!({"op": "create", "task": fields(number)})).collect();
            let made = ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(200);
            if batch < 4 {
                let results = made.at("/results").as_array().cloned().unwrap_or_default();
                let delete = |result: &Value| json!({"op": "delete", "id": result["task"]["id"]});
                let operations: Vec<Value> = results.iter().map(delete).collect();
                ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(200);
            }
        }
        ann.delete(&format!("projects/{project}")).await.expect(204);
        clock.advance(30 * DAY);
        let purged = purge(&app, &clock).await;
        assert_eq!((purged.tasks, purge(&app, &clock).await), (900, Purged::default()));
    }

    async fn an_expired_session_and_key_go_and_fresh_ones_stay(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let keyed = |api: &Api, key: &str| api.post("tasks", json!({"title": key})).header("idempotency-key", key);
        keyed(&ann, "old").await.expect(201);
        clock.advance(DAY - MICROSECOND);
        let later = logged_in(&app, &ann).await;
        keyed(&later, "young").await.expect(201);
        assert_eq!(purge(&app, &clock).await, Purged::default());
        clock.advance(MICROSECOND);
        assert_eq!(purge(&app, &clock).await, Purged { tasks: 0, others: 1 }, "a key of 24 hours");
        let replay = keyed(&later, "young").await.expect(201);
        assert_eq!(replay.header("idempotency-replayed"), "true");
        clock.advance(29 * DAY - MICROSECOND);
        assert_eq!(purge(&app, &clock).await, Purged { tasks: 0, others: 1 }, "the other key");
        ann.post("auth/refresh", json!({"refresh_token": ann.refresh_token})).await.expect(200);
        clock.advance(MICROSECOND);
        assert_eq!(purge(&app, &clock).await, Purged { tasks: 0, others: 1 }, "the session of the registration");
        let refresh = ann.post("auth/refresh", json!({"refresh_token": ann.refresh_token})).await;
        refresh.problem(401, "invalid-refresh-token");
        clock.advance(DAY);
        assert_eq!(purge(&app, &clock).await, Purged { tasks: 0, others: 1 }, "the session of the login");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_being_restored_outlives_the_purge() {
    let Some(_) = Cluster::get() else { return };
    let (app, clock) = app_at_noon(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let kept = task(&ann, json!({"title": "kept"})).await;
    delete(&ann, &kept).await;
    clock.advance(31 * DAY);
    let (client, connection) =
        tokio_postgres::connect(app.storage.url(), tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; UPDATE tasks SET deleted_at = NULL").await.expect("a restore under way");
    assert_eq!(purge(&app, &clock).await.tasks, 0, "somebody holds it");
    client.batch_execute("COMMIT").await.expect("it is restored");
    assert_eq!(purge(&app, &clock).await.tasks, 0, "it is in the trash no more");
    logged_in(&app, &ann).await.get(&path(&kept)).await.expect(200);
}
