//! What happened to a task, and what the counters of the business say of it.

use serde_json::{Value, json};

use super::given::{self, app_at_noon, chain, counter, patched, path, shared_project, task};
use super::harness::client::Api;
use super::harness::{Backend, TestApp, on_both_backends};

async fn activity(api: &Api, task: &Value) -> Vec<Value> {
    let reply = api.get(&format!("{}/activity", path(task))).await.expect(200);
    assert_eq!(*reply.at("/next_cursor"), json!(null));
    reply.at("/items").as_array().cloned().unwrap_or_default()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry["action"].as_str()).collect()
}

async fn counters(app: &TestApp) -> (u64, u64) {
    (counter(app, "tasks_created_total").await, counter(app, "tasks_completed_total").await)
}

on_both_backends! {
    async fn each_change_says_who_and_from_what_to_what(backend: Backend) {
        let (app, _) = app_at_noon(backend).await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&ann, &[(&bob, "editor")]).await;
        let parent = task(&ann, json!({"title": "parent", "project_id": project})).await;
        let made = task(&ann, json!({"title": "t", "project_id": project})).await;
        let changes = json!({
            "title": "new", "description": "text", "status": "done", "priority": "urgent", "labels": ["a", "b"],
            "assignee_id": bob.id, "parent_id": parent["id"], "due_at": "2026-12-01T17:00:00.5Z"
        });
        patched(&bob, &made, changes).await;
        patched(&ann, &made, json!({"description": null, "title": "new", "status": "todo"})).await;
        patched(&ann, &made, json!({"title": "new"})).await;
        let entries = activity(&ann, &made).await;
        assert_eq!(actions(&entries), ["updated", "updated", "updated", "created"]);
        let who: Vec<&Value> = entries.iter().map(|entry| &entry["actor_id"]).collect();
        assert_eq!(who, [&json!(ann.id), &json!(ann.id), &json!(bob.id), &json!(ann.id)]);
        assert!(entries.iter().all(|entry| entry["created_at"] == given::NOON), "{entries:?}");
        assert_eq!(entries[3]["changes"], json!({}));
        assert_eq!(entries[2]["changes"], json!({
            "title": {"from": "t", "to": "new"},
            "description": {"from": null, "to": "text"},
            "status": {"from": "todo", "to": "done"},
            "priority": {"from": "medium", "to": "urgent"},
            "labels": {"from": [], "to": ["a", "b"]},
            "assignee_id": {"from": null, "to": bob.id},
            "parent_id": {"from": null, "to": parent["id"]},
            "due_at": {"from": null, "to": "2026-12-01T17:00:00.5Z"},
            "completed_at": {"from": null, "to": given::NOON},
        }));
        assert_eq!(entries[1]["changes"], json!({
            "description": {"from": "text", "to": null},
            "status": {"from": "done", "to": "todo"},
            "completed_at": {"from": given::NOON, "to": null},
        }));
        assert_eq!(entries[0]["changes"], json!({}));
        assert_eq!(activity(&bob, &made).await, entries);
    }

    async fn a_tree_that_goes_and_comes_back_has_it_in_each_tasks_activity(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second] = chain(&ann, "").await;
        ann.delete(&path(&top)).await.expect(204);
        ann.post(&format!("{}/restore", path(&top)), json!(null)).await.expect(200);
        ann.post(&format!("{}/restore", path(&top)), json!(null)).await.expect(200);
        for task in [&top, &second] {
            assert_eq!(actions(&activity(&ann, task).await), ["restored", "deleted", "created"]);
        }
    }

    async fn what_was_refused_leaves_no_activity(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        ann.patch(&path(&made), json!({"title": "x"})).header("if-match", "\"7\"").await.expect(412);
        ann.patch(&path(&made), json!({"parent_id": made["id"]})).await.expect(422);
        ann.delete(&path(&made)).header("if-match", "\"7\"").await.expect(412);
        assert_eq!(actions(&activity(&ann, &made).await), ["created"]);
    }

    async fn activity_pages_newest_first(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "0"})).await;
        for number in 1..=10 {
            patched(&ann, &made, json!({"title": number.to_string()})).await;
        }
        let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let page = ann.get(&format!("{}/activity?limit=3{cursor}", path(&made))).await.expect(200);
            let items = page.at("/items").as_array().cloned().unwrap_or_default();
            seen.extend(items.iter().map(|entry| entry["changes"]["title"]["to"].as_str().unwrap_or("0").to_owned()));
            pages += 1;
            match page.at("/next_cursor").as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ["10", "9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
        assert_eq!(pages, 4);
        let other = task(&ann, json!({"title": "other"})).await;
        let foreign = ann.get(&format!("{}/activity?limit=3{cursor}", path(&other))).await;
        foreign.problem(400, "invalid-cursor");
        for refused in ["limit=0", "limit=201", "limit=x", "before=1", "limit=1&limit=2"] {
            ann.get(&format!("{}/activity?{refused}", path(&made))).await.problem(400, "invalid-parameter");
        }
    }

    async fn created_and_completed_are_counted_exactly(app: TestApp) {
        let ann = app.register("ann").await;
        assert_eq!(counters(&app).await, (0, 0));
        let made = task(&ann, json!({"title": "t", "id": "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77"})).await;
        assert_eq!(counters(&app).await, (1, 0));
        // A repeat, a refusal, a change: no task more.
        let again = json!({"title": "t", "id": made["id"]});
        ann.post("tasks", again).await.expect(200);
        ann.post("tasks", json!({"title": "other", "id": made["id"]})).await.expect(409);
        ann.post("tasks", json!({"title": ""})).await.expect(422);
        patched(&ann, &made, json!({"title": "new"})).await;
        assert_eq!(counters(&app).await, (1, 0));
        patched(&ann, &made, json!({"status": "done"})).await;
        patched(&ann, &made, json!({"status": "done"})).await;
        ann.patch(&path(&made), json!({"status": "done"})).header("if-match", "\"1\"").await.expect(412);
        assert_eq!(counters(&app).await, (1, 1));
        patched(&ann, &made, json!({"status": "todo"})).await;
        patched(&ann, &made, json!({"status": "done"})).await;
        assert_eq!(counters(&app).await, (1, 2));
        task(&ann, json!({"title": "born done", "status": "done"})).await;
        assert_eq!(counters(&app).await, (2, 3));
        ann.delete(&path(&made)).await.expect(204);
        ann.post(&format!("{}/restore", path(&made)), json!(null)).await.expect(200);
        assert_eq!(counters(&app).await, (2, 3));
        for _ in 0..3 {
            ann.post("tasks", json!({"title": "keyed", "status": "done"})).header("idempotency-key", "k").await.expect(201);
        }
        assert_eq!(counters(&app).await, (3, 4));
    }

    async fn a_batch_counts_what_it_did_and_not_what_it_undid(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let operations = json!([
            {"op": "create", "task": {"title": "a"}},
            {"op": "create", "task": {"title": "b", "status": "done"}},
            {"op": "create", "task": {"title": ""}},
            {"op": "create", "task": {"title": "taken", "id": made["id"]}},
            {"op": "update", "id": made["id"], "patch": {"status": "done"}},
            {"op": "update", "id": made["id"], "patch": {"status": "done"}},
            {"op": "update", "id": made["id"], "patch": {"status": "todo"}, "version": 77},
        ]);
        ann.post("tasks/batch", json!({"operations": operations.clone()})).await.expect(207);
        assert_eq!(counters(&app).await, (3, 2));
        ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(422);
        let undone = json!({"atomic": true, "operations": [
            {"op": "create", "task": {"title": "a", "status": "done"}},
            {"op": "delete", "id": "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77"},
        ]});
        ann.post("tasks/batch", undone).await.expect(422);
        assert_eq!(counters(&app).await, (3, 2));
        let keyed = json!({"atomic": true, "operations": [{"op": "create", "task": {"title": "c", "status": "done"}}]});
        for _ in 0..2 {
            ann.post("tasks/batch", keyed.clone()).header("idempotency-key", "k").await.expect(200);
        }
        assert_eq!(counters(&app).await, (4, 3));
    }
}
