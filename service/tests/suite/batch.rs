//! Batches: all or nothing, or each for itself; their limits, their answers, their idempotency keys.

use serde_json::{Value, json};
use uuid::Uuid;

use super::given::{self, now, path, shared_project, task, titles};
use super::harness::client::Api;
use super::harness::reply::Reply;
use super::harness::{TestApp, on_both_backends};

async fn batch(api: &Api, atomic: bool, operations: Value) -> Reply {
    api.post("tasks/batch", json!({"atomic": atomic, "operations": operations})).await
}

fn create(title: &str) -> Value {
    json!({"op": "create", "task": {"title": title}})
}

fn statuses(reply: &Reply) -> Vec<u64> {
    let results = reply.at("/results").as_array().cloned().unwrap_or_default();
    results.iter().map(|result| result["status"].as_u64().unwrap_or(0)).collect()
}

on_both_backends! {
    async fn an_atomic_batch_does_everything_in_order(app: TestApp) {
        let ann = app.register("ann").await;
        let (changed, deleted) = (task(&ann, json!({"title": "old"})).await, task(&ann, json!({"title": "gone"})).await);
        let id = Uuid::now_v7();
        let reply = batch(&ann, true, json!([
            {"op": "create", "task": {"title": "parent", "id": id, "labels": ["x"]}},
            {"op": "create", "task": {"title": "child", "parent_id": id}},
            {"op": "update", "id": changed["id"], "patch": {"title": "new", "description": "d"}, "version": 1},
            {"op": "update", "id": changed["id"], "patch": {"description": null, "status": "done"}, "version": 2},
            {"op": "delete", "id": deleted["id"], "version": 1},
        ])).await.expect(200);
        assert_eq!(statuses(&reply), [201, 201, 200, 200, 204]);
        assert_eq!(reply.at("/results/4"), &json!({"status": 204}));
        let last = reply.at("/results/3/task");
        assert_eq!((&last["title"], &last["description"], &last["version"]), (&json!("new"), &json!(null), &json!(3)));
        for result in ["/results/0/task", "/results/1/task", "/results/3/task"] {
            assert_eq!(&now(&ann, reply.at(result)).await, reply.at(result));
        }
        ann.get(&path(&deleted)).await.problem(404, "not-found");
        let activity = ann.get(&format!("{}/activity", path(&changed))).await.expect(200);
        assert_eq!(activity.at("/items").as_array().map(Vec::len), Some(3));
    }

    async fn an_atomic_batch_with_one_refusal_writes_nothing(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        let mine = task(&ann, json!({"title": "mine"})).await;
        let hers = task(&eve, json!({"title": "hers"})).await;
        let unknown = Uuid::now_v7();
        for (operation, pointer) in [
            (json!({"op": "update", "id": unknown, "patch": {}}), "/operations/3"),
            (json!({"op": "update", "id": hers["id"], "patch": {"title": "stolen"}}), "/operations/3"),
            (json!({"op": "delete", "id": hers["id"]}), "/operations/3"),
            (json!({"op": "delete", "id": mine["id"], "version": 7}), "/operations/3"),
            (json!({"op": "update", "id": mine["id"], "patch": {}, "version": 1}), "/operations/3"),
            (json!({"op": "update", "id": mine["id"], "patch": {"parent_id": unknown}}), "/operations/3/patch/parent_id"),
            (json!({"op": "update", "id": mine["id"], "patch": {"assignee_id": eve.id}}), "/operations/3/patch/assignee_id"),
            (json!({"op": "create", "task": {"title": "t", "id": hers["id"]}}), "/operations/3/task/id"),
            (json!({"op": "create", "task": {"title": "t", "parent_id": hers["id"]}}), "/operations/3/task/parent_id"),
            (
                json!({"op": "create", "task": {"title": "t", "project_id": eve.personal_project_id}}),
                "/operations/3/task/project_id",
            ),
            (json!({"op": "create", "task": {"title": ""}}), "/operations/3/task/title"),
            (json!({"op": "create", "task": {"title": "t", "labels": ["a", ""]}}), "/operations/3/task/labels/1"),
            (json!({"op": "update", "id": mine["id"], "patch": {"due_at": "soon"}}), "/operations/3/patch/due_at"),
            (json!({"op": "update", "id": "x", "patch": {}}), "/operations/3/id"),
            (json!({"op": "delete", "id": "x"}), "/operations/3/id"),
        ] {
            let first = json!({"op": "update", "id": mine["id"], "patch": {"title": "changed"}});
            let operations = json!([first, create("one"), {"op": "delete", "id": mine["id"]}, operation]);
            // The deleted task is no longer there for what comes after it, but for these the pointer stays the same.
            let gone = operations[3]["id"] == mine["id"] && !pointer.ends_with("due_at");
            let pointer = if gone { "/operations/3" } else { pointer };
            batch(&ann, true, operations).await.problem(422, "invalid-body").pointer(pointer);
            assert_eq!(now(&ann, &mine).await, mine, "{pointer}");
            assert_eq!(titles(&ann, "").await, ["mine"], "{pointer}");
        }
        assert_eq!(now(&eve, &hers).await, hers);
    }

    async fn an_atomic_batch_names_every_operation_at_fault(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let invalid = json!([create("ok"), create(""), {"op": "update", "id": made["id"], "patch": {"status": "x"}}]);
        let reply = batch(&ann, true, invalid).await.problem(422, "invalid-body");
        reply.pointer("/operations/1/task/title").pointer("/operations/2/patch/status");
        let refused = json!([
            {"op": "update", "id": made["id"], "patch": {"parent_id": made["id"]}},
            {"op": "update", "id": made["id"], "patch": {"title": "x"}, "version": 9},
        ]);
        let reply = batch(&ann, true, refused).await.problem(422, "invalid-body");
        reply.pointer("/operations/0/patch/parent_id").pointer("/operations/1");
        assert_eq!(now(&ann, &made).await, made);
    }

    async fn without_atomic_each_operation_has_its_own_result(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&bob, &[(&ann, "viewer")]).await;
        let seen = task(&bob, json!({"title": "seen", "project_id": project})).await;
        let made = task(&ann, json!({"title": "t"})).await;
        let operations = json!([
            create("one"),
            create(""),
            {"op": "update", "id": made["id"], "patch": {"title": "new"}},
            {"op": "update", "id": made["id"], "patch": {"title": "lost"}, "version": 1},
            {"op": "update", "id": Uuid::now_v7(), "patch": {}},
            {"op": "update", "id": seen["id"], "patch": {}},
            {"op": "update", "id": made["id"], "patch": {"parent_id": made["id"]}},
            {"op": "delete", "id": "not an id"},
            {"op": "delete", "id": made["id"], "version": 2},
            {"op": "delete", "id": made["id"]},
            create("two"),
        ]);
        let reply = batch(&ann, false, operations.clone()).await.expect(207);
        assert_eq!(statuses(&reply), [201, 422, 200, 412, 404, 403, 422, 422, 204, 404, 201]);
        for (at, kind, pointer) in [
            (1, "invalid-body", Some("/operations/1/task/title")), (3, "precondition-failed", None), (4, "not-found", None),
            (5, "forbidden", None), (6, "invalid-body", Some("/operations/6/patch/parent_id")),
            (7, "invalid-body", Some("/operations/7/id")),
        ] {
            let problem = reply.at(&format!("/results/{at}/problem"));
            assert!(problem["type"].as_str().is_some_and(|text| text.ends_with(kind)), "{at}: {problem}");
            assert_eq!(problem["status"], reply.at(&format!("/results/{at}/status")).clone());
            assert_eq!(problem["request_id"], reply.header("x-request-id"));
            assert_eq!(problem["errors"][0]["pointer"].as_str(), pointer, "{at}: {problem}");
            assert!(reply.body["results"][at].get("task").is_none(), "{reply}");
        }
        let own = format!("project_id={}&sort=created_at", ann.personal_project_id);
        assert_eq!(titles(&ann, &own).await, ["one", "two"]);
    }

    async fn atomic_is_false_unless_it_is_asked_for(app: TestApp) {
        let ann = app.register("ann").await;
        let reply = ann.post("tasks/batch", json!({"operations": [create("one"), create("")]})).await.expect(207);
        assert_eq!(statuses(&reply), [201, 422]);
        assert_eq!(titles(&ann, "").await, ["one"]);
        let reply = batch(&ann, false, json!([create(""), create(" ")])).await.expect(207);
        assert_eq!(statuses(&reply), [422, 422]);
    }

    async fn a_batch_holds_1_to_100_operations(app: TestApp) {
        let ann = app.register("ann").await;
        let many = |count: usize| -> Value { (0..count).map(|number| create(&number.to_string())).collect() };
        for atomic in [true, false] {
            for refused in [0, 101, 1_000] {
                batch(&ann, atomic, many(refused)).await.problem(422, "invalid-body").pointer("/operations");
            }
        }
        assert_eq!(given::walk(&ann, "").await.len(), 0);
        for (atomic, count, status) in [(true, 1, 200), (false, 1, 207), (true, 100, 200), (false, 100, 207)] {
            let reply = batch(&ann, atomic, many(count)).await.expect(status);
            assert_eq!(statuses(&reply), vec![201; count]);
        }
        assert_eq!(given::walk(&ann, "limit=200").await.len(), 202);
    }

    async fn a_batch_that_is_no_batch_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        for (operations, pointer) in [
            (json!([{"op": "upsert", "task": {"title": "t"}}]), "/operations/0"),
            (json!([{"task": {"title": "t"}}]), "/operations/0"),
            (json!([create("t"), {"op": "create"}]), "/operations/1"),
            (json!([create("t"), {"op": "create", "task": {"title": 7}}]), "/operations/1"),
            (json!([{"op": "create", "task": {"title": "t"}, "id": "x"}]), "/operations/0"),
            (json!([{"op": "create", "task": {"title": "t", "version": 1}}]), "/operations/0"),
            (json!([{"op": "update", "id": "x"}]), "/operations/0"),
            (json!([{"op": "delete", "id": 7}]), "/operations/0"),
            (json!([{"op": "delete", "id": "x", "version": "1"}]), "/operations/0"),
            (json!([{"op": "delete", "id": "x", "version": 1.5}]), "/operations/0"),
            (json!([{"op": "delete", "id": "x", "version": 1e300}]), "/operations/0"),
            (json!([null]), "/operations/0"),
            (json!({}), "/operations"),
            (json!(null), "/operations"),
        ] {
            let reply = batch(&ann, false, operations.clone()).await.problem(422, "invalid-body");
            let named = reply.text_at("/errors/0/pointer");
            assert!(named.starts_with(pointer), "{operations}: {named}");
        }
        let unknown = ann.post("tasks/batch", json!({"operations": [create("t")], "atomically": true})).await;
        unknown.problem(422, "invalid-body").pointer("/atomically");
        assert_eq!(titles(&ann, "").await, Vec::<String>::new());
    }

    /// As `POST /tasks` has it: the client's own id makes a repeat harmless, also when the whole batch is sent again.
    async fn a_repeated_create_with_the_same_id_is_no_conflict(app: TestApp) {
        let ann = app.register("ann").await;
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        let operations = json!([
            {"op": "create", "task": {"title": "one", "id": first}},
            {"op": "create", "task": {"title": "two", "id": second, "parent_id": first, "status": "done"}},
        ]);
        for atomic in [true, false] {
            let status = if atomic { 200 } else { 207 };
            let made = batch(&ann, atomic, operations.clone()).await.expect(status);
            let again = batch(&ann, atomic, operations.clone()).await.expect(status);
            assert_eq!(statuses(&again), [200, 200]);
            assert_eq!(again.at("/results/1/task"), made.at("/results/1/task"));
        }
        assert_eq!(titles(&ann, "sort=created_at").await, ["one", "two"]);
        let counted = ("tasks_created_total", "tasks_completed_total");
        assert_eq!((given::counter(&app, counted.0).await, given::counter(&app, counted.1).await), (2, 1));
        let other = json!([{"op": "create", "task": {"title": "other", "id": first}}]);
        assert_eq!(statuses(&batch(&ann, false, other.clone()).await.expect(207)), [409]);
        batch(&ann, true, other).await.problem(422, "invalid-body").pointer("/operations/0/task/id");
    }

    async fn a_batch_with_a_key_runs_once(app: TestApp) {
        let ann = app.register("ann").await;
        for (key, atomic, status) in [("atomic", true, 200), ("each", false, 207)] {
            let operations = if atomic { json!([create(key)]) } else { json!([create(key), create("")]) };
            let body = json!({"atomic": atomic, "operations": operations});
            let send = || ann.post("tasks/batch", body.clone()).header("idempotency-key", key);
            let first = send().await.expect(status);
            assert!(!first.headers.contains_key("idempotency-replayed"), "{first}");
            let again = send().await.expect(status);
            assert_eq!(again.text, first.text);
            assert_eq!(again.header("idempotency-replayed"), "true");
            let other = ann.post("tasks/batch", json!({"operations": [create("x")]})).header("idempotency-key", key);
            other.await.problem(422, "idempotency-key-reused");
        }
        assert_eq!(titles(&ann, "sort=created_at").await, ["atomic", "each"]);
    }

    async fn a_refused_atomic_batch_leaves_its_key_free(app: TestApp) {
        let ann = app.register("ann").await;
        let id = Uuid::now_v7();
        let body = json!({"atomic": true, "operations": [create("new"), {"op": "update", "id": id, "patch": {"title": "x"}}]});
        let send = || ann.post("tasks/batch", body.clone()).header("idempotency-key", "k");
        send().await.problem(422, "invalid-body").pointer("/operations/1");
        task(&ann, json!({"title": "late", "id": id})).await;
        let reply = send().await.expect(200);
        assert!(!reply.headers.contains_key("idempotency-replayed"), "{reply}");
        assert_eq!(titles(&ann, "sort=created_at").await, ["x", "new"]);
    }
}
