//! Removing a task for good at once, with `?permanent=true`.

use serde_json::{Value, json};

use super::given::{self, app_at_noon, chain, patched, path, shared_project, subtask, task, titles};
use super::harness::app::Storage;
use super::harness::client::{Api, Call};
use super::harness::postgres::Cluster;
use super::harness::{Backend, TestApp, on_both_backends};

fn erase(api: &Api, task: &Value) -> Call {
    api.delete(&format!("{}?permanent=true", path(task)))
}

async fn restore(api: &Api, task: &Value) -> u16 {
    api.post(&format!("{}/restore", path(task)), json!(null)).await.status
}

/// Nobody has it: it is not read, not restored, not deleted again, and its id is free for a task with a past of its own.
async fn assert_erased(api: &Api, task: &Value) {
    for suffix in ["", "/activity"] {
        api.get(&format!("{}{suffix}", path(task))).await.problem(404, "not-found");
    }
    assert_eq!(restore(api, task).await, 404);
    erase(api, task).await.problem(404, "not-found");
    let again = api.post("tasks", json!({"title": "again", "id": task["id"]})).await.expect(201);
    let activity = api.get(&format!("{}/activity", path(&again.body))).await.expect(200);
    let entries = activity.at("/items").as_array().expect("a list");
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["created"], "activity of the erased task is left");
}

on_both_backends! {
    async fn a_living_task_is_erased_with_its_activity_and_its_words(app: TestApp) {
        let ann = app.register("ann").await;
        let fields = json!({"title": "needle", "description": "haystack", "labels": ["red"], "assignee_id": ann.id});
        let gone = task(&ann, fields).await;
        let kept = task(&ann, json!({"title": "needle that stays", "labels": ["red"]})).await;
        patched(&ann, &gone, json!({"status": "done"})).await;
        assert_eq!(erase(&ann, &gone).await.expect(204).text, "");
        assert_eq!(titles(&ann, "q=needle").await, ["needle that stays"]);
        assert_eq!(titles(&ann, "label=red").await, ["needle that stays"]);
        assert_erased(&ann, &gone).await;
        assert_eq!(given::now(&ann, &kept).await, kept);
        assert_eq!(given::counter(&app, "tasks_purged_total").await, 1);
    }

    async fn a_task_in_the_trash_is_erased_too(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second] = chain(&ann, "").await;
        ann.delete(&path(&top)).await.expect(204);
        erase(&ann, &top).header("if-match", "\"1\"").await.problem(412, "precondition-failed");
        erase(&ann, &top).header("if-match", "\"2\"").await.expect(204); // going into the trash was a change
        assert_erased(&ann, &top).await;
        assert_erased(&ann, &second).await;
    }

    async fn subtasks_are_erased_with_it_those_in_the_trash_among_them_and_no_other_task(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, third, fourth] = chain(&ann, "").await;
        let trashed = subtask(&ann, &second, "in the trash").await;
        let sibling = subtask(&ann, &top, "sibling").await;
        ann.delete(&path(&trashed)).await.expect(204);
        erase(&ann, &second).await.expect(204);
        assert_eq!(given::counter(&app, "tasks_purged_total").await, 4);
        for gone in [&second, &third, &fourth, &trashed] {
            assert_erased(&ann, gone).await;
        }
        assert_eq!((given::now(&ann, &top).await, given::now(&ann, &sibling).await), (top, sibling));
    }

    async fn a_subtask_is_erased_out_of_a_tree_in_the_trash(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, third] = chain(&ann, "").await;
        ann.delete(&path(&top)).await.expect(204);
        erase(&ann, &second).await.expect(204);
        assert_eq!([restore(&ann, &top).await, restore(&ann, &second).await, restore(&ann, &third).await], [200, 404, 404]);
        assert_eq!(titles(&ann, "").await, ["1"]);
    }

    async fn a_stale_etag_erases_nothing(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second] = chain(&ann, "").await;
        let top = patched(&ann, &top, json!({"title": "newer"})).await;
        for tag in ["\"1\"", "W/\"2\"", "\"x\""] {
            erase(&ann, &top).header("if-match", tag).await.problem(412, "precondition-failed");
        }
        assert_eq!((given::now(&ann, &top).await, given::now(&ann, &second).await), (top.clone(), second));
        erase(&ann, &top).header("if-match", "\"1\", \"2\"").await.expect(204);
        assert_erased(&ann, &top).await;
    }

    async fn who_may_not_delete_may_not_erase_a_living_task_or_the_trash(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let (viewer, eve) = (app.register("viewer").await, app.register("eve").await);
        let project = shared_project(&ann, &[(&bob, "editor"), (&viewer, "viewer")]).await;
        let living = task(&ann, json!({"title": "living", "project_id": project})).await;
        let trashed = task(&ann, json!({"title": "trashed", "project_id": project})).await;
        ann.delete(&path(&trashed)).await.expect(204);
        for kept in [&living, &trashed] {
            erase(&app.api, kept).await.problem(401, "unauthenticated");
            erase(&viewer, kept).await.problem(403, "forbidden");
            erase(&eve, kept).await.problem(404, "not-found");
        }
        assert_eq!(given::now(&ann, &living).await, living);
        assert_eq!(restore(&ann, &trashed).await, 200, "a refused request erased it");
        erase(&bob, &living).await.expect(204);
        assert_erased(&ann, &living).await;
    }

    async fn only_true_erases_and_what_is_neither_true_nor_false_is_400(app: TestApp) {
        let ann = app.register("ann").await;
        let kept = task(&ann, json!({"title": "kept"})).await;
        for query in ["permanent=1", "permanent=", "permanent", "permanent=TRUE", "permanent=true&permanent=true", "permanant=true"] {
            ann.delete(&format!("{}?{query}", path(&kept))).await.problem(400, "invalid-parameter");
        }
        assert_eq!(given::now(&ann, &kept).await, kept);
        ann.delete(&format!("{}?permanent=false", path(&kept))).await.expect(204);
        assert_eq!(restore(&ann, &kept).await, 200, "permanent=false is the ordinary delete");
    }

    async fn a_repeated_create_does_not_bring_back_what_was_erased(backend: Backend) {
        let (app, _) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let create = || ann.post("tasks", json!({"title": "keyed"})).header("idempotency-key", "k");
        let made = create().await.expect(201).body;
        erase(&ann, &made).await.expect(204);
        let again = create().await.expect(201);
        assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &made));
        ann.get(&path(&made)).await.problem(404, "not-found");
        assert!(titles(&ann, "").await.is_empty(), "it came back");
    }
}

/// The change waits in its transaction, and the erase for the change: what it writes last must not outlive the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_under_way_leaves_no_activity_behind() {
    let Some(cluster) = Cluster::get() else { return };
    let database = super::harness::postgres::migrated(cluster).await;
    let url = database.url.clone();
    let app = TestApp::builder(Backend::Postgres).storage(Storage::Postgres(database)).spawn().await;
    let ann = app.register("ann").await;
    let gone = task(&ann, json!({"title": "gone"})).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    let change = "BEGIN; UPDATE tasks SET title = 'changed', version = version + 1; \
                  INSERT INTO task_activity SELECT task_id, gen_random_uuid(), actor_id, 'updated', '{}', created_at FROM task_activity";
    client.batch_execute(change).await.expect("a change under way");
    let erased = tokio::spawn(erase(&ann, &gone).into_future());
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
    let (observer, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(900); // lock_timeout is a second
    while observer.query_one(waits, &[]).await.expect("a count").get::<_, i64>(0) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the erase does not wait for the change");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    client.batch_execute("COMMIT").await.expect("it is changed");
    erased.await.expect("no panic").expect(204);
    let left = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM task_activity)";
    assert_eq!(observer.query_one(left, &[]).await.expect("a count").get::<_, i64>(0), 0);
}
