//! Changing a task: merge patch, entity tags, media types, completion.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::given::{self, NOON, app_at_noon, patched, path, task};
use super::harness::{Backend, TestApp, on_both_backends};

on_both_backends! {
    async fn each_field_changes_alone_and_a_null_takes_a_value_away(app: TestApp) {
        let ann = app.register("ann").await;
        let parent = task(&ann, json!({"title": "parent"})).await;
        let mut expected = task(&ann, json!({"title": "t"})).await;
        for (field, value) in [
            ("title", json!("new")),
            ("description", json!("text")), ("description", json!("")), ("description", json!(null)),
            ("status", json!("in_progress")), ("status", json!("blocked")), ("status", json!("cancelled")),
            ("status", json!("todo")),
            ("priority", json!("low")), ("priority", json!("high")), ("priority", json!("urgent")),
            ("labels", json!(["a", "b"])), ("labels", json!(["b"])), ("labels", json!([])),
            ("assignee_id", json!(ann.id)), ("assignee_id", json!(null)),
            ("parent_id", parent["id"].clone()), ("parent_id", json!(null)),
            ("due_at", json!("2026-12-01T17:00:00Z")), ("due_at", json!(null)), ("due_at", json!(null)),
        ] {
            let mut patch = json!({});
            patch[field] = value.clone();
            let reply = ann.patch(&path(&expected), patch).await.expect(200);
            let version = expected["version"].as_i64().expect("a number") + 1;
            expected[field] = value;
            expected["version"] = json!(version);
            expected["updated_at"] = reply.at("/updated_at").clone();
            assert_eq!(reply.body, expected, "{field}");
            assert_eq!(reply.header("etag"), format!("\"{version}\""));
            assert_eq!(given::now(&ann, &expected).await, expected, "{field}");
        }
    }

    async fn a_required_field_takes_no_null(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        for field in ["title", "status", "priority", "labels"] {
            let mut patch = json!({"description": "not to be written"});
            patch[field] = json!(null);
            ann.patch(&path(&made), patch).await.problem(422, "invalid-body").pointer(&format!("/{field}"));
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn what_the_server_sets_cannot_be_patched(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        for field in [
            "id", "project_id", "created_by", "created_at", "updated_at", "completed_at", "version", "deleted_at", "bogus",
        ] {
            let mut patch = json!({});
            patch[field] = made.get(field).cloned().unwrap_or_default();
            ann.patch(&path(&made), patch).await.problem(422, "invalid-body").pointer(&format!("/{field}"));
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn every_field_at_fault_is_named_at_once(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let patch = json!({
            "title": "", "status": "later", "priority": "none", "labels": ["", "x", "x"], "assignee_id": "ann",
            "parent_id": "1", "due_at": "tomorrow"
        });
        let mut reply = ann.patch(&path(&made), patch).await.problem(422, "invalid-body");
        let fields = ["title", "status", "priority", "labels/0", "labels/2", "assignee_id", "parent_id", "due_at"];
        for field in fields {
            reply = reply.pointer(&format!("/{field}"));
        }
        assert_eq!(reply.at("/errors").as_array().map(Vec::len), Some(fields.len()), "{reply}");
    }

    async fn a_patch_that_changes_nothing_still_raises_the_version(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        assert_eq!(patched(&ann, &made, json!({})).await["version"], 2);
        assert_eq!(patched(&ann, &made, json!({"title": "t"})).await["version"], 3);
        ann.patch(&path(&made), json!({"title": ""})).await.expect(422);
        assert_eq!(patched(&ann, &made, json!({})).await["version"], 4);
    }

    async fn a_stale_etag_gets_412_and_changes_nothing(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let made = patched(&ann, &made, json!({"title": "two"})).await;
        for stale in ["\"1\"", "\"3\"", "W/\"2\"", "2", "", "\"\"", "\"1\", \"3\"", "\"99999999999999999999\"", "\"2"] {
            let patch = ann.patch(&path(&made), json!({"title": "lost update"})).header("if-match", stale);
            patch.await.problem(412, "precondition-failed");
            ann.delete(&path(&made)).header("if-match", stale).await.problem(412, "precondition-failed");
        }
        assert_eq!(given::now(&ann, &made).await, made);
        for (current, version) in [("\"2\"", 3), ("*", 4), ("\"9\", \"4\"", 5)] {
            let patch = ann.patch(&path(&made), json!({})).header("if-match", current).await.expect(200);
            assert_eq!(*patch.at("/version"), json!(version));
        }
        ann.patch("tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77", json!({})).header("if-match", "*").await.problem(404, "");
    }

    async fn completion_is_noted_once_and_taken_back(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let done = patched(&ann, &made, json!({"status": "done"})).await;
        assert_eq!((&done["completed_at"], &done["updated_at"]), (&json!(NOON), &json!(NOON)));
        clock.advance(Duration::from_secs(60));
        let later = "2026-11-20T12:01:00.123456Z";
        let edited = patched(&ann, &made, json!({"status": "done", "title": "still done"})).await;
        assert_eq!((&edited["completed_at"], &edited["updated_at"]), (&json!(NOON), &json!(later)));
        let reopened = patched(&ann, &made, json!({"status": "todo"})).await;
        assert_eq!(reopened["completed_at"], json!(null));
        assert_eq!(patched(&ann, &made, json!({"status": "done"})).await["completed_at"], later);
        assert_eq!(patched(&ann, &made, json!({"status": "cancelled"})).await["completed_at"], json!(null));
        assert_eq!(task(&ann, json!({"title": "t", "status": "done"})).await["completed_at"], later);
    }

    async fn a_patch_is_merge_patch_or_plain_json(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let send = |content_type: &str| ann.request(Method::PATCH, &path(&made)).body(content_type, "{}");
        for accepted in [
            "application/merge-patch+json", "application/json", "application/json; charset=utf-8", "Application/JSON",
            "application/merge-patch+json;charset=UTF-8",
        ] {
            send(accepted).await.expect(200);
        }
        for refused in ["text/plain", "application/xml", "application/json-patch+json", "application/jsonx", "json", ""] {
            send(refused).await.problem(415, "unsupported-media-type");
        }
        ann.request(Method::PATCH, &path(&made)).await.problem(415, "unsupported-media-type");
        assert_eq!(given::now(&ann, &made).await["version"], 6);
    }

    async fn a_task_that_does_not_exist_is_404(app: TestApp) {
        let ann = app.register("ann").await;
        let unknown = Uuid::now_v7().to_string();
        for id in [unknown.as_str(), "0", "batch-1", "%20", "null", "0197C3A56F2E7CC09B1E2F6D3C1A5B77"] {
            ann.get(&format!("tasks/{id}")).await.problem(404, "not-found");
            ann.patch(&format!("tasks/{id}"), json!({"title": "t"})).await.problem(404, "not-found");
            ann.delete(&format!("tasks/{id}")).await.problem(404, "not-found");
            ann.post(&format!("tasks/{id}/restore"), json!({})).await.problem(404, "not-found");
            ann.get(&format!("tasks/{id}/activity")).await.problem(404, "not-found");
        }
    }
}
